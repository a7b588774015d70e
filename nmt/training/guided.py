"""Guided alignment: attention that learns where known word links go (Garg et al. 2019, section 4.2; Chen et al. 2016 for recurrent models).

Letters: B sentences, T target positions, S source positions, h heads, L links.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

LEAST_WEIGHT = 1e-30
"""Attention whose logarithm is taken: that outside of a scope, or of a sparse distribution, is zero and has nothing to learn."""


@dataclass(frozen=True, slots=True)
class Guide:
    """What is guided, and how much.

    Attributes:
        attention: its name, as in ``Seq2Seq.attentions()``.
        head: one of its heads, or None for their mean.
        shift: whether a target piece's row is that of the step which reads it, not of the one which predicts it.
        weight: of the loss, beside that of translating.
    """

    attention: str
    head: int | None
    shift: bool
    weight: float

    def loss_sum(self, weights: Float[Tensor, "B h T S"], links: Int[Tensor, "L 3"]) -> Float[Tensor, ""]:
        """- sum p log a over all links, where a is the attention of the target piece to the source piece, before dropout, and p shares 1
        equally among the links of a target piece. Pieces without links do not count.

        Deviation: the paper divides by the length of each sentence; here the sum is divided by the update's target tokens, as that of
        translating is.
        """
        attention = weights.mean(1) if self.head is None else weights[:, self.head]
        sentences, targets, sources = links.unbind(1)
        targets = targets + int(self.shift)
        rows = sentences * attention.shape[1] + targets
        shares = 1 / torch.bincount(rows, minlength=attention.shape[:2].numel())[rows]
        return -(shares * attention[sentences, targets, sources].clamp(min=LEAST_WEIGHT).log()).sum()
