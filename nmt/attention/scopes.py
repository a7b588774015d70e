"""Scopes: which positions a query may attend to.

Of self-attention, where queries and keys are positions of one sentence: :class:`Scope` and its kinds. Of a recurrent decoder over the
source: :class:`LocalMonotonic` and :class:`LocalPredictive`, Luong et al. 2015, section 3.2. Letters: B sentences, Q or T queries of each,
S key positions, D width of a query. Positions count from 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Scope:
    """All positions, or with ``causal`` those up to the query's own."""

    causal: bool

    def allows(self, queries: Int[Tensor, "T 1"], keys: Int[Tensor, "#T S"]) -> Bool[Tensor, "T S"]:
        """Whether a query at one position may attend to a key at another."""
        before = keys <= queries
        return before if self.causal else torch.ones_like(before)


FULL, CAUSAL = Scope(causal=False), Scope(causal=True)


@dataclass(frozen=True, slots=True)
class Window(Scope):
    """Positions up to ``reach`` away, and the first ``num_sinks`` wherever the query is (Xiao et al. 2024, section 3.2); the first
    ``num_global`` are besides seen by all and see all (Beltagy et al. 2020, section 3.1), where ``causal`` allows it."""

    reach: int
    num_sinks: int = 0
    num_global: int = 0

    @property
    def num_first(self) -> int:
        """How many positions at the beginning all queries may attend to."""
        return max(self.num_sinks, self.num_global)

    def allows(self, queries: Int[Tensor, "T 1"], keys: Int[Tensor, "#T S"]) -> Bool[Tensor, "T S"]:
        near = ((queries - keys).abs() <= self.reach) | (keys < self.num_first) | (queries < self.num_global)
        return near & Scope(self.causal).allows(queries, keys)


@dataclass(frozen=True, slots=True)
class Strided(Scope):
    """Positions up to ``stride`` away, and every ``stride``-th from the query's own: Child et al. 2019, section 4.2, both heads' patterns
    merged. The paper's is causal."""

    stride: int

    def allows(self, queries: Int[Tensor, "T 1"], keys: Int[Tensor, "#T S"]) -> Bool[Tensor, "T S"]:
        distances = queries - keys
        near = (distances.abs() <= self.stride) | (distances % self.stride == 0)
        return near & Scope(self.causal).allows(queries, keys)


class LocalMonotonic(nn.Module):
    """local-m: the positions up to ``window`` from the query's own, p_t = t; from the last position where the source has ended."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def centres(
        self, query: Float[Tensor, "B Q D"], position: int | Int[Tensor, " Q"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "B #Q"]:
        """p_t of each query; ``position`` is t, of each query or of all of them."""
        own = torch.as_tensor(position, device=query.device)
        return torch.minimum(own.view(1, -1), lengths[:, None] - 1).to(query.dtype)

    def window_mask(self, centres: Float[Tensor, "B #Q"], mask: Bool[Tensor, "B S"]) -> Bool[Tensor, "B #Q S"]:
        """The positions within the window of each query, where the sentence has them."""
        return (_distances(centres, mask.shape[1]).abs() <= self.window) & mask[:, None]

    def favour(self, weights: Float[Tensor, "B Q S"], centres: Float[Tensor, "B #Q"]) -> Float[Tensor, "B Q S"]:
        """Weights as the distance from the centre changes them: here not at all."""
        return weights


class Final(LocalMonotonic):
    """The position that an encoder read last, the first one if it read ``backward``, whatever the query: a decoder without attention."""

    def __init__(self, *, backward: bool) -> None:
        super().__init__(window=0)
        self.backward = backward

    def centres(
        self, query: Float[Tensor, "B Q D"], position: int | Int[Tensor, " Q"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "B #Q"]:
        """That position."""
        last = torch.zeros_like(lengths) if self.backward else lengths - 1
        return last[:, None].to(query.dtype)


class LocalPredictive(LocalMonotonic):
    """local-p: the positions up to ``window`` from p_t = S sigmoid(v . tanh(W h_t)), which the query predicts (eq. 9 and 10).

    Weights are multiplied with exp(-(s - p_t)^2 / (2 (window / 2)^2)), so that the prediction has a gradient; they sum to less than one.
    S is the sentence's length.
    """

    def __init__(self, query_dim: int, window: int) -> None:
        super().__init__(window)
        self.hidden = nn.Linear(query_dim, query_dim, bias=False)
        self.v = nn.Parameter(torch.empty(query_dim))

    def centres(
        self, query: Float[Tensor, "B Q D"], position: int | Int[Tensor, " Q"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "B Q"]:
        """p_t of each query, a real number from 0 to S."""
        return lengths[:, None] * torch.sigmoid(torch.tanh(self.hidden(query)) @ self.v)

    def favour(self, weights: Float[Tensor, "B Q S"], centres: Float[Tensor, "B Q"]) -> Float[Tensor, "B Q S"]:
        deviation = self.window / 2
        return weights * torch.exp(-_distances(centres, weights.shape[-1]).square() / (2 * deviation**2))


def _distances(centres: Float[Tensor, "B #Q"], length: int) -> Float[Tensor, "B #Q S"]:
    return torch.arange(length, device=centres.device) - centres.unsqueeze(-1)
