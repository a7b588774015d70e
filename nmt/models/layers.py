"""Small layers that several models share, and the initialisation of weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nmt.attention.scores import at_least_float32
from nmt.config import Position, TransformerConfig, Tying


class OutputLayer(nn.Linear):
    """The last linear map, from hidden states to logits, which are float32 at least whatever autocast makes of the product."""

    def forward(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        # given to `linear` the bias would first be copied to all rows: a fifth slower on the CPU (320 x 256 x 8,000); and added to numbers
        # of another type it would be by way of two copies of them: 2.4 ms instead of 0.3
        return at_least_float32(nn.functional.linear(hidden, self.weight)).add_(self.bias)


class Embeddings(nn.Module):
    """Source and target embeddings and the output layer, tied as asked for.

    ``two_way`` makes the output layer the target embedding (Press and Wolf 2017), ``three_way`` the source embedding too, which one
    joint vocabulary allows. The output bias is never shared.
    """

    def __init__(self, vocab_sizes: tuple[int, int], dim: int, tying: Tying) -> None:
        super().__init__()
        source, target = vocab_sizes
        self.source = nn.Embedding(source, dim)
        self.target = self.source if tying is Tying.three_way else nn.Embedding(target, dim)
        self.output = OutputLayer(dim, target)
        if tying is not Tying.none:
            self.output.weight = self.target.weight

    def reset(self) -> None:
        """N(0, 1/dim) for every matrix, so that tied logits begin small; zero for the bias."""
        for weight in (self.source.weight, self.target.weight, self.output.weight):
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
        nn.init.zeros_(self.output.bias)


def init_matrix(weight: Tensor, blocks: int | Sequence[int] = 1) -> None:
    """Xavier-uniform, each of ``blocks`` stacked matrices on its own; or of matrices of so many rows each."""
    sizes = [len(weight) // blocks] * blocks if isinstance(blocks, int) else list(blocks)
    with torch.no_grad():
        for block in weight.split(sizes):
            nn.init.xavier_uniform_(block)


def init_recurrent(weight: Tensor, blocks: int) -> None:
    """Orthogonal, each of ``blocks`` stacked square matrices on its own: one per gate."""
    with torch.no_grad():
        for block in weight.chunk(blocks):
            nn.init.orthogonal_(block)


class SinusoidalPositions(nn.Module):
    """PE(p, 2i) = sin(p / 10000^(2i/D)), PE(p, 2i+1) = cos of the same: Vaswani et al. 2017, section 3.5."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, positions: Int[Tensor, "..."]) -> Float[Tensor, "... D"]:
        frequencies = torch.exp(torch.arange(0, self.dim, 2, device=positions.device) * (-math.log(10_000.0) / self.dim))
        angles = positions.unsqueeze(-1) * frequencies
        return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


class LearnedPositions(nn.Module):
    """A vector for each of so many positions, which begins as the sinusoidal one; from there on all share the last.

    Gehring et al. 2017, section 3.1, who let them begin at random.
    """

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(SinusoidalPositions(dim)(torch.arange(count)))

    def forward(self, positions: Int[Tensor, "..."]) -> Float[Tensor, "... D"]:
        return self.weight[positions.clamp(max=len(self.weight) - 1)]


PositionVectors = SinusoidalPositions | LearnedPositions


def build_positions(config: TransformerConfig) -> PositionVectors | None:
    """The vectors that a configuration adds to embeddings, if it does."""
    match config.position:
        case Position.sinusoidal:
            return SinusoidalPositions(config.model_dim)
        case Position.learned:
            return LearnedPositions(config.max_positions, config.model_dim)
        case _:
            return None
