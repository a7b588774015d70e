"""What training minimises, as the one module that is trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nmt.attention.capture import capture
from nmt.config import LossConfig
from nmt.data.batching import Batch
from nmt.models.interface import Seq2Seq
from nmt.training.guided import Guide
from nmt.training.loss import output_loss


@dataclass(slots=True)
class Losses:
    """Sums over the real target positions of a batch: ``loss_sum`` is minimised; ``nll_sum`` (unsmoothed, in nats) and the unweighted
    ``alignment_sum`` of a guide, which is 0 without one, are reported."""

    loss_sum: Float[Tensor, ""]
    nll_sum: Float[Tensor, ""]
    alignment_sum: Float[Tensor, ""]
    num_tokens: int


class Objective(nn.Module):
    """A batch to its :class:`Losses`: what a compiler of the whole training computation would be given.

    A guide has a part in the loss of batches that know their links.
    """

    def __init__(self, model: Seq2Seq, config: LossConfig, guide: Guide | None = None) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.guide = guide

    def forward(self, batch: Batch) -> Losses:
        output = self.model.output_layer()
        guided = [self.guide.attention] if self.guide and batch.links is not None else []
        memory = self.model.encode(batch.source, batch.source_layout)
        with capture(self.model.attentions(), guided) as records:
            hidden = self.model.decode(batch.target_in, batch.target_layout, memory)
        loss_sum, nll_sum = output_loss(
            batch.target_layout.real(hidden),
            output.weight,
            output.bias,
            batch.target_layout.real(batch.target_out),
            label_smoothing=self.config.label_smoothing if self.training else 0.0,
            chunk_size=self.config.chunk_size,
        )
        alignment_sum = torch.zeros_like(nll_sum)
        if self.guide and batch.links is not None:
            [record] = records
            alignment_sum = self.guide.loss_sum(record.weights, batch.links)
            loss_sum = loss_sum + self.guide.weight * alignment_sum
        return Losses(loss_sum, nll_sum, alignment_sum.detach(), batch.num_tokens)
