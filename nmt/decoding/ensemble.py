"""Several models that predict together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nmt.layout import Layout
from nmt.models.interface import Memory, Predictor, Seq2Seq, State, StepOutput


@dataclass(slots=True)
class EnsembleMemory(Memory):
    """The memory of each model."""

    parts: list[Memory]

    def select(self, sentences: Int[Tensor, " B2"]) -> EnsembleMemory:
        return EnsembleMemory([part.select(sentences) for part in self.parts])


@dataclass(slots=True)
class EnsembleState(State):
    """The state of each model."""

    parts: list[State]

    def select(self, rows: Int[Tensor, " R2"]) -> EnsembleState:
        return EnsembleState([part.select(rows) for part in self.parts])


class Ensemble(Predictor):
    """Models over one vocabulary as one, whose probabilities are the arithmetic mean of theirs.

    Its hidden states are theirs side by side, its logits log-probabilities, its attention the mean of theirs.
    """

    def __init__(self, models: Sequence[Seq2Seq]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.widths = [model.output_layer().in_features for model in models]

    def encode(self, source: Int[Tensor, "..."], layout: Layout) -> EnsembleMemory:
        return EnsembleMemory([model.encode(source, layout) for model in self._models()])

    def init_state(self, memory: Memory, width: int = 1) -> EnsembleState:
        parts = cast(EnsembleMemory, memory).parts
        return EnsembleState([model.init_state(part, width) for model, part in zip(self._models(), parts, strict=True)])

    def step(self, previous: Int[Tensor, " R"], state: State, memory: Memory, *, with_attention: bool = False) -> StepOutput:
        parts = zip(self._models(), cast(EnsembleState, state).parts, cast(EnsembleMemory, memory).parts, strict=True)
        outputs = [model.step(previous, own, read, with_attention=with_attention) for model, own, read in parts]
        attentions = [output.attention for output in outputs if output.attention is not None]
        return StepOutput(
            torch.cat([output.hidden for output in outputs], dim=-1),
            EnsembleState([output.state for output in outputs]),
            torch.stack(attentions).mean(0) if with_attention else None,
        )

    def decode(self, target_in: Int[Tensor, "..."], layout: Layout, memory: Memory) -> Float[Tensor, "... D"]:
        parts = zip(self._models(), cast(EnsembleMemory, memory).parts, strict=True)
        return torch.cat([model.decode(target_in, layout, part) for model, part in parts], dim=-1)

    def output(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """log(mean of probabilities), in float32 at least."""
        parts = zip(self._models(), hidden.split(self.widths, dim=-1), strict=True)
        logits = (model.output(part) for model, part in parts)
        log_probs = (each.log_softmax(-1) for each in logits)
        return reduce(torch.logaddexp, log_probs) - math.log(len(self.models))

    def _models(self) -> list[Seq2Seq]:
        return cast(list[Seq2Seq], list(self.models))
