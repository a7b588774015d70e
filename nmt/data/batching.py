"""Batches of sentence pairs, as models read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from nmt.data.plan import Indices, Lengths, length_buckets
from nmt.data.tokenizer import BOS, EOS
from nmt.layout import Layout


@runtime_checkable
class Sentences(Protocol):
    """Pairs whose ids can be asked for."""

    def gather(self, side: str, sentences: Indices) -> tuple[npt.NDArray[Any], Indices]:
        """The ids of some sentences, one after the other (N,), and the length of each (B,)."""
        ...


@runtime_checkable
class LinkedSentences(Sentences, Protocol):
    """Pairs whose word links can be asked for too."""

    def piece_links(self, sentences: Indices) -> Indices:
        """Links of some sentences, (L, 3): which of these sentences, target piece, source piece."""
        ...


@dataclass(slots=True)
class Batch:
    """Sentence pairs as a model reads them, B pairs.

    Attributes:
        source: ids of the source pieces and EOS, (B, S) or (N,) as ``source_layout`` says.
        target_in: BOS and the target pieces, in ``target_layout``.
        target_out: the target pieces and EOS, in ``target_layout``.
        sentences: (B,) which pairs of the split these are.
        links: (L, 3) pair, target piece and source piece, of all that translate each other, where that was asked for.
    """

    source: Int[Tensor, "..."]
    source_layout: Layout
    target_in: Int[Tensor, "..."]
    target_out: Int[Tensor, "..."]
    target_layout: Layout
    sentences: Indices
    links: Int[Tensor, "L 3"] | None = None

    @property
    def num_tokens(self) -> int:
        """Real target positions: pieces and one EOS a sentence."""
        return self.target_layout.num_tokens

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.source.to(device, non_blocking=True),
            self.source_layout.to(device),
            self.target_in.to(device, non_blocking=True),
            self.target_out.to(device, non_blocking=True),
            self.target_layout.to(device),
            self.sentences,
            None if self.links is None else self.links.to(device, non_blocking=True),
        )


class TrainingText(Sentences, Protocol):
    """Pairs that a plan can be made of; lengths are in pieces."""

    @property
    def source_lengths(self) -> Lengths: ...

    @property
    def target_lengths(self) -> Lengths: ...


@dataclass(frozen=True, slots=True)
class IdPairs:
    """Pairs of given ids, without BOS and EOS, in the order in which they were given."""

    source: Sequence[Sequence[int]]
    target: Sequence[Sequence[int]]

    def gather(self, side: str, sentences: Indices) -> tuple[npt.NDArray[Any], Indices]:
        rows = [getattr(self, side)[i] for i in sentences]
        return np.fromiter(chain.from_iterable(rows), dtype=np.int64), np.array([len(row) for row in rows], dtype=np.int64)

    def buckets(self, max_tokens: int) -> list[Indices]:
        """All pairs in batches of at most so many padded positions on the longer side, EOS among them; a pair that is longer is alone."""
        if not self.source:
            return []
        sources, targets = (np.array([len(row) + 1 for row in rows]) for rows in (self.source, self.target))
        return length_buckets(sources, targets, max(max_tokens, int(sources.max()), int(targets.max())))


def pad_ids(rows: Sequence[Sequence[int]], layout: Layout) -> Int[Tensor, "..."]:
    """Rows of ids as one tensor in ``layout``, whose lengths are theirs; padding is PAD (0)."""
    return _lay_out(np.concatenate(rows), layout)


def make_batch(split: Sentences, sentences: Indices, *, packed: bool = False, with_links: bool = False) -> Batch:
    """The batch of some pairs of a split, which knows their links if they are asked for."""
    links = None
    if with_links:
        assert isinstance(split, LinkedSentences)
        links = torch.from_numpy(split.piece_links(sentences))
    source, source_lengths = split.gather("source", sentences)
    target, target_lengths = split.gather("target", sentences)
    source_layout = Layout.of(torch.from_numpy(source_lengths + 1), packed=packed)
    target_layout = Layout.of(torch.from_numpy(target_lengths + 1), packed=packed)
    ends = np.cumsum(target_lengths)
    return Batch(
        source=_lay_out(np.insert(source, np.cumsum(source_lengths), EOS), source_layout),
        source_layout=source_layout,
        target_in=_lay_out(np.insert(target, ends - target_lengths, BOS), target_layout),
        target_out=_lay_out(np.insert(target, ends, EOS), target_layout),
        target_layout=target_layout,
        sentences=sentences,
        links=links,
    )


def _lay_out(ids: npt.NDArray[Any], layout: Layout) -> Int[Tensor, "..."]:
    """Ids of sentences one after the other, (N,), as a tensor in ``layout``."""
    flat = torch.from_numpy(ids.astype(np.int64))
    return flat if layout.packed else layout.pad_packed(flat)
