"""Given pairs of lines as a model is made to read them: forced decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nmt.data.batching import Batch, IdPairs, make_batch
from nmt.data.normalization import WORD_START, Normalizer
from nmt.data.plan import Indices
from nmt.data.tokenizer import Tokenizers


@dataclass(frozen=True, slots=True)
class ForcedPairs:
    """Pairs of lines as words and as pieces.

    Attributes:
        source_words, target_words: the normalised lines', separated by blanks.
        ids: their pieces.
        filled: which pairs have words on both sides.
    """

    source_words: list[list[str]]
    target_words: list[list[str]]
    ids: IdPairs
    filled: Indices

    @classmethod
    def of(cls, tokenizers: Tokenizers, sources: Sequence[str], targets: Sequence[str]) -> ForcedPairs:
        source_words = [words(line, tokenizers.source.normalizer) for line in sources]
        target_words = [words(line, tokenizers.target.normalizer) for line in targets]
        ids = IdPairs(
            tokenizers.source.encode_normalized([" ".join(line) for line in source_words]),
            tokenizers.target.encode_normalized([" ".join(line) for line in target_words]),
        )
        filled = [i for i, sides in enumerate(zip(source_words, target_words, strict=True)) if all(sides)]
        return cls(source_words, target_words, ids, np.array(filled, dtype=np.int64))

    def batches(self, max_tokens: int, device: torch.device) -> Iterator[Batch]:
        """The filled pairs in batches of at most so many padded positions on the longer side, one long pair apart."""
        filled = IdPairs([self.ids.source[i] for i in self.filled], [self.ids.target[i] for i in self.filled])
        for bucket in filled.buckets(max_tokens):
            yield make_batch(self.ids, self.filled[bucket]).to(device)


def words(line: str, normalizer: Normalizer) -> list[str]:
    """The words that a model sees in a line; SentencePiece takes its mark of a word's beginning for a blank."""
    return normalizer(line).replace(WORD_START, " ").split()
