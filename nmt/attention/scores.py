"""Compatibility of queries with keys, for attention with one head.

Written for any number Q of queries a sentence: the rows of a beam, all target positions at once, or one. Scores
are float32 at least, whatever autocast makes of the products around them.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nmt.operand import Operand


class AdditiveScore(nn.Module):
    """v . tanh(W q + U k): Bahdanau et al. 2015, appendix A.1.2, and Luong et al. 2015, section 3.1, "concat".

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

    def forward(
        self, query: Float[Tensor, "B Q D"], keys: Operand, added: Float[Tensor, "B Q S A"] | None = None
    ) -> Float[Tensor, "B Q S"]:
        """What is ``added`` stands beside W q and U k."""
        inner = self.query(query).unsqueeze(2) + keys.matrix.unsqueeze(1)  # (B, Q, S, A)
        return torch.tanh(inner if added is None else inner + added) @ self.v  # (B, Q, S)


class NormedAdditiveScore(AdditiveScore):
    """g v / |v| . tanh(W q + U k + b): the additive score with its last vector normalised (Salimans and Kingma 2016), as "normed Bahdanau"
    of TensorFlow's NMT tutorial. g begins as 1 / sqrt(A), b as 0."""

    def __init__(self, query_dim: int, value_dim: int, attention_dim: int) -> None:
        super().__init__(query_dim, value_dim, attention_dim)
        self.gain = nn.Parameter(torch.tensor(attention_dim**-0.5))
        self.bias = nn.Parameter(torch.zeros(attention_dim))

    def project(self, values: Float[Tensor, "B S H"]) -> Float[Tensor, "B S A"]:
        """U k + b."""
        return super().project(values) + self.bias

    def forward(
        self, query: Float[Tensor, "B Q D"], keys: Operand, added: Float[Tensor, "B Q S A"] | None = None
    ) -> Float[Tensor, "B Q S"]:
        gain: Tensor = self.gain / self.v.norm()
        return super().forward(query, keys, added) * gain


class GeneralScore(nn.Module):
    """q . W k: Luong et al. 2015, section 3.1, "general"."""

    def __init__(self, query_dim: int, value_dim: int) -> None:
        super().__init__()
        self.key = nn.Linear(value_dim, query_dim, bias=False)

    def project(self, values: Float[Tensor, "B S H"]) -> Float[Tensor, "B S D"]:
        """W k, the same for every query of a sentence."""
        return at_least_float32(self.key(values))

    def forward(self, query: Float[Tensor, "B Q D"], keys: Operand) -> Float[Tensor, "B Q S"]:
        return keys(query)


class DotScore(nn.Module):
    """q . k: Luong et al. 2015, section 3.1, "dot". Queries and values have one width."""

    def project(self, values: Float[Tensor, "B S D"]) -> Float[Tensor, "B S D"]:
        return at_least_float32(values)

    def forward(self, query: Float[Tensor, "B Q D"], keys: Operand) -> Float[Tensor, "B Q S"]:
        return keys(query)


class ScaledDotScore(DotScore):
    """g (q . k): g is 1 / sqrt(D) (Vaswani et al. 2017, eq. 1), or a parameter that begins there."""

    def __init__(self, query_dim: int, *, learned: bool) -> None:
        super().__init__()
        scale = torch.tensor(query_dim**-0.5)
        self.scale: Tensor
        if learned:
            self.scale = nn.Parameter(scale)
        else:
            self.register_buffer("scale", scale, persistent=False)

    def forward(self, query: Float[Tensor, "B Q D"], keys: Operand) -> Float[Tensor, "B Q S"]:
        return super().forward(query * self.scale, keys)


class LocationScore(nn.Module):
    """W q, a score for each position whatever stands there: Luong et al. 2015, eq. 8, "location".

    Positions from ``max_length`` on get none.
    """

    def __init__(self, query_dim: int, max_length: int) -> None:
        super().__init__()
        self.positions = nn.Linear(query_dim, max_length, bias=False)

    def project(self, values: Float[Tensor, "B S H"]) -> Float[Tensor, "B S H"]:
        """No more than their number is used."""
        return at_least_float32(values)

    def forward(self, query: Float[Tensor, "B Q D"], keys: Operand) -> Float[Tensor, "B Q S"]:
        length = keys.matrix.shape[1]
        scores = self.positions(query)[..., :length]
        return nn.functional.pad(scores, (0, length - scores.shape[-1]), value=-torch.inf)


RecurrentScore = AdditiveScore | GeneralScore | DotScore | LocationScore


def at_least_float32(tensor: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Half precision as float32; anything wider as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
