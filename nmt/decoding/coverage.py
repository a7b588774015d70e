"""How much of the source a hypothesis has attended to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nmt.layout import Layout

LEAST = 1e-6
"""The attention that a source piece counts with at least: without it, one that none was given to would make a penalty of -inf."""


@dataclass(slots=True)
class Coverage:
    """The attention that K hypotheses of each sentence have paid so far, summed over their steps: ``total`` (B, K, S).

    It is what ``Seq2Seq.step`` gives, the mean over heads of the top decoder layer's cross-attention. Where there is no source piece,
    at padding and at the source's EOS, the total begins at 1, so that nothing is missing there.
    """

    beta: float
    total: Float[Tensor, "B K S"]

    @staticmethod
    def start(beta: float, source_layout: Layout, width: int, device: torch.device) -> Coverage:
        """No attention yet."""
        pieces = torch.arange(source_layout.max_length) < source_layout.lengths[:, None] - 1  # (B, S)
        return Coverage(beta, (~pieces).float().to(device).unsqueeze(1).repeat(1, width, 1))

    def add(self, attention: Float[Tensor, "R S"]) -> None:
        """Take in the attention of a step, of R = B * K rows."""
        self.total = self.total + attention.view_as(self.total)

    def penalty(self) -> Float[Tensor, "B K"]:
        """Wu et al. 2016, eq. 14: beta * sum over source pieces of log(min(attention, 1)); never above 0.

        The step that predicts EOS counts too. Deviations: the source's EOS is not among the pieces that are to be covered; a piece's
        attention is taken to be at least ``LEAST``.
        """
        return self.beta * self.total.clamp(LEAST, 1.0).log().sum(-1)

    def follow(self, parents: Int[Tensor, "B K"]) -> None:
        """Go on from these hypotheses of each sentence."""
        self.total = torch.take_along_dim(self.total, parents.unsqueeze(-1), dim=1)

    def select(self, sentences: Int[Tensor, " B2"]) -> Coverage:
        """The coverage of some of the sentences."""
        return Coverage(self.beta, self.total[sentences])
