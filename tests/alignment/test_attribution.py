"""Attributions against their equations, a sentence and a piece at a time, and against finite differences."""

import copy

import pytest
import torch
from torch.nn import functional as F

from nmt.alignment.attribution import (
    attribute,
    carry_relevance,
    gradient_attention,
    input_gradient,
    norms,
    raw_attribution,
    roll_out,
    rollout,
    shares,
)
from nmt.attention.capture import capture
from nmt.config import (
    AlignmentConfig,
    Attribution,
    BahdanauConfig,
    Coverage,
    GnmtConfig,
    LuongConfig,
    RecurrentAttentionConfig,
    StackConfig,
    TransformerConfig,
    Tying,
)
from nmt.data.batching import IdPairs, make_batch
from nmt.layout import Layout
from nmt.models import build_model

VOCAB = 19
SOURCES = [[5, 9, 7, 11], [6, 4, 8, 13, 10, 6], [17]]
TARGETS = [[4, 12, 5], [9], [14, 7, 8, 10, 16]]
STILL = {"embedding_dropout": 0.3, "context_dropout": 0.3, "output_dropout": 0.3}
RECURRENT = {
    "bahdanau": BahdanauConfig(embedding_dim=7, hidden_dim=10, **STILL),
    "bahdanau-coverage": BahdanauConfig(
        embedding_dim=7, hidden_dim=10, attention=RecurrentAttentionConfig(coverage=Coverage.neural), **STILL
    ),
    "luong": LuongConfig(embedding_dim=7, hidden_dim=10, tying=Tying.three_way, **STILL),
    "luong-plain": LuongConfig(embedding_dim=7, hidden_dim=10, input_feeding=False, **STILL),
    "gnmt": GnmtConfig(embedding_dim=10, hidden_dim=10, encoder_layers=3, decoder_layers=3, **STILL),
}
TRANSFORMER = TransformerConfig(
    model_dim=12,
    num_heads=3,
    feedforward_dim=17,
    dropout=0.3,
    encoder=StackConfig(num_layers=2),
    decoder=StackConfig(num_layers=3),
)
MODELS = RECURRENT | {"transformer": TRANSFORMER}


def build(config):
    torch.manual_seed(4)
    return build_model(config, (VOCAB, VOCAB)).double().eval()


@pytest.fixture(params=MODELS)
def model(request):
    return build(MODELS[request.param])


@pytest.fixture(params=RECURRENT)
def recurrent(request):
    return build(RECURRENT[request.param])


@pytest.fixture
def transformer():
    return build(TRANSFORMER)


def batch(*chosen):
    chosen = chosen or (0, 1, 2)
    pairs = IdPairs([SOURCES[i] for i in chosen], [TARGETS[i] for i in chosen])
    return make_batch(pairs, torch.arange(len(chosen)).numpy())


def layers(records, kind):
    """Mean over heads, of one sentence, from the bottom to the top."""
    return [record.weights[0].mean(0) for record in records if record.name.startswith(kind)]


def watched(model, given):
    with capture(model.attentions()) as records:
        memory = model.encode(given.source, given.source_layout)
        hidden = model.decode(given.target_in, given.target_layout, memory)
    return records, model.output(hidden)


@pytest.mark.parametrize("method", Attribution)
def test_a_sentence_does_not_depend_on_others_in_its_batch(model, method):
    config = AlignmentConfig(attribution=method)
    together = raw_attribution(model, batch(), config)
    for i in range(len(SOURCES)):
        alone = raw_attribution(model, batch(i), config)[0]
        rows, columns = len(TARGETS[i]) + 1, len(SOURCES[i]) + 1
        assert alone.shape == (rows, columns)
        torch.testing.assert_close(together[i, :rows, :columns], alone, atol=1e-10, rtol=1e-8)
        assert not together[i, :rows, columns:].any()  # padding has no part in it
    assert together.any()


@pytest.mark.parametrize("method", Attribution)
def test_nothing_is_left_behind(model, method):
    attribute(model, batch(), AlignmentConfig(attribution=method))
    assert all(module.record is None and module.gates is None for module in model.attentions().values())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.source_embedding()._forward_hooks


def test_shares_are_of_what_speaks_for_a_piece():
    scores = torch.tensor([[[3.0, -1.0, 1.0], [-2.0, 0.0, -1.0]]])
    torch.testing.assert_close(shares(scores), torch.tensor([[[0.75, 0.0, 0.25], [0.0, 0.0, 0.0]]]))


@pytest.mark.parametrize("method", [method for method in Attribution if method is not Attribution.attention])
def test_what_is_given_is_shares(transformer, method):
    given = attribute(transformer, batch(), AlignmentConfig(attribution=method))
    assert (given >= 0).all()
    sums = given[1, : len(TARGETS[1]) + 1].sum(-1)
    torch.testing.assert_close(sums, torch.ones_like(sums))


@pytest.mark.parametrize("layer", [0, 1, -1])
@torch.no_grad()
def test_norms_are_those_of_the_vectors(transformer, layer):
    """The vector of each source position by itself, through the module's own projections."""
    given = batch(1)
    records, _ = watched(transformer, given)
    name = f"decoder.cross.{layer % 3}"
    weights = next(record.weights[0] for record in records if record.name == name)
    module = transformer.attentions()[name]
    states = encoder_states(transformer, given)
    found = norms(transformer, given, layer)[0]
    for t in range(weights.shape[1]):
        for s in range(weights.shape[2]):
            _, values = module.project(states[0, s])  # (h, d)
            vector = (weights[:, t, s, None] * values).flatten() @ module.output.weight.T
            torch.testing.assert_close(found[t, s], vector.norm())


def encoder_states(model, given):
    layout = given.source_layout
    states = model._embed(model.embeddings.source(given.source), model.source_positions, layout.positions())
    for layer in model.encoder:
        states = layer(states, layout)
    return model.encoder_norm(states)


@torch.no_grad()
def test_norms_of_a_recurrent_model_are_those_of_its_weighted_states(recurrent):
    given = batch(1)
    [record], _ = watched(recurrent, given)
    lengths = record.values[0, 0].norm(dim=-1)
    torch.testing.assert_close(norms(recurrent, given, -1)[0], record.weights[0, 0] * lengths)


def by_loops(source_layers, own_layers, cross_layers):
    """Where walks end that start at a target position and go down layer by layer: half stay (the residual), half follow a weight."""
    num_source = cross_layers[0].shape[1]

    def from_source(position, layer):
        """Shares of the source pieces in the encoder's state of a position above so many layers."""
        if layer == 0:
            return F.one_hot(torch.tensor(position), num_source).double()
        row = source_layers[layer - 1][position]
        total = from_source(position, layer - 1)
        for other, weight in enumerate(row):
            total = total + weight * from_source(other, layer - 1)
        return total / (1 + row.sum())

    def from_target(position, layer):
        if layer == 0:
            return torch.zeros(num_source, dtype=torch.float64)
        own, cross = own_layers[layer - 1][position], cross_layers[layer - 1][position]
        mixed = from_target(position, layer - 1)
        for other, weight in enumerate(own):
            mixed = mixed + weight * from_target(other, layer - 1)
        mixed = mixed / (1 + own.sum())
        for s, weight in enumerate(cross):
            mixed = mixed + weight * from_source(s, len(source_layers))
        return mixed / (1 + cross.sum())

    return torch.stack([from_target(t, len(cross_layers)) for t in range(len(cross_layers[0]))])


@torch.no_grad()
def test_rollout_follows_every_walk(transformer):
    given = batch(0)
    records, _ = watched(transformer, given)
    expected = by_loops(*(layers(records, kind) for kind in ("encoder.self", "decoder.self", "decoder.cross")))
    torch.testing.assert_close(rollout(transformer, given)[0], expected)
    target, source = roll_out({record.name: record.weights.mean(1) for record in records})
    sums = target.sum(-1) + source.sum(-1)
    torch.testing.assert_close(sums, torch.ones_like(sums))


@torch.no_grad()
def test_rollout_of_a_recurrent_model_is_its_attention(recurrent):
    [record], _ = watched(recurrent, batch(1))
    torch.testing.assert_close(2 * rollout(recurrent, batch(1)), record.weights[:, 0])


def chefer_by_loops(model, given, position):
    """Row ``position`` by the paper's equations, from gradients with respect to the very weights that the model computed with."""
    records, logits = watched(model, given)
    logit = logits[0, position, given.target_out[0, position]]
    gradients = torch.autograd.grad(logit, [record.weights for record in records])
    relevance = {
        record.name: sum((g * a).clamp(min=0) for g, a in zip(gradient[0], record.weights[0], strict=True)) / len(gradient[0])
        for record, gradient in zip(records, gradients, strict=True)
    }
    source = torch.eye(given.source.shape[1], dtype=torch.float64)
    for i in range(2):
        source = source + relevance[f"encoder.self.{i}"] @ source
    target = torch.eye(given.target_in.shape[1], dtype=torch.float64)
    across = torch.zeros(len(target), len(source), dtype=torch.float64)

    def normalised(matrix):
        added = matrix - torch.eye(len(matrix), dtype=torch.float64)
        rows = [row / row.sum() if row.sum() else row for row in added]
        return torch.stack(rows) + torch.eye(len(matrix), dtype=torch.float64)

    for i in range(3):
        own, cross = relevance[f"decoder.self.{i}"], relevance[f"decoder.cross.{i}"]
        across_before = across
        across = across_before + own @ across_before
        target = target + own @ target
        across = across + normalised(target).T @ cross @ normalised(source)
    return across[position]


def test_gradient_attention_is_its_equations(transformer):
    given = batch(1)
    found = gradient_attention(transformer, given)[0]
    for position in range(len(TARGETS[1]) + 1):
        torch.testing.assert_close(found[position], chefer_by_loops(transformer, given, position))


def test_relevance_without_layers_of_its_own_is_as_it_was():
    cross = torch.rand(2, 3, 5)
    torch.testing.assert_close(carry_relevance({"decoder.cross.0": cross}), cross)


def logit(model, given, position):
    memory = model.encode(given.source, given.source_layout)
    logits = model.output(model.decode(given.target_in, given.target_layout, memory))
    return logits[0, position, given.target_out[0, position]]


@torch.no_grad()
def test_gradient_attention_of_a_recurrent_model_is_a_difference(recurrent, monkeypatch):
    """The positive part of what a piece's logit loses per share of the weight that is taken from a source position at its step."""
    given, attention = batch(0), recurrent.attentions()["decoder.cross.0"]
    found, step = gradient_attention(recurrent, given)[0], 1e-6
    for position in range(len(TARGETS[0]) + 1):
        for s in range(len(SOURCES[0]) + 1):
            sides = []
            for factor in (1 + step, 1 - step):
                gates = torch.ones(1, 1, len(TARGETS[0]) + 1, len(SOURCES[0]) + 1, dtype=torch.float64)
                gates[0, 0, position, s] = factor
                monkeypatch.setattr(attention, "gates", gates)
                sides.append(logit(recurrent, given, position))
            difference = (sides[0] - sides[1]) / (2 * step)
            torch.testing.assert_close(found[position, s], difference.clamp(min=0), atol=1e-7, rtol=1e-5)


@torch.no_grad()
def test_input_gradient_is_a_difference(model):
    """What a piece's logit gains per share that the embedding at a source position grows by; the target's embeddings stay, also tied."""
    given, step = batch(0), 1e-6
    found = input_gradient(model, given)[0]
    layout = Layout.of([len(SOURCES[0]) + 1])
    for s in range(len(SOURCES[0]) + 1):
        sides = []
        for factor in (1 + step, 1 - step):
            grown = copy.deepcopy(model)
            factors = torch.ones(1, len(SOURCES[0]) + 1, 1, dtype=torch.float64)
            factors[0, s] = factor
            hook = grown.embeddings.source.register_forward_hook(lambda module, ids, vectors, f=factors: vectors * f)
            memory = grown.encode(given.source, layout)
            hook.remove()
            sides.append(grown.output(grown.decode(given.target_in, given.target_layout, memory))[0])
        difference = ((sides[0] - sides[1]) / (2 * step)).gather(1, given.target_out[0][:, None]).squeeze(1)
        torch.testing.assert_close(found[:, s], difference, atol=1e-7, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("method", Attribution)
def test_it_works_where_gradients_are_off(model, method):
    assert attribute(model, batch(), AlignmentConfig(attribution=method)).isfinite().all()


@pytest.mark.parametrize("method", Attribution)
def test_what_is_made_of_attention_under_autocast_stays_float32(model, method):
    config, given = AlignmentConfig(attribution=method), batch()
    exact = attribute(model, given, config)
    with torch.autocast("cpu", torch.bfloat16):
        found = attribute(model.float(), given, config)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, atol=0.1, rtol=0.1)
