"""How the tokens of a batch of sentences lie in a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each token of B sentences stands: ``padded`` (B, L, ...) or ``packed`` (N, ...), N real tokens in all.

    Made on the CPU together with the batch, so that nothing on the way through a model has to ask a device for a length.
    Position-wise layers never look at it; attention and recurrence do. Padding stands on the right; ``mask`` is True at real tokens.

    Attributes:
        packed: which of the two layouts the tensors beside it have.
        lengths: (B,) int64, real tokens of each sentence, each at least 1; stays on the CPU when the rest moves to a device.
        max_length: L, the longest sentence (of a padded layout: the width of its tensors).
        mask: (B, L) bool, True = a real token.
        index: (N,) int64, place of each real token in a padded tensor flattened to (B * L, ...), sentence by sentence.
        offsets: (B + 1,) int32, where each sentence begins among the N packed tokens; the last entry is N.
    """

    packed: bool
    lengths: Int[Tensor, " B"]
    max_length: int
    mask: Bool[Tensor, "B L"]
    index: Int[Tensor, " N"]
    offsets: Int[Tensor, " B+1"]

    @staticmethod
    def of(lengths: Sequence[int] | Int[Tensor, " B"], *, packed: bool = False, width: int | None = None) -> Layout:
        """The layout of sentences of these lengths; ``width`` makes a padded one wider than its longest sentence."""
        counts = torch.as_tensor(lengths, dtype=torch.int64)
        max_length = int(counts.max()) if width is None else width
        mask = torch.arange(max_length) < counts[:, None]  # (B, L)
        offsets = torch.zeros(len(counts) + 1, dtype=torch.int32)
        offsets[1:] = counts.cumsum(0)
        return Layout(packed, counts, max_length, mask, mask.flatten().nonzero().squeeze(1), offsets)

    @property
    def num_sentences(self) -> int:
        return self.lengths.shape[0]

    @property
    def num_tokens(self) -> int:
        """Real tokens, N."""
        return self.index.shape[0]

    @property
    def num_positions(self) -> int:
        """Positions that are computed: N packed, B * L padded."""
        return self.num_tokens if self.packed else self.num_sentences * self.max_length

    def positions(self) -> Int[Tensor, "..."]:
        """Position of each token in its sentence: (L,) padded (the same for every sentence), (N,) packed."""
        if self.packed:
            return self.index % self.max_length
        return torch.arange(self.max_length, device=self.index.device)

    def real(self, values: Tensor) -> Tensor:
        """Real rows only, (N, ...), of a tensor in this layout."""
        return values if self.packed else values.flatten(0, 1)[self.index]

    def pad(self, values: Tensor) -> Tensor:
        """A tensor in this layout as (B, L, ...); rows that were not there are zero."""
        return self.pad_packed(values) if self.packed else values

    def pad_packed(self, values: Tensor) -> Tensor:
        """Real rows (N, ...), whatever this layout is, as (B, L, ...); the rest is zero. The inverse of :meth:`real`."""
        padded = values.new_zeros(self.num_sentences * self.max_length, *values.shape[1:])
        flat = padded.index_copy(0, self.index, values)
        return flat.view(self.num_sentences, self.max_length, *values.shape[1:])

    def unpad(self, values: Tensor) -> Tensor:
        """(B, L, ...) as a tensor in this layout; the inverse of :meth:`pad`."""
        return values.flatten(0, 1)[self.index] if self.packed else values

    def select(self, sentences: Int[Tensor, " B2"]) -> Layout:
        """The padded layout of some of the sentences, of the same width; an index may occur more than once."""
        return Layout.of(self.lengths[sentences.cpu()], width=self.max_length).to(self.mask.device)

    def to(self, device: torch.device) -> Layout:
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in ("mask", "index", "offsets")}
        return replace(self, **moved)
