"""Local attention against plain loops of Luong et al. 2015, section 3.2."""

import math

import pytest
import torch

from nmt.attention.recurrent import RecurrentAttention, Source
from nmt.attention.scopes import LocalMonotonic, LocalPredictive
from nmt.attention.scores import DotScore
from nmt.operand import Operand

B, Q, S, D = 2, 7, 11, 5
LENGTHS = [11, 4]
WINDOW = 2


def random(*shape, requires_grad=False):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=requires_grad)


def build(kind):
    torch.manual_seed(1)
    scope = (LocalMonotonic(WINDOW) if kind == "local_m" else LocalPredictive(D, WINDOW)).double()
    for parameter in scope.parameters():
        torch.nn.init.normal_(parameter)
    return RecurrentAttention(DotScore(), scope=scope)


def attend(attention, queries, values, position):
    mask = torch.arange(S) < torch.tensor(LENGTHS)[:, None]
    source = Source(Operand(attention.score.project(values)), Operand(values.mT), mask)
    return attention(queries, source, position)[:2]


def by_loop(scope, query, values, length, t):
    """Weights of one query at position t over a sentence."""
    centre = min(t, length - 1)
    if isinstance(scope, LocalPredictive):
        inner = [math.tanh(sum(w * h for w, h in zip(row, query.tolist(), strict=True))) for row in scope.hidden.weight.tolist()]
        predicted = sum(v * x for v, x in zip(scope.v.tolist(), inner, strict=True))
        centre = length / (1 + math.exp(-predicted))
    seen = [s for s in range(length) if centre - WINDOW <= s <= centre + WINDOW]
    exponentials = {s: math.exp(query @ values[s]) for s in seen}
    weights = [exponentials.get(s, 0.0) / sum(exponentials.values()) for s in range(S)]
    if isinstance(scope, LocalPredictive):
        weights = [a * math.exp(-((s - centre) ** 2) / (2 * (WINDOW / 2) ** 2)) for s, a in enumerate(weights)]
    return weights


@pytest.mark.parametrize("kind", ["local_m", "local_p"])
@torch.no_grad()
def test_a_scope_is_its_equation(kind):
    attention, queries, values = build(kind), random(B, Q, D), random(B, S, D)
    context, weights = attend(attention, queries, values, torch.arange(Q))
    for b, length in enumerate(LENGTHS):
        for t in range(Q):
            expected = torch.tensor(by_loop(attention.scope, queries[b, t], values[b], length, t), dtype=torch.float64)
            torch.testing.assert_close(weights[b, t], expected)
            assert torch.equal(weights[b, t] == 0, expected == 0)
            torch.testing.assert_close(context[b, t], sum(a * value for a, value in zip(expected, values[b], strict=True)))


@pytest.mark.parametrize("kind", ["local_m", "local_p"])
def test_gradients_reach_queries_values_and_the_prediction(kind):
    attention = build(kind)
    inputs = (random(B, Q, D, requires_grad=True), random(B, S, D, requires_grad=True), *attention.parameters())
    assert torch.autograd.gradcheck(lambda queries, values, *_: attend(attention, queries, values, torch.arange(Q)), inputs)
    attend(attention, inputs[0], inputs[1], 3)[0].sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in attention.parameters())


@torch.no_grad()
def test_one_position_for_all_queries():
    attention, queries, values = build("local_m"), random(B, Q, D), random(B, S, D)
    _, weights = attend(attention, queries, values, 6)
    _, each = attend(attention, queries, values, torch.full((Q,), 6))
    assert torch.equal(weights, each)
    assert ((weights[0, 0] > 0).nonzero().flatten().tolist(), (weights[1, 0] > 0).nonzero().flatten().tolist()) == (
        [4, 5, 6, 7, 8],
        [1, 2, 3],  # the second source ended at 3
    )
