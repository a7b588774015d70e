"""Which pairs meet in which update: a pure function of lengths, weights, seed and batch settings, for a hundred million pairs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nmt.errors import ConfigError

Indices = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.integer[Any]]
Rows = npt.NDArray[np.uint32]

SLICE = 1 << 22
"""Pairs that are worked on at a time where a copy of all would be large."""


def length_buckets(source_lengths: Lengths, target_lengths: Lengths, max_tokens: int, rows: Rows | None = None) -> list[Indices]:
    """All pairs, or those of ``rows``, sorted by the length of their longer side and cut into batches.

    Pairs of one longest length are sorted by source minus target length, upwards and downwards in turns, so that neighbours are
    alike on both sides: at 4,096 positions 98 % of Multi30k's target and 96 % of its source positions are real, where a sort by
    target then source length gives 99 and 88 %. Ties stay in the order of ``rows``.

    A batch's padded positions, on its longer side, are at most ``max_tokens``. Where the cuts fall depends on the lengths alone,
    so their number is the same for every order of the ties.
    """
    if rows is None:
        rows = np.arange(len(source_lengths), dtype=np.uint32)
    order = sort_by_length(source_lengths, target_lengths, rows)
    sources, targets = source_lengths[rows], target_lengths[rows]
    counts = count_longest(sources, targets, max(int(sources.max()), int(targets.max())))
    return [order[begin:end].astype(np.int64) for begin, end in pairwise(cuts(counts, max_tokens))]


def sort_by_length(source_lengths: Lengths, target_lengths: Lengths, rows: Rows) -> Rows:
    """The rows in the order of :func:`length_buckets`."""
    most = max(int(source_lengths.max(initial=0)), int(target_lengths.max(initial=0)))
    coarse = most // (1 << 15) + 1  # so that a key has 32 bits

    def key(some: Rows) -> npt.NDArray[np.int64]:
        sources, targets = source_lengths[some].astype(np.int64), target_lengths[some].astype(np.int64)
        longest, difference = np.maximum(sources, targets), (sources - targets) // coarse
        return longest * (1 << 17) // coarse + np.where(longest % 2, difference, -difference) + (1 << 16)

    return _sorted(rows, key)


def _sorted(rows: Rows, key: Callable[[Rows], npt.NDArray[np.int64]]) -> Rows:
    """Rows by their 32-bit key, equal ones in the order in which they come; 12 bytes a row beside the rows."""
    keys = np.empty(len(rows), dtype=np.uint64)
    for begin in range(0, len(rows), SLICE):
        part = rows[begin : begin + SLICE]
        keys[begin : begin + SLICE] = (key(part).astype(np.uint64) << np.uint64(32)) | np.arange(
            begin, begin + len(part), dtype=np.uint64
        )
    keys.sort()  # where a row came stands in its key, so that no slower, stable sort is needed
    order = np.empty_like(rows)
    for begin in range(0, len(rows), SLICE):
        order[begin : begin + SLICE] = rows[keys[begin : begin + SLICE] & np.uint64(0xFFFFFFFF)]
    return order


def count_longest(source_lengths: Lengths, target_lengths: Lengths, most: int) -> Indices:
    """How many pairs have each length of their longer side, from 0 to ``most``."""
    total = np.zeros(most + 1, dtype=np.int64)
    for begin in range(0, len(source_lengths), SLICE):
        part = slice(begin, begin + SLICE)
        total += np.bincount(np.maximum(source_lengths[part], target_lengths[part]), minlength=most + 1)
    return total


def cuts(counts: Indices, max_tokens: int) -> list[int]:
    """Where batches begin, and the last one ends, in a sorted text that has so many pairs of each longest length.

    Each is as large as it can be with its number of pairs times its longest length at most ``max_tokens``.
    """
    lengths = np.flatnonzero(counts).tolist()
    ends = np.cumsum(counts)[lengths].tolist()
    bounds, begin = [0], 0
    for i, (length, end) in enumerate(zip(lengths, ends, strict=True)):
        while begin < end:
            stop = begin + max_tokens // length
            if stop > end:  # it goes on into longer ones, as far as they leave room
                stop = end
                for longer, later in zip(lengths[i + 1 :], ends[i + 1 :], strict=True):
                    room = begin + max_tokens // longer
                    if room <= stop:
                        break
                    stop = min(room, later)
                    if stop < later:
                        break
            bounds.append(stop)
            begin = stop
    return bounds


@dataclass(frozen=True, slots=True)
class Portion:
    """One corpus of a mixture: its pairs are ``rows`` of the text, and an epoch has each of them ``weight`` times."""

    rows: slice
    weight: float


class BatchPlan:
    """Which pairs every update of a training run reads.

    An epoch's micro-batches are :func:`length_buckets` with ties in random order, in random order; ``microbatches`` of them in a row make
    an update, the last one of an epoch has what is left. Nothing is remembered between calls, so a resumed run asks for its next step
    and gets what an undisturbed one would have got. Lengths are given in pieces; with EOS a sentence has one position more.

    ``corpora`` gives the number of pairs and the weight of each corpus, one after the other; without it there is one of weight 1. After
    any number of epochs E, every pair of a corpus of weight w has occurred E * w times, rounded up or down: the pairs of a corpus that have
    one longest length lie in a fixed random order, like a deck of cards, and each epoch is dealt the next n * w of its n pairs, round and
    round. How many pairs of each length an epoch has, and so how many updates, is known without looking at the pairs.

    Raises:
        ConfigError: a pair is longer than the budget.
    """

    def __init__(
        self,
        source_lengths: Lengths,
        target_lengths: Lengths,
        *,
        max_tokens: int,
        microbatches: int,
        seed: int,
        corpora: Sequence[tuple[int, float]] = (),
    ) -> None:
        self._source_lengths, self._target_lengths = source_lengths, target_lengths
        self.max_tokens, self._microbatches, self._seed = max_tokens, microbatches, seed
        longest = 1 + max(int(source_lengths.max()), int(target_lengths.max()))
        if longest > max_tokens:
            raise ConfigError(f"`train.max_tokens` must hold the longest sentence ({longest} positions), but is {max_tokens}")
        self._portions, begin = [], 0
        for size, weight in corpora or [(len(source_lengths), 1.0)]:
            self._portions.append(Portion(slice(begin, begin + size), weight))
            begin += size
        assert begin == len(source_lengths)
        self._counts = [
            count_longest(source_lengths[portion.rows], target_lengths[portion.rows], longest - 1) for portion in self._portions
        ]
        self._starts = [0]
        self._epoch = lru_cache(maxsize=1)(self._make_epoch)

    def update(self, step: int) -> list[Indices]:
        """The micro-batches of one update; steps count from 0."""
        epoch = self._epoch_of(step)
        first = (step - self._starts[epoch]) * self._microbatches
        return [batch.astype(np.int64) for batch in self._epoch(epoch)[first : first + self._microbatches]]

    def num_tokens(self, microbatch: Indices) -> int:
        """Real target positions of a micro-batch."""
        return int(self._target_lengths[microbatch].sum(dtype=np.int64)) + len(microbatch)

    def heaviest(self) -> list[Indices]:
        """The micro-batches of the first epoch that have the most padded positions, and the longest sentences."""

        def size(batch: Rows) -> tuple[int, int]:
            source, target = int(self._source_lengths[batch].max()) + 1, int(self._target_lengths[batch].max()) + 1
            return (source + target) * len(batch), max(source, target)

        batches = self._epoch(0)
        sizes = [size(batch) for batch in batches]
        chosen = {max(range(len(batches)), key=lambda i: sizes[i]), max(range(len(batches)), key=lambda i: sizes[i][::-1])}
        return [batches[i].astype(np.int64) for i in sorted(chosen)]

    def steps(self, epochs: int) -> int:
        """How many updates the first epochs have."""
        while len(self._starts) <= epochs:
            batches = len(cuts(self._positions(len(self._starts) - 1), self.max_tokens)) - 1
            self._starts.append(self._starts[-1] + -(-batches // self._microbatches))
        return self._starts[epochs]

    def epochs(self, step: int) -> float:
        """How many epochs so many updates are."""
        epoch = self._epoch_of(step)
        begin, end = self.steps(epoch), self.steps(epoch + 1)
        return epoch + (step - begin) / (end - begin)

    def _epoch_of(self, step: int) -> int:
        """The epoch that an update belongs to."""
        while self._starts[-1] <= step:
            self.steps(len(self._starts))
        return bisect_right(self._starts, step) - 1

    def _positions(self, epoch: int) -> Indices:
        """How many pairs of each longest length, in positions, an epoch has."""
        dealt = (self._dealt(i, epoch + 1) - self._dealt(i, epoch) for i in range(len(self._portions)))
        return np.concatenate([[0], np.sum(list(dealt), axis=0)])  # a position more for EOS

    def _dealt(self, corpus: int, epochs: int) -> Indices:
        """How many pairs of each longest length a corpus has given to the first epochs."""
        exact = self._counts[corpus] * (epochs * self._portions[corpus].weight)
        offsets = np.random.default_rng([self._seed, corpus, 1]).random(len(exact))  # so that not all lengths round up together
        return np.floor(exact + offsets).astype(np.int64)

    def _make_epoch(self, epoch: int) -> list[Rows]:
        random = np.random.default_rng([self._seed, epoch])
        rows = np.concatenate([self._rows(i, epoch) for i in range(len(self._portions))])
        random.shuffle(rows)
        order = sort_by_length(self._source_lengths, self._target_lengths, rows)
        bounds = cuts(self._positions(epoch), self.max_tokens)
        return [order[bounds[i] : bounds[i + 1]] for i in random.permutation(len(bounds) - 1).tolist()]

    def _rows(self, corpus: int, epoch: int) -> Rows:
        """The pairs of a corpus that an epoch has, as often as it has them."""
        portion = self._portions[corpus]
        rows = np.arange(portion.rows.start, portion.rows.stop, dtype=np.uint32)
        if portion.weight == 1:
            return rows
        np.random.default_rng([self._seed, corpus, 2]).shuffle(rows)
        deck = _sorted(rows, lambda some: np.maximum(self._source_lengths[some], self._target_lengths[some]).astype(np.int64))
        firsts, lasts = self._dealt(corpus, epoch), self._dealt(corpus, epoch + 1)
        dealt, begin = [], 0
        for size, first, last in zip(self._counts[corpus], firsts, lasts, strict=True):
            if size:
                dealt.append(deck[begin + np.arange(first, last) % size])
            begin += size
        return np.concatenate(dealt)
