"""Running out of memory: saying with what, and finding out beforehand how much there is room for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from nmt import distributed
from nmt.data.batching import Batch
from nmt.errors import RunFailure

STEP = 64
"""Budgets are multiples of it."""

SAFETY = 0.9
"""Share of the largest budget that worked which is taken, because other batches fragment memory otherwise."""


class OutOfMemory(RunFailure):
    """There is not enough memory; the message names the batch and the setting to change."""


@contextmanager
def explained(step: int, batch: Batch, max_tokens: int) -> Iterator[None]:
    """Say what was computed where the block runs out of memory.

    Raises:
        OutOfMemory: it does.
    """
    try:
        yield
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        source, target = batch.source_layout, batch.target_layout
        who = f"process {distributed.rank()}: " if distributed.world_size() > 1 else ""
        raise OutOfMemory(
            f"{who}out of memory in update {step}, with {len(batch.sentences)} pairs of up to {source.max_length} source and "
            f"{target.max_length} target positions, {source.num_positions + target.num_positions} in all; lower `train.max_tokens` "
            f"(now {max_tokens}), and raise `train.microbatches` by as much to learn the same"
        ) from error


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def largest_budget(fits: Callable[[int], bool], longest: int) -> int:
    """The largest ``train.max_tokens`` that is safe: nine tenths of the largest multiple of 64 that ``fits``, which is tried with twice as
    many each time, and then halfway between what fits and what does not.

    Raises:
        OutOfMemory: not even the longest sentence fits by itself.
    """
    room = -(-longest // STEP)
    if not fits(room * STEP):
        raise OutOfMemory(
            f"there is no memory for the longest sentence by itself ({longest} positions); lower `data.cleaning.max_length`"
        )
    least = room
    while fits(2 * room * STEP):
        room *= 2
    too_many = 2 * room
    while too_many - room > max(1, room // 32):
        middle = (room + too_many) // 2
        if fits(middle * STEP):
            room = middle
        else:
            too_many = middle
    return max(least, int(room * SAFETY)) * STEP
