"""Given pairs of lines as a model is made to read them: forced decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nmt.config import Precision
from nmt.data.batching import Batch, IdPairs, make_batch
from nmt.data.normalization import WORD_START, Normalizer
from nmt.data.plan import Indices
from nmt.data.tokenizer import Tokenizers
from nmt.hardware import autocast
from nmt.models.interface import Seq2Seq

SIDES = {
    "encoder.self": ("source", "source"),
    "decoder.self": ("target_out", "target_in"),
    "decoder.cross": ("target_out", "source"),
}
"""What the queries and the keys are of each kind of attention: the source, what the decoder reads, and what it predicts from that."""


def sides(name: str) -> tuple[str, str]:
    """Those of an attention by its name, such as ``decoder.cross.0``."""
    return SIDES[name.rpartition(".")[0]]


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


@dataclass(frozen=True, slots=True)
class ForcedDecoder:
    """A model that is made to read given targets: one pass over each, no search.

    ``model`` is in eval mode and on ``device``. ``max_tokens`` bounds the padded positions of a batch on its longer side, one long pair
    apart.
    """

    model: Seq2Seq
    tokenizers: Tokenizers
    device: torch.device
    precision: Precision
    max_tokens: int = 4_096

    def pairs(self, sources: Sequence[str], targets: Sequence[str]) -> ForcedPairs:
        """As many lines on both sides, normalised and cut into pieces as the model's training text was."""
        tokenizers = self.tokenizers
        source_words = [words(line, tokenizers.source.normalizer) for line in sources]
        target_words = [words(line, tokenizers.target.normalizer) for line in targets]
        ids = IdPairs(
            tokenizers.source.encode_normalized([" ".join(line) for line in source_words]),
            tokenizers.target.encode_normalized([" ".join(line) for line in target_words]),
        )
        filled = [i for i, both in enumerate(zip(source_words, target_words, strict=True)) if all(both)]
        return ForcedPairs(source_words, target_words, ids, np.array(filled, dtype=np.int64))

    def batches(self, pairs: ForcedPairs) -> Iterator[Batch]:
        """The filled pairs, on the device; each batch knows their places."""
        ids = pairs.ids
        filled = IdPairs([ids.source[i] for i in pairs.filled], [ids.target[i] for i in pairs.filled])
        for bucket in filled.buckets(self.max_tokens):
            yield make_batch(ids, pairs.filled[bucket]).to(self.device)

    def autocast(self) -> torch.autocast:
        """The precision that is set, while the block runs."""
        return autocast(self.device, self.precision)

    def decode(self, batch: Batch) -> Float[Tensor, "B T D"]:
        """Hidden states from which the pieces of the targets, and EOS, are predicted."""
        return self.model.decode(batch.target_in, batch.target_layout, self.model.encode(batch.source, batch.source_layout))


def words(line: str, normalizer: Normalizer) -> list[str]:
    """The words that a model sees in a line; SentencePiece takes its mark of a word's beginning for a blank."""
    return normalizer(line).replace(WORD_START, " ").split()
