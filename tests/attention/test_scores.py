"""Scores against plain loops of the papers' equations, and attention with one head."""

import itertools
import math

import pytest
import torch

from nmt.attention.recurrent import RecurrentAttention, Source
from nmt.attention.scores import (
    AdditiveScore,
    DotScore,
    GeneralScore,
    LocationScore,
    NormedAdditiveScore,
    ScaledDotScore,
)
from nmt.operand import Operand

B, Q, S, D, H, A = 2, 3, 5, 7, 7, 11


def random(*shape, requires_grad=False):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=requires_grad)


def build(kind):
    torch.manual_seed(1)
    score = {
        "additive": lambda: AdditiveScore(D, H, A),
        "normed_additive": lambda: NormedAdditiveScore(D, H, A),
        "general": lambda: GeneralScore(D, H),
        "dot": DotScore,
        "scaled_dot": lambda: ScaledDotScore(D, learned=False),
        "learned_scaled_dot": lambda: ScaledDotScore(D, learned=True),
        "location": lambda: LocationScore(D, 11),
    }[kind]()
    for parameter in score.parameters():
        torch.nn.init.normal_(parameter)
    return score.double()


def dot(left, right):
    return sum(x * y for x, y in zip(left.tolist(), right.tolist(), strict=True))


def product(matrix, vector):
    return torch.tensor([dot(row, vector) for row in matrix], dtype=torch.float64)


def additive(score, query, value):
    """Bahdanau et al. 2015, appendix A.1.2."""
    inner = [math.tanh(x + y) for x, y in zip(product(score.query.weight, query), product(score.key.weight, value), strict=True)]
    return dot(score.v, torch.tensor(inner, dtype=torch.float64))


def concat(score, query, value):
    """Luong et al. 2015, section 3.1: one matrix over query and key in one."""
    matrix = torch.cat([score.query.weight, score.key.weight], dim=1)
    return dot(score.v, product(matrix, torch.cat([query, value])).tanh())


def normed_additive(score, query, value):
    """TensorFlow's NMT tutorial, "normed_bahdanau"."""
    pairs = zip(product(score.query.weight, query), product(score.key.weight, value), score.bias, strict=True)
    length = math.sqrt(dot(score.v, score.v))
    return sum(score.gain * v / length * math.tanh(x + y + b) for v, (x, y, b) in zip(score.v, pairs, strict=True))


EQUATIONS = {
    "additive": ("additive", additive),
    "concat": ("additive", concat),
    "normed_additive": ("normed_additive", normed_additive),
    "general": ("general", lambda score, query, value: dot(query, product(score.key.weight, value))),
    "dot": ("dot", lambda score, query, value: dot(query, value)),
    "scaled_dot": ("scaled_dot", lambda score, query, value: dot(query, value) / math.sqrt(D)),
    "learned_scaled_dot": ("learned_scaled_dot", lambda score, query, value: score.scale * dot(query, value)),
}
KINDS = [*dict.fromkeys(kind for kind, _ in EQUATIONS.values()), "location"]


@pytest.mark.parametrize(("kind", "equation"), EQUATIONS.values(), ids=EQUATIONS)
@torch.no_grad()
def test_a_score_is_its_equation(kind, equation):
    score, queries, values = build(kind), random(B, Q, D), random(B, S, H)
    expected = [[[equation(score, q, v) for v in values[b]] for q in queries[b]] for b in range(B)]
    torch.testing.assert_close(score(queries, Operand(score.project(values))), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("max_length", [3, 5, 11])
@torch.no_grad()
def test_location_scores_positions_whatever_stands_there(max_length):
    """Luong et al. 2015, eq. 8, cut or filled up to the sentence's length."""
    score = LocationScore(D, max_length).double()
    queries, values = random(B, Q, D), random(B, S, H)
    found = score(queries, Operand(score.project(values)))
    for b, q, s in itertools.product(range(B), range(Q), range(S)):
        expected = dot(score.positions.weight[s], queries[b, q]) if s < max_length else -math.inf
        assert found[b, q, s].item() == pytest.approx(expected)
    assert torch.equal(found, score(queries, Operand(score.project(values + 1))))


def test_where_scales_begin():
    assert ScaledDotScore(D, learned=True).scale.item() == pytest.approx(D**-0.5)
    assert NormedAdditiveScore(D, H, A).gain.item() == pytest.approx(A**-0.5)
    assert not NormedAdditiveScore(D, H, A).bias.any()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_a_score(kind):
    score = build(kind)
    inputs = (random(B, Q, D, requires_grad=True), random(B, S, H, requires_grad=True))
    parameters = tuple(score.parameters())
    assert torch.autograd.gradcheck(
        lambda query, values, *_: score(query, Operand(score.project(values))), (*inputs, *parameters)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_beam_read_the_memory_of_their_sentence(kind):
    attention = RecurrentAttention(build(kind))
    queries, values, mask = random(B, Q, D), random(B, S, H), torch.arange(S) < torch.tensor([[4], [5]])
    keys = attention.score.project(values)
    context, weights, _ = attention(queries, Source(Operand(keys), Operand(values.mT), mask), 0)
    keys, value_rows, mask = (tensor.repeat_interleave(Q, dim=0) for tensor in (keys, values, mask))
    copies = Source(Operand(keys), Operand(value_rows.mT), mask)
    context_of_copies, weights_of_copies, _ = attention(queries.flatten(0, 1).unsqueeze(1), copies, 0)
    torch.testing.assert_close(context.flatten(0, 1), context_of_copies.squeeze(1))
    torch.testing.assert_close(weights.flatten(0, 1), weights_of_copies.squeeze(1))
    torch.testing.assert_close(context, torch.einsum("bqs,bsh->bqh", weights, values))


def test_the_temperature_divides_scores():
    score, queries, values, mask = build("general"), random(B, Q, D), random(B, S, H), torch.ones(B, S, dtype=torch.bool)
    keys = score.project(values)
    attention = RecurrentAttention(score, temperature=0.3)
    _, weights, _ = attention(queries, Source(Operand(keys), Operand(values.mT), mask), 0)
    torch.testing.assert_close(weights, (score(queries, Operand(keys)) / 0.3).softmax(-1))


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_leaves_scores_in_float32(kind):
    attention = RecurrentAttention(build(kind).float())
    queries, values = random(B, Q, D).float(), random(B, S, H).float()
    mask = torch.ones(B, S, dtype=torch.bool)
    keys = attention.score.project(values)
    source = Source(Operand(keys), Operand(values.mT), mask)
    _, exact, _ = attention(queries, source, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert attention.score.project(values).dtype is torch.float32
        _, weights, _ = attention(queries, source, 0)
    assert torch.equal(weights, exact)
