"""Coverage vectors: what a recurrent decoder remembers of having attended to each source position (Tu et al. 2016).

A coverage C, zero at first, is kept for each position. It enters the hidden layer of an additive score, v . tanh(W q + U k + V C), and the
weights that come of it change it. Letters: B sentences, Q queries of each, S source positions, d numbers a position; H width of the
source's states, D of the queries, A of the score's hidden layer; G = 3 d gates.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nmt.attention.scores import at_least_float32
from nmt.cells import gru_cell


class LinguisticCoverage(nn.Module):
    """C_ij = C_{i-1,j} + a_ij / F_j: how much of a position's fertility F_j = N sigmoid(u . h_j) is used up (section 3.1.1); d = 1.

    N, the most target words that a source word is expected to have, is ``max_fertility``.
    """

    def __init__(self, value_dim: int, attention_dim: int, max_fertility: float) -> None:
        super().__init__()
        self.dim = 1
        self.max_fertility = max_fertility
        self.fertility = nn.Linear(value_dim, 1, bias=False)  # u
        self.key = nn.Linear(1, attention_dim, bias=False)  # V

    def project(self, values: Float[Tensor, "B S H"]) -> Float[Tensor, "B S 1"]:
        """What a step reads of each position: its fertility."""
        return self.max_fertility * torch.sigmoid(at_least_float32(self.fertility(values)))

    def forward(
        self,
        coverage: Float[Tensor, "B Q S 1"],
        weights: Float[Tensor, "B Q S"],
        query: Float[Tensor, "B Q D"],
        projected: Float[Tensor, "B S 1"],
    ) -> Float[Tensor, "B Q S 1"]:
        """The coverage after attention with these weights."""
        return coverage + weights.unsqueeze(-1) / projected.unsqueeze(1)


class NeuralCoverage(nn.Module):
    """C_ij = GRU(C_{i-1,j}; a_ij, h_j, s_{i-1}): a recurrent network for each position, all with the same weights (section 3.1.2).

    d is ``dim``.
    """

    def __init__(self, query_dim: int, value_dim: int, attention_dim: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.weight = nn.Linear(1, 3 * dim, bias=False)
        self.value = nn.Linear(value_dim, 3 * dim, bias=False)
        self.query = nn.Linear(query_dim, 3 * dim, bias=False)
        self.recurrent = nn.Linear(dim, 3 * dim, bias=False)
        self.key = nn.Linear(dim, attention_dim, bias=False)  # V

    def project(self, values: Float[Tensor, "B S H"]) -> Float[Tensor, "B S G"]:
        """What a step reads of each position: what its state gives to the gates."""
        return at_least_float32(self.value(values))

    def forward(
        self,
        coverage: Float[Tensor, "B Q S d"],
        weights: Float[Tensor, "B Q S"],
        query: Float[Tensor, "B Q D"],
        projected: Float[Tensor, "B S G"],
    ) -> Float[Tensor, "B Q S d"]:
        """The coverage after attention with these weights."""
        gates = self.weight(weights.unsqueeze(-1)) + projected.unsqueeze(1) + self.query(query).unsqueeze(2)
        return gru_cell(gates, self.recurrent(coverage), coverage)


CoverageVector = LinguisticCoverage | NeuralCoverage
