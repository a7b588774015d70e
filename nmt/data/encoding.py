"""A block of pairs to pieces, and to links between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from nmt.data.links import links_of_pieces, shift_links
from nmt.data.pairs import ParallelText, tagged
from nmt.data.tokenizer import Encoder, Tokenizer, Tokenizers


@dataclass(frozen=True, slots=True)
class Encoded:
    """A side of a block: its pieces, how many each line has, and the text itself where it is kept."""

    ids: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64]
    text: list[bytes]

    def rows(self) -> Iterator[list[int]]:
        """The pieces of each line."""
        return (row.tolist() for row in np.split(self.ids, np.cumsum(self.lengths)[:-1]))


PieceLinks = tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]
"""Target and source piece of each link, one after the other, and how many links each pair has."""


@dataclass(frozen=True, slots=True)
class EncodedBlock:
    """Both sides, and their links where they are known."""

    source: Encoded
    target: Encoded
    links: PieceLinks | None


@dataclass(frozen=True, slots=True)
class BlockEncoder:
    """A block of pairs to what the store has of it."""

    encoders: list[Encoder]
    keep_text: bool

    @staticmethod
    def of(tokenizers: Tokenizers, *, keep_text: bool) -> BlockEncoder:
        return BlockEncoder([Encoder(t, id_type(t)) for t in (tokenizers.source, tokenizers.target)], keep_text)

    def __call__(self, block: ParallelText) -> EncodedBlock:
        source, target = (
            self._encode(encoder, lines)
            for encoder, lines in zip(self.encoders, (tagged(block.sources, block.tag), block.targets), strict=True)
        )
        return EncodedBlock(source, target, None if block.links is None else self._links(block, block.links, source, target))

    def _encode(self, encoder: Encoder, lines: list[str]) -> Encoded:
        ids, lengths = encoder(lines)
        text = [encoder.tokenizer.normalizer(line).encode() for line in lines] if self.keep_text else []
        return Encoded(ids, lengths, text)

    def _links(self, block: ParallelText, links: list[str], source: Encoded, target: Encoded) -> PieceLinks:
        of_source, of_target = (encoder.tokenizer for encoder in self.encoders)
        flat: list[int] = []
        counts = []
        for line, text, source_ids, target_ids in zip(links, block.sources, source.rows(), target.rows(), strict=True):
            before = len(flat)
            if line:
                shifted = shift_links(line, int(bool(block.tag)))  # a tag is the source's first word
                words = of_source.word_index(source_ids), of_target.word_index(target_ids)
                flat += chain.from_iterable(links_of_pieces(shifted, *words, where=f"the links of {text!r}"))
            counts.append((len(flat) - before) // 2)
        return np.array(flat, dtype=np.int32), np.array(counts, dtype=np.int64)


def id_type(tokenizer: Tokenizer) -> np.dtype[Any]:
    return np.dtype(np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.int32)
