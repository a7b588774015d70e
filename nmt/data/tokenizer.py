"""Text to ids of subword pieces and back, by SentencePiece; the only place that knows the special ids."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sentencepiece as spm

from nmt.config import TokenizerConfig, TokenizerKind
from nmt.errors import ConfigError, DataError
from nmt.files import write_bytes_atomic

PAD, UNK, BOS, EOS = 0, 1, 2, 3

WORD_START = "\u2581"
"""The mark that SentencePiece puts before a piece that begins a word."""

Ids = npt.NDArray[Any]

MAX_KNOWN_WORDS = 1 << 17
"""Words whose pieces are remembered while text is encoded: about 30 MB."""

MAX_LINE_BYTES = 1 << 20  # SentencePiece leaves out longer lines in silence; cleaning has bounded them in words


class Tokenizer:
    """A trained SentencePiece model over both languages."""

    def __init__(self, model: bytes, *, by_words: bool = False) -> None:
        self.model = model
        self._by_words = by_words
        self._processor: Any = spm.SentencePieceProcessor()
        self._processor.LoadFromSerializedProto(model)  # the constructor would take an empty model for none

    @staticmethod
    def train(lines: Sequence[str], config: TokenizerConfig) -> Tokenizer:
        """Learn the pieces of normalised text.

        No normalisation of SentencePiece's own: the text is NFC already, and what a model learns to write is scored as it is.

        Raises:
            ConfigError: the text does not allow so many pieces, or needs more; the message has the number to set.
        """
        if not 0.98 <= config.character_coverage <= 1:
            raise ConfigError(f"`tokenizer.character_coverage` must be from 0.98 to 1, but is {config.character_coverage}")
        model = io.BytesIO()
        try:
            spm.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                model_type=config.kind.name,
                vocab_size=max(config.vocab_size, EOS + 1),  # with fewer, SentencePiece does not say how many are needed
                character_coverage=config.character_coverage,
                normalization_rule_name="identity",
                max_sentence_length=MAX_LINE_BYTES,
                pad_id=PAD,
                unk_id=UNK,
                bos_id=BOS,
                eos_id=EOS,
                num_threads=2,  # fixed: the pieces depend on it
                minloglevel=2,
            )
        except RuntimeError as error:
            raise _explained(error, config) from None
        return Tokenizer(model.getvalue(), by_words=config.kind is TokenizerKind.bpe)

    @staticmethod
    def load(path: Path) -> Tokenizer:
        """The tokenizer of a model file.

        Raises:
            DataError: the file is missing or is no SentencePiece model.
        """
        try:
            return Tokenizer(path.read_bytes())
        except (OSError, RuntimeError) as error:
            raise DataError(f"{path} cannot be read as a SentencePiece model: {error}") from None

    def save(self, path: Path) -> None:
        write_bytes_atomic(path, self.model)

    @property
    def vocab_size(self) -> int:
        return int(self._processor.vocab_size())

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        """Ids of the pieces of each normalised line, without BOS and EOS; an unknown character is UNK."""
        ids: list[list[int]] = self._processor.encode(list(lines), num_threads=2)
        return ids

    def encoder(self, id_type: np.dtype[Any]) -> Callable[[Sequence[str]], tuple[Ids, npt.NDArray[np.int64]]]:
        """:meth:`encode` for much text: all ids one after the other, and how many each line has.

        BPE takes each word by itself, so that a word that was met before need not be encoded again: 7 us a line of 8 words on one
        thread instead of 15. The unigram model does so too, but for the rounding of its sums over the line, which could decide
        between two ways to cut a word.
        """
        known: dict[str, bytes] = {}

        def encode(lines: Sequence[str]) -> tuple[Ids, npt.NDArray[np.int64]]:
            rows = self.encode(lines)
            return _flat(rows, id_type), np.array([len(row) for row in rows], dtype=np.int64)

        def encode_by_words(lines: Sequence[str]) -> tuple[Ids, npt.NDArray[np.int64]]:
            split = [line.split(" ") for line in lines]
            new = list(set(chain.from_iterable(split)).difference(known))
            if len(known) + len(new) > MAX_KNOWN_WORDS:
                known.clear()
                new = list(set(chain.from_iterable(split)))
            known.update((word, _flat([row], id_type).tobytes()) for word, row in zip(new, self.encode(new), strict=True))
            rows = [b"".join(map(known.__getitem__, words)) for words in split]
            lengths = np.array([len(row) for row in rows], dtype=np.int64) // id_type.itemsize
            return np.frombuffer(b"".join(rows), dtype=id_type), lengths

        # without a piece for the mark of a word, what is unknown could run from one word into the next
        return encode_by_words if self._by_words and self._processor.piece_to_id(WORD_START) != UNK else encode

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Text of each list of ids, on one line; special ids give nothing, UNK gives U+2047.

        Raises:
            ValueError: an id is outside of the vocabulary.
        """
        rows = [[int(i) for i in row] for row in ids]
        vocabulary = range(self.vocab_size)
        for i in (i for row in rows for i in row):
            if i not in vocabulary:
                raise ValueError(f"id {i} is no piece: the vocabulary has {len(vocabulary)}, counted from 0")
        texts: list[str] = self._processor.decode(rows, num_threads=2)
        return texts

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The pieces as they are written in the vocabulary, with the mark of a word's beginning."""
        return [self._processor.id_to_piece(int(i)) for i in ids]

    def word_index(self, ids: Sequence[int]) -> list[int]:
        """For each piece of an encoded line, which of the line's blank-separated words it belongs to, from 0."""
        index, word = [], -1
        for piece in self.pieces(ids):
            word += piece.startswith(WORD_START)
            index.append(word)
        return index


def _flat(rows: Sequence[Sequence[int]], id_type: np.dtype[Any]) -> Ids:
    return np.fromiter(chain.from_iterable(rows), dtype=id_type)


def _explained(error: RuntimeError, config: TokenizerConfig) -> ConfigError:
    """SentencePiece's complaint with the setting to change."""
    message = str(error)
    setting = f"`tokenizer.vocab_size` is {config.vocab_size}, but this text"
    if found := re.search(r"value <= (\d+)", message):
        return ConfigError(f"{setting} has at most {found[1]} pieces; set tokenizer.vocab_size={found[1]}")
    if found := re.search(r"required_chars\. \d+ vs (\d+)", message):
        return ConfigError(
            f"{setting} has so many characters that at least {found[1]} pieces are needed; "
            f"set tokenizer.vocab_size={found[1]}, or lower tokenizer.character_coverage"
        )
    return ConfigError(f"SentencePiece cannot learn {config.vocab_size} pieces from this text: {message}")
