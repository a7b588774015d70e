"""The conditional GRU against a plain loop of Nematus' equations with torch's GRU cells, for one sentence."""

import torch

from nmt.attention.capture import capture
from nmt.config import ConditionalGruConfig, RecurrentAttentionConfig
from nmt.layout import Layout
from nmt.models import build_model

VOCAB, EMBEDDING, WIDTH = 29, 5, 6
STILL = {"embedding_dropout": 0.0, "output_dropout": 0.0}
SOURCE, TARGET = [7, 11, 4, 20], [2, 9, 5, 17, 23]


def build(**settings):
    torch.manual_seed(1)
    config = ConditionalGruConfig(
        embedding_dim=EMBEDDING, hidden_dim=WIDTH, attention=RecurrentAttentionConfig(attention_dim=7), **settings
    )
    model = build_model(config, (VOCAB, VOCAB)).double()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return model


def cell(inputs, hidden, bias):
    made = torch.nn.GRUCell(inputs.shape[1], WIDTH).double()
    made.weight_ih.data, made.weight_hh.data = inputs.data, hidden.data
    made.bias_ih.data, made.bias_hh.data = bias.data, torch.zeros_like(bias)
    return made


def decode_in_a_loop(model, h, target):
    """Readouts t_i and weights a_ij, with the paper's names."""
    first = cell(model.first_embedding.weight, model.first_state.weight, model.first_embedding.bias)
    second = cell(model.second_context.weight, model.second_state.weight, model.second_bias)
    score = model.attention.score
    W_1, W_2, W_3 = model.readout.weight.split([WIDTH, EMBEDDING, WIDTH], dim=1)
    s = torch.tanh(model.initial.weight @ h.mean(0) + model.initial.bias)
    readouts, alignments = [], []
    for piece in target:
        y = model.embeddings.target.weight[piece]
        between = first(y, s)
        energies = [score.v @ torch.tanh(score.query.weight @ between + score.key.weight @ h_j) for h_j in h]
        alpha = torch.stack(energies).softmax(0)
        c = alpha @ h
        s = second(c, between)
        readouts.append(torch.tanh(W_1 @ s + W_2 @ y + W_3 @ c + model.readout.bias))
        alignments.append(alpha)
    return torch.stack(readouts), torch.stack(alignments)


@torch.no_grad()
def test_the_equations_of_the_paper():
    """Of a sentence that stands beside a longer one."""
    model = build(**STILL).eval()
    source = torch.tensor([[*SOURCE, 0], [5, 3, 8, 13, 21]])
    memory = model.encode(source, Layout.of([4, 5])).select(torch.tensor([0]))
    with capture(model.attentions()) as records:
        hidden = model.decode(torch.tensor([TARGET]), Layout.of([len(TARGET)]), memory)
    states, _ = model.encoder.rnn(model.embeddings.source.weight[SOURCE])
    readouts, alignments = decode_in_a_loop(model, states, TARGET)
    torch.testing.assert_close(hidden[0], readouts)
    torch.testing.assert_close(records[0].weights[0, 0, :, :4], alignments)
    logits = readouts @ model.embeddings.output.weight.T + model.embeddings.output.bias
    torch.testing.assert_close(model.output(hidden)[0], logits)


def test_initial_weights():
    model = build()
    eye = torch.eye(WIDTH, dtype=torch.float64)
    for layer in (model.first_state, model.second_state):
        for matrix in layer.weight.chunk(3):
            torch.testing.assert_close(matrix @ matrix.T, eye, atol=1e-5, rtol=0)
