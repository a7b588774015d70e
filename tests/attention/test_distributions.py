"""Distributions against plain loops of their equations, the `entmax` package, and numerical gradients."""

import math

import entmax
import pytest
import torch

from nmt.attention.distributions import Entmax, SinkSoftmax, Softmax

B, HEADS, T, S = 2, 3, 5, 7

KINDS = {
    "softmax": Softmax,
    "sink": lambda: SinkSoftmax(HEADS, learned=True),
    "off_by_one": lambda: SinkSoftmax(HEADS, learned=False),
    "sparsemax": lambda: Entmax(HEADS, alpha=2.0),
    "entmax15": lambda: Entmax(HEADS, alpha=1.5),
    "entmax": lambda: Entmax(HEADS, alpha=None),
}
SPARSE = ["sparsemax", "entmax15", "entmax"]


@pytest.fixture(params=KINDS, ids=str)
def kind(request):
    return request.param


def build(kind, seed=1):
    torch.manual_seed(seed)
    distribution = KINDS[kind]().double()
    for parameter in distribution.parameters():
        torch.nn.init.normal_(parameter)
    return distribution


def random_scores(*shape, seed=2, requires_grad=False):
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(shape or (B, HEADS, T, S), generator=generator, dtype=torch.float64)).requires_grad_(requires_grad)


def random_mask(seed=3):
    mask = torch.rand(B, 1, T, S, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[..., seed % S] = True
    return mask


def softmax(scores, extra=0.0):
    total = sum(map(math.exp, scores)) + extra
    return [math.exp(score) / total for score in scores]


def entmax_by_search(scores, alpha):
    """Peters et al. 2019, eq. 8, its threshold found by halving, one row at a time."""
    low, high = (alpha - 1) * max(scores) - 1, (alpha - 1) * max(scores)

    def weights(threshold):
        return [max(0.0, (alpha - 1) * score - threshold) ** (1 / (alpha - 1)) for score in scores]

    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(weights(middle)) > 1 else (low, middle)
    return weights(low)


def by_loop(distribution, scores, head):
    """The distribution of one row of scores, none of them masked."""
    if isinstance(distribution, SinkSoftmax):
        return softmax(scores, math.exp(distribution.logit[head]) if distribution.logit is not None else 1.0)
    if isinstance(distribution, Entmax):
        alpha = distribution.fixed or 1 + 1 / (1 + math.exp(-distribution.a[head]))
        return entmax_by_search(scores, alpha)
    return softmax(scores)


@torch.no_grad()
def test_a_distribution_is_its_equation_where_the_mask_allows_and_zero_elsewhere(kind):
    distribution, scores, mask = build(kind), random_scores(), random_mask()
    weights = distribution(scores, mask)
    assert (weights[~mask.expand_as(weights)] == 0).all()
    for b in range(B):
        for head in range(HEADS):
            for t in range(T):
                seen = mask[b, 0, t]
                expected = by_loop(distribution, scores[b, head, t][seen].tolist(), head)
                torch.testing.assert_close(weights[b, head, t][seen], torch.tensor(expected, dtype=torch.float64))
    everywhere = torch.ones(B, 1, 1, S, dtype=torch.bool)
    assert torch.equal(distribution(scores), distribution(scores, everywhere))


def test_gradients(kind):
    distribution, scores, mask = build(kind), random_scores(requires_grad=True), random_mask()
    assert torch.autograd.gradcheck(lambda scores, *_: distribution(scores, mask), (scores, *distribution.parameters()))


@pytest.mark.parametrize("seed", range(7))
def test_sparse_distributions_are_those_of_another_library(seed):
    """Values and gradients; scores of all sizes, equal ones among them."""
    scores = random_scores(B, HEADS, T, 2 + 5 * seed, seed=seed).round(decimals=seed % 3) * 3.0 ** (seed - 3)
    scores = scores.requires_grad_()
    towards = random_scores(*scores.shape, seed=11)
    learned = build("entmax", seed)
    alpha = (1 + torch.sigmoid(learned.a.detach()))[:, None, None].expand(B, HEADS, T, 1).clone().requires_grad_()
    pairs = [
        (build("sparsemax")(scores), entmax.sparsemax(scores, dim=-1)),
        (build("entmax15")(scores), entmax.entmax15(scores, dim=-1)),
        (learned(scores), entmax.entmax_bisect(scores, alpha, dim=-1, n_iter=80)),
    ]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs)
        (ours_grad,), (theirs_grad,) = (torch.autograd.grad(each, scores, towards, retain_graph=True) for each in (ours, theirs))
        torch.testing.assert_close(ours_grad, theirs_grad, atol=1e-6, rtol=1e-6)
    (ours_grad,), (theirs_grad,) = (
        torch.autograd.grad(each, parameter, towards) for each, parameter in zip(pairs[-1], (learned.a, alpha), strict=True)
    )
    slope = torch.sigmoid(learned.a) * torch.sigmoid(-learned.a)
    torch.testing.assert_close(ours_grad, theirs_grad.sum((0, 2, 3)) * slope, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_what_weights_sum_to(kind):
    weights = build(kind)(random_scores(), random_mask())
    sums = weights.sum(-1)
    if kind in ("sink", "off_by_one"):
        assert ((sums > 0) & (sums < 1)).all()
    else:
        torch.testing.assert_close(sums, torch.ones_like(sums))
    zeros = (weights == 0)[random_mask().expand_as(weights)]
    assert zeros.any() == (kind in SPARSE)


@torch.no_grad()
def test_scores_that_overflow_an_exponential(kind):
    scores = random_scores().float() * 1e4
    weights = build(kind).float()(scores, random_mask())
    assert weights.isfinite().all()
    best = scores.masked_fill(~random_mask(), -math.inf).argmax(-1, keepdim=True)
    if kind not in ("sink", "off_by_one"):
        torch.testing.assert_close(weights.gather(-1, best), torch.ones_like(best, dtype=torch.float32))


@torch.no_grad()
def test_where_parameters_begin():
    assert torch.equal(KINDS["sink"]()(random_scores()), KINDS["off_by_one"]()(random_scores()))
    torch.testing.assert_close(KINDS["entmax"]()(random_scores()), KINDS["entmax15"]()(random_scores()))


def test_no_gradient_reaches_what_is_masked(kind):
    scores, mask = random_scores(requires_grad=True), random_mask()
    (build(kind)(scores, mask) * random_scores(seed=5)).sum().backward()
    assert (scores.grad[~mask.expand_as(scores)] == 0).all()
    assert scores.grad.any()
