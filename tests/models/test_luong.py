"""Luong's decoder against a plain loop of the paper's equations with torch's LSTM cells, for one sentence."""

import itertools

import pytest
import torch

from nmt.attention.capture import capture
from nmt.config import Direction, InitialWeights, LuongConfig, RecurrentAttentionConfig, RecurrentScope, Score
from nmt.layout import Layout
from nmt.models import build_model

VOCAB, EMBEDDING, WIDTH = 29, 5, 6
STILL = {"embedding_dropout": 0.0, "output_dropout": 0.0}
SOURCE, TARGET = [7, 11, 4, 20], [2, 9, 5, 17, 23]


SCORES = [Score.dot, Score.general, Score.concat]  # of the paper, section 3.1


def build(score=Score.general, layers=1, **settings):
    torch.manual_seed(1)
    config = LuongConfig(
        embedding_dim=EMBEDDING,
        hidden_dim=WIDTH,
        encoder_layers=layers,
        decoder_layers=layers,
        attention=RecurrentAttentionConfig(score=score, attention_dim=7),
        **settings,
    )
    model = build_model(config, (VOCAB, VOCAB)).double()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return model


def cells(model):
    """The decoder's layers as torch's cells, which read [y; a] in one."""
    for layer, recurrent in enumerate(model.gates_hidden):
        below = model.gates_below[layer - 1] if layer else model.gates_embedding
        hidden, fed = recurrent.weight[:, :WIDTH], recurrent.weight[:, WIDTH:]
        weight = torch.cat([below.weight, fed], dim=1)
        cell = torch.nn.LSTMCell(weight.shape[1], WIDTH).double()
        cell.weight_ih.data, cell.bias_ih.data = weight.data, below.bias.data
        cell.weight_hh.data, cell.bias_hh.data = hidden.data, torch.zeros_like(below.bias)
        yield cell


def score(model, kind, h, source_state):
    """Section 3.1."""
    if kind is Score.dot:
        return h @ source_state
    if kind is Score.general:
        return h @ (model.attention.score.key.weight @ source_state)
    matrix = torch.cat([model.attention.score.query.weight, model.attention.score.key.weight], dim=1)
    return model.attention.score.v @ torch.tanh(matrix @ torch.cat([h, source_state]))


def decode_in_a_loop(model, kind, source_states, initial, target):
    layers = list(cells(model))
    hidden, cell = [initial[0]] * len(layers), [initial[1]] * len(layers)
    attentional = torch.zeros(EMBEDDING, dtype=torch.float64)
    attentionals, alignments = [], []
    for piece in target:
        below = model.embeddings.target.weight[piece]
        if model.config.input_feeding:
            below = torch.cat([below, attentional])
        for i, layer in enumerate(layers):
            hidden[i], cell[i] = layer(below, (hidden[i], cell[i]))
            below = hidden[i]
        weights = torch.stack([score(model, kind, below, state) for state in source_states]).softmax(0)
        context = weights @ source_states
        attentional = torch.tanh(model.combine.weight @ torch.cat([context, below]))
        attentionals.append(attentional)
        alignments.append(weights)
    return torch.stack(attentionals), torch.stack(alignments)


@pytest.mark.parametrize(("kind", "feeding", "layers"), list(itertools.product(SCORES, (True, False), (1, 2))))
@torch.no_grad()
def test_the_equations_of_the_paper(kind, feeding, layers):
    model = build(kind, layers, input_feeding=feeding, **STILL).eval()
    memory = model.encode(torch.tensor([SOURCE]), Layout.of([len(SOURCE)]))
    with capture(model.attentions()) as records:
        hidden = model.decode(torch.tensor([TARGET]), Layout.of([len(TARGET)]), memory)

    source_states, (final_hidden, final_cell) = model.encoder.rnn(model.embeddings.source.weight[SOURCE])
    initial = [torch.cat([final[-2], final[-1]]) for final in (final_hidden, final_cell)]
    attentionals, alignments = decode_in_a_loop(model, kind, source_states, initial, TARGET)
    torch.testing.assert_close(hidden[0], attentionals)
    torch.testing.assert_close(records[0].weights[0, 0], alignments)
    torch.testing.assert_close(records[0].values[0, 0], source_states)


def test_the_decoder_starts_from_both_ends_of_the_source():
    """Forward direction at the last position beside the backward one at the first, whatever the padding."""
    model = build(**STILL).eval()
    source = torch.tensor([[7, 11, 4, 20], [5, 9, 0, 0]])
    memory = model.encode(source, Layout.of([4, 2]))
    half = WIDTH // 2
    for b, length in enumerate([4, 2]):
        expected = torch.cat([memory.values[b, length - 1, :half], memory.values[b, 0, half:]])
        torch.testing.assert_close(model.init_state(memory).hidden[0][b], expected)


def test_input_feeding_carries_the_choice_of_attention_on():
    """Only with it does a step depend on where the step before looked."""
    for feeding in (True, False):
        model = build(input_feeding=feeding, **STILL).eval()
        memory = model.encode(torch.tensor([SOURCE]), Layout.of([len(SOURCE)]))
        state = model.step(torch.tensor([2]), model.init_state(memory), memory).state
        plain = model.step(torch.tensor([9]), state, memory).hidden
        state.fed = state.fed + 1
        assert torch.equal(model.step(torch.tensor([9]), state, memory).hidden, plain) is not feeding


def test_forget_gates_start_open():
    torch.manual_seed(1)
    model = build_model(LuongConfig(embedding_dim=EMBEDDING, hidden_dim=WIDTH, decoder_layers=2), (VOCAB, VOCAB))
    for layer in (model.gates_embedding, *model.gates_below):
        assert layer.bias.view(4, WIDTH).unique(dim=1).squeeze(1).tolist() == [0, 1, 0, 0]


def test_initial_weights_of_the_paper():
    """Section 4.1: uniform in [-0.1, 0.1], all of them."""
    torch.manual_seed(1)
    model = build_model(LuongConfig(embedding_dim=50, hidden_dim=60, initial_weights=InitialWeights.paper), (VOCAB, VOCAB))
    values = torch.cat([parameter.flatten() for parameter in model.parameters()])
    assert values.abs().max() <= 0.1
    counts = torch.histc(values, bins=10, min=-0.1, max=0.1)
    assert (counts / len(values) - 0.1).abs().max() < 0.01


@pytest.mark.parametrize("direction", [Direction.forward, Direction.backward])
@torch.no_grad()
def test_a_reversed_source_is_read_from_its_end(direction):
    """States stand at the words that they have read; the decoder starts from the last one."""
    model = build(encoder_direction=direction, **STILL).eval()
    memory = model.encode(torch.tensor([[*SOURCE, 0]]), Layout.of([len(SOURCE)], width=len(SOURCE) + 1))
    order = SOURCE[::-1] if direction is Direction.backward else SOURCE
    states, (hidden, cell) = model.encoder.rnn(model.embeddings.source.weight[order])
    torch.testing.assert_close(memory.values[0, : len(SOURCE)], states.flip(0) if direction is Direction.backward else states)
    state = model.init_state(memory)
    torch.testing.assert_close(state.hidden[0], hidden)
    torch.testing.assert_close(state.cell[0], cell)


@pytest.mark.parametrize("direction", [Direction.forward, Direction.backward])
@torch.no_grad()
def test_without_attention_all_steps_see_what_the_encoder_ended_with(direction):
    torch.manual_seed(1)
    attention = RecurrentAttentionConfig(score=Score.general, scope=RecurrentScope.final)
    config = LuongConfig(embedding_dim=EMBEDDING, hidden_dim=WIDTH, encoder_direction=direction, attention=attention, **STILL)
    model = build_model(config, (VOCAB, VOCAB)).double().eval()
    memory = model.encode(torch.tensor([[*SOURCE, 0]]), Layout.of([len(SOURCE)], width=len(SOURCE) + 1))
    with capture(model.attentions()) as records:
        model.decode(torch.tensor([TARGET]), Layout.of([len(TARGET)]), memory)
    expected = torch.zeros(len(TARGET), len(SOURCE) + 1, dtype=torch.float64)
    expected[:, 0 if direction is Direction.backward else len(SOURCE) - 1] = 1
    assert torch.equal(records[0].weights[0, 0], expected)
