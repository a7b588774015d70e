"""Training text whose pieces are drawn anew each time it is read: subword regularisation, BPE-dropout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nmt.data.plan import Indices, Lengths
from nmt.data.store import SIDES, Store
from nmt.data.subwords import Sampler
from nmt.data.tokenizer import flat


class SampledSplit:
    """The training pairs of a store with other pieces each time (:class:`nmt.data.subwords.Sampler`).

    Which ones is drawn from torch's generator, so it is the same whenever that is seeded alike before a batch is made. Lengths are those
    of the undrawn pieces times the growth that was measured when the store was made, rounded up: the plan goes by them, so that it is
    known beforehand; a batch has about as many positions as it says.
    """

    def __init__(self, store: Store, alpha: float) -> None:
        self._store = store
        self._samplers = {side: Sampler(getattr(store.tokenizers, side), alpha) for side in SIDES}
        self._split = store.split("train")

    def __len__(self) -> int:
        return len(self._split)

    @property
    def source_lengths(self) -> Lengths:
        return self._grown(self._split.source_lengths, "source")

    @property
    def target_lengths(self) -> Lengths:
        return self._grown(self._split.target_lengths, "target")

    def gather(self, side: str, sentences: Indices) -> tuple[npt.NDArray[Any], Indices]:
        """The drawn ids of some sentences, one after the other (N,), and the length of each (B,)."""
        rows = self._samplers[side](self._split.lines(side, sentences), lambda count: torch.rand(count).numpy())
        return flat(rows, np.dtype(np.int32)), np.array([len(row) for row in rows])

    def _grown(self, lengths: Lengths, side: str) -> Lengths:
        growth = self._store.meta["growth"][side]
        by_length = np.array([math.ceil(growth * length) for length in range(int(lengths.max()) + 1)], dtype=np.uint32)
        return by_length[lengths]
