"""Scopes of recurrent attention: which source positions a query may attend to, and how much the distance counts.

Luong et al. 2015, section 3.2. Letters: B sentences, Q queries of each, S source positions, D width of a query. Positions count from 0.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


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
