"""Distributions over the positions of a sentence: what scores become before values are averaged under them.

Letters: h heads, T queries, S positions. Scores may be masked: a position outside of the mask gets exactly zero. Every query must have a
position inside. All compute in the type of the scores.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Softmax(nn.Module):
    """exp(e_s) / sum over s' of exp(e_s')."""

    def forward(self, scores: Float[Tensor, "... S"], mask: Bool[Tensor, "... S"] | None = None) -> Float[Tensor, "... S"]:
        return _masked(scores, mask).softmax(-1)


class SinkSoftmax(nn.Module):
    """exp(e_s) / (exp(b) + sum over s' of exp(e_s')): a position without a value, of logit b, takes what no position deserves.

    b is a parameter of each head that begins as 0, or it stays 0, which adds one to the denominator ("softmax off by one", Miller 2023;
    "zero sink", Xiao et al. 2024, section 3.3). The weights of a query sum to less than one.
    """

    def __init__(self, num_heads: int, *, learned: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.logit = nn.Parameter(torch.zeros(num_heads)) if learned else None

    def forward(
        self, scores: Float[Tensor, "B h T S"], mask: Bool[Tensor, "B #h #T S"] | None = None
    ) -> Float[Tensor, "B h T S"]:
        sink = scores.new_zeros(self.num_heads) if self.logit is None else self.logit.to(scores.dtype)
        sinks = sink[:, None, None].expand(*scores.shape[:-1], 1)
        return torch.cat([_masked(scores, mask), sinks], dim=-1).softmax(-1)[..., :-1]


class Entmax(nn.Module):
    """The maximum over p of p . e + H_alpha(p), Tsallis's entropy: zero for low scores, and exactly so.

    p_s = max(0, (alpha - 1) e_s - t) ** (1 / (alpha - 1)), with the t for which they sum to one (Peters et al. 2019, eq. 8). ``alpha``
    2 is sparsemax (Martins and Astudillo 2016), 1.5 is entmax of that paper, both by sorting; where it is None it is a parameter
    of each head between 1 and 2, 1 + sigmoid(a), which begins as 1.5 (Correia et al. 2019, section 3), and t is found by bisection.
    """

    def __init__(self, num_heads: int, *, alpha: float | None) -> None:
        super().__init__()
        assert alpha in (None, 1.5, 2.0)
        self.fixed = alpha
        self.a = nn.Parameter(torch.zeros(num_heads)) if alpha is None else None

    def forward(
        self, scores: Float[Tensor, "B h T S"], mask: Bool[Tensor, "B #h #T S"] | None = None
    ) -> Float[Tensor, "B h T S"]:
        if self.a is not None:
            alpha = 1 + torch.sigmoid(self.a.to(scores.dtype))
        else:
            assert self.fixed is not None
            alpha = scores.new_full((1,), self.fixed)
        weights: Tensor = _Entmax.apply(_masked(scores, mask), alpha[:, None, None], self.fixed)  # type: ignore[no-untyped-call]
        return weights


Distribution = Softmax | SinkSoftmax | Entmax

SOFTMAX = Softmax()


def _masked(scores: Tensor, mask: Tensor | None) -> Tensor:
    return scores if mask is None else scores.masked_fill(~mask, -torch.inf)


class _Entmax(torch.autograd.Function):
    """Weights by :class:`Entmax`; gradients in closed form (Peters et al. 2019, proposition 2; Correia et al. 2019, proposition 1)."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, alpha: Tensor, fixed: float | None) -> Tensor:
        # 1 beneath the best, and below, nothing has a weight: what is masked may stand there as well, where rounding does not reach
        z = ((alpha - 1) * (scores - scores.amax(-1, keepdim=True))).clamp_(min=-2)
        if fixed == 2:
            weights = (z - _threshold_of_sparsemax(z)).clamp_(min=0)
        elif fixed == 1.5:
            weights = (z - _threshold_of_entmax15(z)).clamp_(min=0).square_()
        else:
            weights = _by_bisection(z, alpha)
        ctx.save_for_backward(weights, alpha)
        return weights

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        weights, alpha = ctx.saved_tensors
        slopes = torch.where(weights > 0, weights, 1.0).pow(2 - alpha) * (weights > 0)
        shares = slopes / slopes.sum(-1, keepdim=True)
        grad_scores = slopes * (grad - (grad * shares).sum(-1, keepdim=True))
        if not ctx.needs_input_grad[1]:
            return grad_scores, None, None
        entropies = torch.xlogy(weights, weights)
        change = (weights - shares) / (alpha - 1) ** 2 - (entropies - shares * entropies.sum(-1, keepdim=True)) / (alpha - 1)
        return grad_scores, (grad * change).sum_to_size(alpha.shape), None


def _threshold_of_sparsemax(z: Float[Tensor, "... S"]) -> Float[Tensor, "... 1"]:
    """t with sum of max(0, z - t) = 1 (Martins and Astudillo 2016, algorithm 1)."""
    best = z.sort(-1, descending=True).values
    count = torch.arange(1, z.shape[-1] + 1, device=z.device, dtype=z.dtype)
    thresholds = (best.cumsum(-1) - 1) / count
    support = (best > thresholds).sum(-1, keepdim=True)
    return thresholds.gather(-1, support - 1)


def _threshold_of_entmax15(z: Float[Tensor, "... S"]) -> Float[Tensor, "... 1"]:
    """t with sum of max(0, z - t) ** 2 = 1, for z of half the scores (Peters et al. 2019, algorithm 2)."""
    best = z.sort(-1, descending=True).values
    count = torch.arange(1, z.shape[-1] + 1, device=z.device, dtype=z.dtype)
    mean = best.cumsum(-1) / count
    variance = best.square().cumsum(-1) / count - mean.square()
    thresholds = mean - (1 / count - variance).clamp_(min=0).sqrt_()
    support = (thresholds <= best).sum(-1, keepdim=True)
    return thresholds.gather(-1, support - 1)


def _by_bisection(z: Float[Tensor, "... S"], alpha: Tensor) -> Float[Tensor, "... S"]:
    """Weights whose threshold is looked for between -1 and that of equal scores (Correia et al. 2019, algorithm 1)."""
    exponent = 1 / (alpha - 1)
    low = torch.full_like(z[..., :1], -1.0)
    width = 1 - (1 / z.shape[-1]) ** (alpha - 1)
    for _ in range(2 - round(math.log2(torch.finfo(z.dtype).eps))):
        width = width / 2
        weights = (z - (low + width)).clamp_(min=0).pow_(exponent)
        low = torch.where(weights.sum(-1, keepdim=True) >= 1, low + width, low)
    weights = (z - low).clamp_(min=0).pow_(exponent)
    return weights / weights.sum(-1, keepdim=True)
