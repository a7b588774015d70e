"""Coverage vectors against plain loops of Tu et al. 2016, and in the attention that they belong to."""

import itertools
import math

import pytest
import torch

from nmt.attention.coverage import LinguisticCoverage, NeuralCoverage
from nmt.attention.recurrent import RecurrentAttention, Source
from nmt.attention.scores import AdditiveScore
from nmt.operand import Operand

B, T, S, D, H, A, DIM = 2, 5, 7, 3, 11, 13, 2


def random(*shape, requires_grad=False):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=requires_grad)


def build(kind):
    torch.manual_seed(1)
    coverage = LinguisticCoverage(H, A, 1.5) if kind == "linguistic" else NeuralCoverage(D, H, A, DIM)
    attention = RecurrentAttention(AdditiveScore(D, H, A), coverage=coverage)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    return attention.double()


def source_of(attention, values, mask):
    keys, covered = attention.score.project(values), attention.coverage.project(values)
    return Source(Operand(keys), Operand(values.mT), mask, covered)


def linguistic(attention, before, weight, value, query):
    """Section 3.1.1, of one position."""
    fertility = 1.5 / (1 + math.exp(-float(attention.coverage.fertility.weight[0] @ value)))
    return before + weight / fertility


def neural(attention, before, weight, value, query):
    """Section 3.1.2, of one position: torch's GRU cell over [a; h; s]."""
    coverage = attention.coverage
    cell = torch.nn.GRUCell(1 + H + D, DIM, bias=False).double()
    cell.weight_ih.data = torch.cat([coverage.weight.weight, coverage.value.weight, coverage.query.weight], dim=1).data
    cell.weight_hh.data = coverage.recurrent.weight.data
    return cell(torch.cat([weight.view(1), value, query]), before)


EQUATIONS = {"linguistic": linguistic, "neural": neural}


def in_a_loop(attention, equation, queries, values):
    """Weights (T, S) of one sentence's queries."""
    score, dim = attention.score, attention.coverage.dim
    coverage = [torch.zeros(dim, dtype=torch.float64) for _ in values]
    rows = []
    for query in queries:
        scores = [
            score.v @ torch.tanh(score.query.weight @ query + score.key.weight @ value + attention.coverage.key.weight @ covered)
            for value, covered in zip(values, coverage, strict=True)
        ]
        weights = torch.stack(scores).softmax(0)
        coverage = [equation(attention, c, a, h, query) for c, a, h in zip(coverage, weights, values, strict=True)]
        rows.append(weights)
    return torch.stack(rows)


@pytest.mark.parametrize("kind", EQUATIONS)
@torch.no_grad()
def test_a_coverage_is_its_equation(kind):
    attention, queries, values = build(kind), random(B, T, D), random(B, S, H)
    lengths = [S, S - 3]
    mask = torch.arange(S) < torch.tensor(lengths)[:, None]
    contexts, weights = attention.of_sentences(queries, source_of(attention, values, mask), attention.uncovered(values))
    for b, length in enumerate(lengths):
        expected = in_a_loop(attention, EQUATIONS[kind], queries[b], values[b, :length])
        torch.testing.assert_close(weights[b, :, :length], expected)
        assert not weights[b, :, length:].any()
        torch.testing.assert_close(contexts[b], expected @ values[b, :length])


@pytest.mark.parametrize("kind", EQUATIONS)
def test_gradients_of_a_coverage(kind):
    attention = build(kind)
    queries, values = random(B, 3, D, requires_grad=True), random(B, S, H, requires_grad=True)
    mask = torch.arange(S) < torch.tensor([[S], [S - 3]])

    def weights(queries, values, *_):
        return attention.of_sentences(queries, source_of(attention, values, mask), attention.uncovered(values))[1]

    assert torch.autograd.gradcheck(weights, (queries, values, *attention.parameters()))


@pytest.mark.parametrize("kind", EQUATIONS)
@torch.no_grad()
def test_rows_of_a_beam_have_coverages_of_their_own(kind):
    attention, values, width = build(kind), random(B, S, H), 3
    mask = torch.ones(B, S, dtype=torch.bool)
    queries = random(2, B * width, D)
    coverage, source = attention.uncovered(values, width), source_of(attention, values, mask)
    for position, query in enumerate(queries):
        _, weights, coverage = attention.of_rows(query, source, position, coverage)
    for b, row in itertools.product(range(B), range(width)):
        expected = in_a_loop(attention, EQUATIONS[kind], queries[:, b * width + row], values[b])
        torch.testing.assert_close(weights[b * width + row], expected[-1])


@torch.no_grad()
def test_what_is_used_up_is_counted_in_fertilities():
    """After attention has gone to one word alone, its coverage is what its fertility makes of one word."""
    coverage = LinguisticCoverage(H, A, 3.0).double()
    values = random(1, S, H)
    weights = torch.eye(S, dtype=torch.float64)[2].view(1, 1, S)
    after = coverage(torch.zeros(1, 1, S, 1, dtype=torch.float64), weights, random(1, 1, D), coverage.project(values))
    expected = torch.zeros(S, dtype=torch.float64)
    expected[2] = 1 / (3 * torch.sigmoid(coverage.fertility(values[0, 2])))
    torch.testing.assert_close(after.flatten(), expected)
