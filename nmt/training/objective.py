"""What training minimises, as the one module that is trained."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from nmt.config import LossConfig
from nmt.data.batching import Batch
from nmt.models.interface import Seq2Seq
from nmt.training.loss import output_loss


@dataclass(slots=True)
class Losses:
    """Sums over the real target positions of a batch: ``loss_sum`` is minimised, ``nll_sum`` (unsmoothed, in nats) is reported."""

    loss_sum: Float[Tensor, ""]
    nll_sum: Float[Tensor, ""]
    num_tokens: int


class Objective(nn.Module):
    """A batch to its :class:`Losses`: what a compiler of the whole training computation would be given."""

    def __init__(self, model: Seq2Seq, config: LossConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config

    def forward(self, batch: Batch) -> Losses:
        output = self.model.output_layer()
        memory = self.model.encode(batch.source, batch.source_layout)
        hidden = self.model.decode(batch.target_in, batch.target_layout, memory)
        loss_sum, nll_sum = output_loss(
            batch.target_layout.real(hidden),
            output.weight,
            output.bias,
            batch.target_layout.real(batch.target_out),
            label_smoothing=self.config.label_smoothing if self.training else 0.0,
            chunk_size=self.config.chunk_size,
        )
        return Losses(loss_sum, nll_sum, batch.num_tokens)
