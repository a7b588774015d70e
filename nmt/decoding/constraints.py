"""Constraints on hypotheses: which pieces may not follow what is there so far.

They act on what may be chosen, not on its probability: a piece keeps the log-probability that the model gave it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from nmt.config import SearchConfig
from nmt.data.tokenizer import BOS, EOS, PAD, UNK


class Constraint(ABC):
    end_alone: ClassVar[bool] = False
    """Whether EOS is all that it ever forbids, so that :meth:`forbids_end` says everything and no mask of pieces is needed."""

    def forbids_end(self, ids: Int[Tensor, "B K T"]) -> bool:
        """Whether none of the hypotheses ``ids`` may end."""
        return False

    @abstractmethod
    def forbid(self, forbidden: Bool[Tensor, "B K V"], ids: Int[Tensor, "B K T"], sentences: Int[Tensor, " B"]) -> None:
        """Mark what may not follow the hypotheses ``ids``, BOS and T - 1 pieces, of these sentences of the batch that came in."""


@dataclass(frozen=True, slots=True)
class MinLength(Constraint):
    """No EOS before a hypothesis has so many pieces."""

    end_alone: ClassVar[bool] = True
    num_pieces: int

    def forbids_end(self, ids: Int[Tensor, "B K T"]) -> bool:
        return ids.shape[2] - 1 < self.num_pieces

    def forbid(self, forbidden: Bool[Tensor, "B K V"], ids: Int[Tensor, "B K T"], sentences: Int[Tensor, " B"]) -> None:
        if self.forbids_end(ids):
            forbidden[..., EOS] = True


@dataclass(frozen=True, slots=True)
class NoRepeatedNgram(Constraint):
    """No n pieces in a row that the hypothesis has already (Paulus et al. 2018, section 2.5, for n = 3)."""

    n: int

    def forbid(self, forbidden: Bool[Tensor, "B K V"], ids: Int[Tensor, "B K T"], sentences: Int[Tensor, " B"]) -> None:
        if ids.shape[2] < self.n:
            return
        ngrams = ids.unfold(2, self.n, 1)  # (B, K, T - n + 1, n); one that begins with BOS never comes again
        latest = ids[:, :, None, ids.shape[2] - self.n + 1 :]  # (B, K, 1, n - 1)
        begun_again = (ngrams[..., :-1] == latest).all(-1)
        counts = torch.zeros_like(forbidden, dtype=torch.uint8)
        forbidden |= counts.scatter_reduce_(2, ngrams[..., -1], begun_again.to(torch.uint8), "amax").bool()


@dataclass(frozen=True, slots=True)
class Prefixes(Constraint):
    """Pieces that the hypotheses of each sentence begin with, whatever else forbids them: (B, P), and how many each sentence has."""

    ids: Int[Tensor, "B P"]
    lengths: Int[Tensor, " B"]

    @staticmethod
    def of(prefixes: Sequence[Sequence[int]], device: torch.device) -> Prefixes:
        lengths = torch.tensor([len(prefix) for prefix in prefixes])
        ids = torch.full((len(prefixes), int(lengths.max())), PAD)
        for row, prefix in zip(ids, prefixes, strict=True):
            row[: len(prefix)] = torch.tensor(prefix, dtype=torch.int64)
        return Prefixes(ids.to(device), lengths.to(device))

    def forbid(self, forbidden: Bool[Tensor, "B K V"], ids: Int[Tensor, "B K T"], sentences: Int[Tensor, " B"]) -> None:
        place = ids.shape[2] - 1
        if place >= self.ids.shape[1]:
            return
        within = (self.lengths[sentences] > place)[:, None, None]
        others = torch.ones_like(forbidden).scatter_(2, self.ids[sentences, place, None, None].expand(-1, ids.shape[1], 1), False)
        forbidden.copy_(torch.where(within, others, forbidden))


def constraints_of(config: SearchConfig, prefixes: Sequence[Sequence[int]] | None, device: torch.device) -> list[Constraint]:
    """The constraints that are asked for; a prefix comes last, because it overrules the others."""
    constraints: list[Constraint] = []
    if config.min_length:
        constraints.append(MinLength(config.min_length))
    if config.no_repeat_ngram:
        constraints.append(NoRepeatedNgram(config.no_repeat_ngram))
    if prefixes and any(prefixes):
        constraints.append(Prefixes.of(prefixes, device))
    return constraints


def forbidden_pieces(
    constraints: Sequence[Constraint], ids: Int[Tensor, "B K T"], sentences: Int[Tensor, " B"], vocab_size: int
) -> Bool[Tensor, "B K V"]:
    """What may not follow the hypotheses ``ids``: PAD, UNK, BOS, and what the constraints forbid. Where that is all, EOS may."""
    forbidden = torch.zeros(*ids.shape[:2], vocab_size, dtype=torch.bool, device=ids.device)
    forbidden[..., [PAD, UNK, BOS]] = True
    for constraint in constraints:
        constraint.forbid(forbidden, ids, sentences)
    forbidden[..., EOS] &= ~forbidden.all(-1)
    return forbidden
