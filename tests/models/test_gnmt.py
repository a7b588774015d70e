"""GNMT against a plain loop with torch's LSTM cells, for one sentence."""

import itertools

import pytest
import torch

from nmt.attention.capture import capture
from nmt.config import GnmtConfig, RecurrentAttentionConfig, Score
from nmt.layout import Layout
from nmt.models import build_model

VOCAB, EMBEDDING, WIDTH = 29, 5, 6
STILL = {"embedding_dropout": 0.0, "output_dropout": 0.0, "layer_dropout": 0.0}
SOURCE, TARGET = [7, 11, 4, 20], [2, 9, 5, 17, 23]


def build(**settings):
    torch.manual_seed(1)
    settings = {"encoder_layers": 4, "decoder_layers": 4, **settings}
    attention = RecurrentAttentionConfig(score=Score.additive, attention_dim=7)
    config = GnmtConfig(embedding_dim=EMBEDDING, hidden_dim=WIDTH, attention=attention, **settings)
    model = build_model(config, (VOCAB, VOCAB)).double()
    for name, parameter in model.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(parameter)
    return model


def run_in_a_loop(lstm, inputs):
    cell = torch.nn.LSTMCell(lstm.input_size, WIDTH).double()
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, name).data = getattr(lstm, f"{name}_l0").data
    state, states = (torch.zeros(WIDTH, dtype=torch.float64),) * 2, []
    for row in inputs:
        state = cell(row, state)
        states.append(state[0])
    return torch.stack(states)


def climb(layers, below, context):
    """Residuals from the third layer of the whole stack on."""
    for index, layer in enumerate(layers):
        states = run_in_a_loop(layer, torch.cat([below, context], dim=1))
        below = states + below if index else states
    return below


@pytest.mark.parametrize(("encoder_layers", "decoder_layers"), list(itertools.product((1, 2, 4), (2, 4))))
@torch.no_grad()
def test_the_equations(encoder_layers, decoder_layers):
    """Of a sentence that stands beside a longer one."""
    model = build(encoder_layers=encoder_layers, decoder_layers=decoder_layers, **STILL).eval()
    source = torch.tensor([[*SOURCE, 0], [5, 3, 8, 13, 21]])
    memory = model.encode(source, Layout.of([4, 5])).select(torch.tensor([0]))
    with capture(model.attentions()) as records:
        hidden = model.decode(torch.tensor([TARGET]), Layout.of([len(TARGET)]), memory)

    both, _ = model.encoder.rnn(model.embeddings.source.weight[SOURCE])
    h = climb(model.encoder.stack, both, torch.zeros(len(SOURCE), 0, dtype=torch.float64))
    queries = run_in_a_loop(model.bottom, model.embeddings.target.weight[TARGET])
    score = model.attention.score
    energies = [[score.v @ torch.tanh(score.query.weight @ q + score.key.weight @ h_j) for h_j in h] for q in queries]
    alignments = torch.tensor(energies, dtype=torch.float64).softmax(1)
    top = climb(model.stack, queries, alignments @ h)
    torch.testing.assert_close(hidden[0], top @ model.readout.weight.T)
    torch.testing.assert_close(records[0].weights[0, 0, :, :4], alignments)


def test_forget_gates_start_open():
    torch.manual_seed(1)
    model = build_model(GnmtConfig(embedding_dim=EMBEDDING, hidden_dim=WIDTH), (VOCAB, VOCAB))
    layers = [model.encoder.rnn, *model.encoder.stack, model.bottom, *model.stack]
    assert len(layers) == 8
    for layer in layers:
        bias = layer.bias_ih_l0 + layer.bias_hh_l0
        assert bias.view(4, -1).unique(dim=1).squeeze(1).tolist() == [0, 1, 0, 0]
