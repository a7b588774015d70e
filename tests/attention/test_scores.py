"""Scores against plain loops of the papers' equations, the masked softmax, and attention with one head."""

import math

import pytest
import torch

from nmt.attention.scores import AdditiveScore, DotScore, GeneralScore, RecurrentAttention, masked_softmax
from nmt.operand import Operand

B, Q, S, D, H, A = 2, 3, 5, 7, 7, 11


def random(*shape, requires_grad=False):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=requires_grad)


def build(kind):
    torch.manual_seed(1)
    score = {"additive": lambda: AdditiveScore(D, H, A), "general": lambda: GeneralScore(D, H), "dot": DotScore}[kind]()
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
    """Luong et al. 2015, eq. 8: one matrix over query and key in one."""
    matrix = torch.cat([score.query.weight, score.key.weight], dim=1)
    return dot(score.v, product(matrix, torch.cat([query, value])).tanh())


EQUATIONS = [
    ("additive", additive),
    ("additive", concat),
    ("general", lambda score, query, value: dot(query, product(score.key.weight, value))),
    ("dot", lambda score, query, value: dot(query, value)),
]


@pytest.mark.parametrize(("kind", "equation"), EQUATIONS, ids=["additive", "concat", "general", "dot"])
@torch.no_grad()
def test_a_score_is_its_equation(kind, equation):
    score, queries, values = build(kind), random(B, Q, D), random(B, S, H)
    expected = [[[equation(score, q, v) for v in values[b]] for q in queries[b]] for b in range(B)]
    torch.testing.assert_close(score(queries, Operand(score.project(values))), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["additive", "general", "dot"])
def test_gradients_of_a_score(kind):
    score = build(kind)
    inputs = (random(B, Q, D, requires_grad=True), random(B, S, H, requires_grad=True))
    assert torch.autograd.gradcheck(lambda query, values: score(query, Operand(score.project(values))), inputs)


def test_masked_softmax_is_zero_where_masked_and_a_softmax_elsewhere():
    scores = random(B, S)
    mask = torch.tensor([[True, True, True, False, False], [False, True, False, True, True]])
    weights = masked_softmax(scores, mask)
    assert (weights[~mask] == 0).all()
    for b in range(B):
        torch.testing.assert_close(weights[b][mask[b]], scores[b][mask[b]].softmax(-1))
    torch.testing.assert_close(masked_softmax(scores, None), scores.softmax(-1))


def test_masked_softmax_sends_no_gradient_to_what_is_masked():
    scores = random(1, S, requires_grad=True)
    mask = torch.tensor([[True, False, True, True, False]])
    masked_softmax(scores, mask)[0, 0].backward()
    assert (scores.grad[~mask] == 0).all()
    assert (scores.grad[mask] != 0).all()


@pytest.mark.parametrize("kind", ["additive", "general", "dot"])
def test_rows_of_a_beam_read_the_memory_of_their_sentence(kind):
    attention = RecurrentAttention(build(kind))
    queries, values, mask = random(B, Q, D), random(B, S, H), torch.arange(S) < torch.tensor([[4], [5]])
    keys = attention.score.project(values)
    context, weights = attention(queries, Operand(keys), Operand(values.mT), mask)
    keys, value_rows, mask = (tensor.repeat_interleave(Q, dim=0) for tensor in (keys, values, mask))
    context_of_copies, weights_of_copies = attention(
        queries.flatten(0, 1).unsqueeze(1), Operand(keys), Operand(value_rows.mT), mask
    )
    torch.testing.assert_close(context.flatten(0, 1), context_of_copies.squeeze(1))
    torch.testing.assert_close(weights.flatten(0, 1), weights_of_copies.squeeze(1))
    torch.testing.assert_close(context, torch.einsum("bqs,bsh->bqh", weights, values))


@pytest.mark.parametrize("kind", ["additive", "general", "dot"])
def test_autocast_leaves_scores_in_float32(kind):
    attention = RecurrentAttention(build(kind).float())
    queries, values = random(B, Q, D).float(), random(B, S, H).float()
    mask = torch.ones(B, S, dtype=torch.bool)
    keys = attention.score.project(values)
    _, exact = attention(queries, Operand(keys), Operand(values.mT), mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert attention.score.project(values).dtype is torch.float32
        _, weights = attention(queries, Operand(keys), Operand(values.mT), mask)
    assert torch.equal(weights, exact)
