"""Positions inside of self-attention: queries and keys that are turned, or scores that depend on the distance.

Letters: h heads, d width of a head, T query positions, S key positions. Positions count from 0.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def rotate(heads: Float[Tensor, "... h d"], positions: Int[Tensor, "..."]) -> Float[Tensor, "... h d"]:
    """Queries or keys with dimensions 2 i and 2 i + 1 turned by the angle p / 10000^(2i/d) at position p: Su et al. 2021, eq. 34.

    The product of two of them depends on the distance of their positions alone. ``positions`` are of the last dimensions before h.
    """
    frequencies = torch.exp(torch.arange(0, heads.shape[-1], 2, device=heads.device) * (-math.log(10_000.0) / heads.shape[-1]))
    angles = positions[..., None, None] * frequencies  # (..., 1, d / 2)
    cos, sin = angles.cos().to(heads.dtype), angles.sin().to(heads.dtype)
    even, odd = heads[..., ::2], heads[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


class LinearBias(nn.Module):
    """-m |i - j| for query position i and key position j, with a slope m of each head: ALiBi, Press et al. 2022.

    Slopes are 2^(-8/h), 2^(-16/h), ..., 2^-8 for h a power of two; otherwise those of the next lower power, and then every other one of
    the next higher. For an encoder the distance counts in both directions alike, which the paper leaves open.
    """

    slopes: Tensor

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        lower = 2 ** int(math.log2(num_heads))
        slopes = [2 ** (-8 * (k + 1) / lower) for k in range(lower)]
        slopes += [2 ** (-8 * (2 * k + 1) / (2 * lower)) for k in range(num_heads - lower)]
        self.register_buffer("slopes", torch.tensor(slopes), persistent=False)

    def forward(self, queries: Int[Tensor, "T 1"], keys: Int[Tensor, "#T S"]) -> Float[Tensor, "h T S"]:
        return -self.slopes[:, None, None] * (queries - keys).abs()


class BucketBias(nn.Module):
    """A number for each head and each bucket of distances: T5, Raffel et al. 2020, section 2.1.

    Half of the buckets are for one distance each, the other half for ranges that grow as the logarithm up to ``max_distance``, and the
    last of them for all beyond. A causal one has them all for keys behind the query, another one half for each side. Deviation: each
    layer has its own numbers, which begin as 0.
    """

    bounds: Tensor

    def __init__(self, num_heads: int, *, causal: bool, num_buckets: int = 32, max_distance: int = 128) -> None:
        super().__init__()
        self.causal = causal
        self.side = num_buckets if causal else num_buckets // 2
        exact = self.side // 2
        steps = [exact * (max_distance / exact) ** (k / (self.side - exact)) for k in range(1, self.side - exact)]
        bounds = [*range(1, exact + 1), *(math.ceil(step - 1e-6) for step in steps)]
        self.register_buffer("bounds", torch.tensor(bounds), persistent=False)
        self.weight = nn.Parameter(torch.zeros(num_buckets, num_heads))

    def forward(self, queries: Int[Tensor, "T 1"], keys: Int[Tensor, "#T S"]) -> Float[Tensor, "h T S"]:
        return self.weight[self.buckets(keys - queries)].permute(2, 0, 1)

    def buckets(self, offsets: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
        """The bucket of a key so many positions after the query; ``bounds`` is where each bucket of a side but the first begins."""
        if self.causal:
            return torch.bucketize((-offsets).clamp(min=0), self.bounds, right=True)
        return torch.bucketize(offsets.abs(), self.bounds, right=True) + (offsets > 0) * self.side


RelativeBias = LinearBias | BucketBias
