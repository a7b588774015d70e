"""Compatibility of queries with keys, the distribution over a sentence, and the two together: attention with one head.

Written for any number Q of queries a sentence: the rows of a beam, all target positions at once, or one. Scores and their softmax
are float32 at least, whatever autocast makes of the products around them.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.profiler import record_function

from nmt.attention.capture import Attention
from nmt.operand import Operand


class AdditiveScore(nn.Module):
    """v . tanh(W q + U k): Bahdanau et al. 2015, appendix A.1.2, and Luong et al. 2015, eq. 8, "concat".

    Luong writes v . tanh(W [q; k]); cut into the columns that meet q and those that meet k, his W is Bahdanau's W and U, so both
    names stand for this one function.
    """

    def __init__(self, query_dim: int, value_dim: int, attention_dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_dim, attention_dim, bias=False)
        self.key = nn.Linear(value_dim, attention_dim, bias=False)
        self.v = nn.Parameter(torch.empty(attention_dim))

    def project(self, values: Float[Tensor, "B S H"]) -> Float[Tensor, "B S A"]:
        """U k, the same for every query of a sentence."""
        return at_least_float32(self.key(values))

    def forward(self, query: Float[Tensor, "B Q D"], keys: Operand) -> Float[Tensor, "B Q S"]:
        inner = self.query(query).unsqueeze(2) + keys.matrix.unsqueeze(1)  # (B, Q, S, A)
        return torch.tanh(inner) @ self.v  # (B, Q, S)


class GeneralScore(nn.Module):
    """q . W k: Luong et al. 2015, eq. 8, "general"."""

    def __init__(self, query_dim: int, value_dim: int) -> None:
        super().__init__()
        self.key = nn.Linear(value_dim, query_dim, bias=False)

    def project(self, values: Float[Tensor, "B S H"]) -> Float[Tensor, "B S D"]:
        """W k, the same for every query of a sentence."""
        return at_least_float32(self.key(values))

    def forward(self, query: Float[Tensor, "B Q D"], keys: Operand) -> Float[Tensor, "B Q S"]:
        return keys(query)


class DotScore(nn.Module):
    """q . k: Luong et al. 2015, eq. 8, "dot". Queries and values have one width."""

    def project(self, values: Float[Tensor, "B S D"]) -> Float[Tensor, "B S D"]:
        return at_least_float32(values)

    def forward(self, query: Float[Tensor, "B Q D"], keys: Operand) -> Float[Tensor, "B Q S"]:
        return keys(query)


def masked_softmax(scores: Float[Tensor, "... S"], mask: Bool[Tensor, "... S"] | None) -> Float[Tensor, "... S"]:
    """Softmax over the positions where ``mask`` is True; exactly zero elsewhere. Every row must have a True."""
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(-1)


def at_least_float32(tensor: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Half precision as float32; anything wider as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class RecurrentAttention(Attention):
    """The attention of a recurrent decoder: a score, a softmax over the source sentence, and the mean of the values under it."""

    def __init__(self, score: AdditiveScore | GeneralScore | DotScore) -> None:
        super().__init__()
        self.score = score

    def forward(
        self, query: Float[Tensor, "B Q D"], keys: Operand, values: Operand, mask: Bool[Tensor, "B S"]
    ) -> tuple[Float[Tensor, "B Q H"], Float[Tensor, "B Q S"]]:
        """Contexts and weights, from what the score made of the values as keys (B, S, A), and the values as (B, H, S).

        Recording is left to the decoder, which alone knows when a sentence is complete.
        """
        with record_function("attention"), torch.autocast(query.device.type, enabled=False):
            weights = masked_softmax(self.score(query.to(keys.matrix.dtype), keys), mask[:, None])
            return values(weights), weights
