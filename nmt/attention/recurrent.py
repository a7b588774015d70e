"""The attention of recurrent decoders: one head, over the states of an encoder, one query after the other or all at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.profiler import record_function

from nmt.attention.capture import Attention
from nmt.attention.coverage import CoverageVector
from nmt.attention.distributions import SOFTMAX, Distribution
from nmt.attention.scopes import LocalMonotonic
from nmt.attention.scores import AdditiveScore, RecurrentScore
from nmt.operand import Operand


@dataclass(slots=True)
class Source:
    """What is attended to: what the score made of the values as keys (B, S, A), the values as (B, H, S), which positions are real, and what
    a coverage vector reads of the values."""

    keys: Operand
    values: Operand
    mask: Bool[Tensor, "B S"]
    covered: Float[Tensor, "B S C"] | None = None


class RecurrentAttention(Attention):
    """A score over a temperature, a distribution within a scope, and the mean of the values under it.

    Without a scope it is global: all positions of the sentence. Recording is left to the decoder, which alone knows when a sentence
    is complete.
    """

    def __init__(
        self,
        score: RecurrentScore,
        distribution: Distribution = SOFTMAX,
        scope: LocalMonotonic | None = None,
        temperature: float = 1.0,
        coverage: CoverageVector | None = None,
    ) -> None:
        super().__init__()
        self.score = score
        self.distribution = distribution
        self.scope = scope
        self.temperature = temperature
        self.coverage = coverage

    def uncovered(self, values: Float[Tensor, "B S H"], width: int = 1) -> Float[Tensor, "R S d"] | None:
        """The coverage before the first query of R rows, ``width`` to a sentence, if there is one."""
        if self.coverage is None:
            return None
        size = (len(values) * width, values.shape[1], self.coverage.dim)
        return values.new_zeros(size, dtype=torch.promote_types(values.dtype, torch.float32))

    def forward(
        self,
        query: Float[Tensor, "B Q D"],
        source: Source,
        position: int | Int[Tensor, " Q"],
        coverage: Float[Tensor, "B Q S d"] | None = None,
    ) -> tuple[Float[Tensor, "B Q H"], Float[Tensor, "B Q S"], Float[Tensor, "B Q S d"] | None]:
        """Contexts, weights, and the coverage after them; ``position`` is the target position of each query, or of all."""
        with record_function("attention"), torch.autocast(query.device.type, enabled=False):
            query = query.to(source.keys.matrix.dtype)
            if self.coverage is None:
                scores = self.score(query, source.keys)
            else:
                assert isinstance(self.score, AdditiveScore)
                scores = self.score(query, source.keys, self.coverage.key(coverage))
            if self.temperature != 1:
                scores = scores / self.temperature
            if self.scope is None:
                weights = self._distribute(scores, source.mask[:, None])
            else:
                centres = self.scope.centres(query, position, source.mask.sum(1))
                weights = self.scope.favour(self._distribute(scores, self.scope.window_mask(centres, source.mask)), centres)
            if self.gates is not None:
                weights = weights * self.gates[:, 0, torch.as_tensor(position, device=weights.device).view(-1)]
            if self.coverage is not None:
                coverage = self.coverage(coverage, weights, query, source.covered)
            return source.values(weights), weights, coverage

    def of_rows(
        self, query: Float[Tensor, "R D"], source: Source, position: int, coverage: Float[Tensor, "R S d"] | None
    ) -> tuple[Float[Tensor, "R H"], Float[Tensor, "R S"], Float[Tensor, "R S d"] | None]:
        """The same of one query for each of R rows, R / B of them to a sentence."""
        by_sentence = (len(source.mask), -1)
        covered = None if coverage is None else coverage.unflatten(0, by_sentence)
        context, weights, covered = self.forward(query.unflatten(0, by_sentence), source, position, covered)
        return context.flatten(0, 1), weights.flatten(0, 1), None if covered is None else covered.flatten(0, 1)

    def of_sentences(
        self, queries: Float[Tensor, "B T D"], source: Source, coverage: Float[Tensor, "B S d"] | None
    ) -> tuple[Float[Tensor, "B T H"], Float[Tensor, "B T S"]]:
        """Contexts and weights of whole targets whose queries do not depend on them: at once, unless a coverage is carried along."""
        length = queries.shape[1]
        if coverage is None:
            context, weights, _ = self.forward(queries, source, torch.arange(length, device=queries.device))
            return context, weights
        contexts, rows = [], []
        for position in range(length):
            context, weights, coverage = self.of_rows(queries[:, position], source, position, coverage)
            contexts.append(context)
            rows.append(weights)
        return torch.stack(contexts, 1), torch.stack(rows, 1)

    def _distribute(self, scores: Float[Tensor, "B Q S"], mask: Bool[Tensor, "B #Q S"]) -> Float[Tensor, "B Q S"]:
        weights: Tensor = self.distribution(scores.unsqueeze(1), mask.unsqueeze(1))  # one head
        return weights.squeeze(1)
