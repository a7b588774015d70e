"""Text to ids of subword pieces and back, by SentencePiece; the only place that knows the special ids."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sentencepiece as spm

from nmt.config import TokenizerConfig, TokenizerKind
from nmt.data.normalization import WORD_START, Normalizer
from nmt.errors import ConfigError, DataError
from nmt.files import write_bytes_atomic

PAD, UNK, BOS, EOS = 0, 1, 2, 3

JOINT_FILE, SIDE_FILES = "tokenizer.model", {"source": "source.model", "target": "target.model"}

Ids = npt.NDArray[Any]

MAX_KNOWN_WORDS = 1 << 17
"""Words whose pieces are remembered while text is encoded: about 30 MB."""

MAX_LINE_BYTES = 1 << 20  # SentencePiece leaves out longer lines in silence; cleaning has bounded them in words


class Tokenizer:
    """Lines of one language to ids of pieces, and back: a :class:`~nmt.data.normalization.Normalizer` and a SentencePiece model."""

    def __init__(self, model: bytes, normalizer: Normalizer) -> None:
        self.model, self.normalizer = model, normalizer
        self._processor: Any = spm.SentencePieceProcessor()
        self._processor.LoadFromSerializedProto(model)  # the constructor would take an empty model for none

    @staticmethod
    def load(path: Path, normalizer: Normalizer) -> Tokenizer:
        """The tokenizer of a model file.

        Raises:
            DataError: the file is missing, is no SentencePiece model, or its special ids are not those of this package.
        """
        try:
            tokenizer = Tokenizer(path.read_bytes(), normalizer)
        except (OSError, RuntimeError) as error:
            raise DataError(f"{path} cannot be read as a SentencePiece model: {error}") from None
        known = tokenizer.special_ids
        if known != (PAD, UNK, BOS, EOS):
            raise DataError(
                f"{path} has the ids {known} for padding, unknown, begin and end of a sentence, but they must be {(PAD, UNK, BOS, EOS)}"
            )
        return tokenizer

    def save(self, path: Path) -> None:
        write_bytes_atomic(path, self.model)

    @cached_property
    def kind(self) -> TokenizerKind:
        """How the model cuts text, as it says itself."""
        from sentencepiece import sentencepiece_model_pb2  # here, because few commands ask

        modules: Any = sentencepiece_model_pb2
        model = modules.ModelProto.FromString(self.model)
        return TokenizerKind[model.trainer_spec.ModelType.Name(model.trainer_spec.model_type).lower()]

    @property
    def vocab_size(self) -> int:
        return int(self._processor.vocab_size())

    @property
    def sha256(self) -> str:
        """What tells this vocabulary from others, in hexadecimal digits."""
        return hashlib.sha256(self.model).hexdigest()

    def has_piece(self, piece: str) -> bool:
        return self.piece_id(piece) != UNK

    @property
    def cuts_words_alone(self) -> bool:
        """Whether a line's pieces are those of its words one by one."""
        # without a piece for the mark of a word, what is unknown could run from one word into the next
        return self.kind is TokenizerKind.word or (self.kind is not TokenizerKind.unigram and self.has_piece(WORD_START))

    @property
    def special_ids(self) -> tuple[int, int, int, int]:
        """Ids of padding, an unknown piece, and the begin and the end of a sentence."""
        model = self._processor
        return model.pad_id(), model.unk_id(), model.bos_id(), model.eos_id()

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        """Ids of the pieces of each line, without BOS and EOS; an unknown character is UNK."""
        return self.encode_normalized([self.normalizer(line) for line in lines])

    def best_ways(self, word: str, count: int) -> list[list[int]]:
        """The ids of the best ways to cut a word, at most ``count``, best first; for unigram models."""
        ways: list[list[int]] = self._processor.nbest_encode(word, nbest_size=count)
        return ways

    def piece_id(self, piece: str) -> int:
        """The id of a piece, UNK where there is none such."""
        return int(self._processor.piece_to_id(piece))

    def score(self, piece_id: int) -> float:
        """How good a piece is beside others: its log-probability in a unigram model, minus its rank with BPE."""
        return float(self._processor.get_score(piece_id))

    def encode_normalized(self, normalized: Sequence[str]) -> list[list[int]]:
        """:meth:`encode` of lines that the normalizer has seen."""
        ids: list[list[int]] = self._processor.encode(list(normalized), num_threads=2)
        if any(UNK in row for row in ids) and self.kind is TokenizerKind.word:
            # SentencePiece makes one UNK of neighbouring unknown words, where each is a word of its own
            words = {
                word: self._processor.encode(word) for word in dict.fromkeys(chain.from_iterable(map(str.split, normalized)))
            }
            return [[piece for word in line.split() for piece in words[word]] for line in normalized]
        return ids

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Text of each list of ids, on one line, with words joined as people write them; special ids give nothing, UNK gives U+2047.

        Raises:
            ValueError: an id is outside of the vocabulary.
        """
        rows = [[int(i) for i in row] for row in ids]
        vocabulary = range(self.vocab_size)
        for i in (i for row in rows for i in row):
            if i not in vocabulary:
                raise ValueError(f"id {i} is no piece: the vocabulary has {len(vocabulary)}, counted from 0")
        texts: list[str] = self._processor.decode(rows, num_threads=2)
        return [self.normalizer.restore(text) for text in texts]

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The pieces as they are written in the vocabulary, with the mark of a word's beginning."""
        return [self._processor.id_to_piece(int(i)) for i in ids]

    def word_index(self, ids: Sequence[int]) -> list[int]:
        """For each piece of an encoded line, which of the line's blank-separated words it belongs to, from 0."""
        index, word = [], -1
        for piece in self.pieces(ids):
            word += self.kind is TokenizerKind.word or piece.startswith(WORD_START)
            index.append(word)
        return index


class Encoder:
    """:meth:`Tokenizer.encode` for much text: all ids one after the other, and how many each line has.

    BPE, characters and whole words take each word by itself, so that a word that was met before need not be encoded again: 7 us a line of
    8 words on one thread instead of 15. The unigram model does so too, but for the rounding of its sums over the line, which could decide
    between two ways to cut a word.
    """

    def __init__(self, tokenizer: Tokenizer, id_type: np.dtype[Any]) -> None:
        self.tokenizer, self._id_type = tokenizer, id_type
        self._known: dict[str, bytes] = {}

    def __call__(self, lines: Sequence[str]) -> tuple[Ids, npt.NDArray[np.int64]]:
        if self.tokenizer.cuts_words_alone:
            return self._by_words(lines)
        rows = self.tokenizer.encode(lines)
        return flat(rows, self._id_type), np.array([len(row) for row in rows], dtype=np.int64)

    def _by_words(self, lines: Sequence[str]) -> tuple[Ids, npt.NDArray[np.int64]]:
        known = self._known
        split = [self.tokenizer.normalizer(line).split(" ") for line in lines]
        new = list(set(chain.from_iterable(split)).difference(known))
        if len(known) + len(new) > MAX_KNOWN_WORDS:
            known.clear()
            new = list(set(chain.from_iterable(split)))
        rows = self.tokenizer.encode_normalized(new)
        known.update((word, flat([row], self._id_type).tobytes()) for word, row in zip(new, rows, strict=True))
        encoded = [b"".join(map(known.__getitem__, words)) for words in split]
        lengths = np.array([len(row) for row in encoded], dtype=np.int64) // self._id_type.itemsize
        return np.frombuffer(b"".join(encoded), dtype=self._id_type), lengths


@dataclass(frozen=True, slots=True)
class Tokenizers:
    """The tokenizers of the source and the target side; a joint vocabulary is one model in both."""

    source: Tokenizer
    target: Tokenizer

    @property
    def joint(self) -> bool:
        return self.source.model == self.target.model

    @property
    def vocab_sizes(self) -> tuple[int, int]:
        """Numbers of source and of target pieces."""
        return self.source.vocab_size, self.target.vocab_size

    def difference(self, other: Tokenizers) -> str | None:
        """Which side's pieces are not those of ``other``, or None where all are the same."""
        for side, ours, theirs in (("source", self.source, other.source), ("target", self.target, other.target)):
            if ours.model != theirs.model:
                return f"the tokenizer of the {side} is {ours.sha256[:16]} and not {theirs.sha256[:16]}"
        return None

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.model``, or ``source.model`` and ``target.model`` where they differ."""
        folder.mkdir(parents=True, exist_ok=True)
        for side, name in self.files.items():
            getattr(self, side).save(folder / name)

    @property
    def files(self) -> dict[str, str]:
        """The name of each side's model file."""
        return {"source": JOINT_FILE, "target": JOINT_FILE} if self.joint else dict(SIDE_FILES)

    @staticmethod
    def load(folder: Path, normalizers: tuple[Normalizer, Normalizer]) -> Tokenizers:
        """The tokenizers that :meth:`save` wrote.

        Raises:
            DataError: a file is missing or is no SentencePiece model.
        """
        joint = (folder / JOINT_FILE).exists()
        names = [JOINT_FILE] * 2 if joint else list(SIDE_FILES.values())
        pair = (Tokenizer.load(folder / name, n) for name, n in zip(names, normalizers, strict=True))
        return Tokenizers(*pair)


def learn_pieces(lines: Sequence[str], config: TokenizerConfig, vocab_size: int, symbols: Sequence[str] = ()) -> bytes:
    """The SentencePiece model of normalised text; ``symbols`` are pieces that are never cut.

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
            vocab_size=max(vocab_size, EOS + 1),  # with fewer, SentencePiece does not say how many are needed
            hard_vocab_limit=config.hard_limit,
            character_coverage=config.character_coverage,
            byte_fallback=config.byte_fallback,
            user_defined_symbols=list(symbols),
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
        raise _explained(error, vocab_size) from None
    return model.getvalue()


def flat(rows: Sequence[Sequence[int]], id_type: np.dtype[Any]) -> Ids:
    """The ids of all rows one after the other."""
    return np.fromiter(chain.from_iterable(rows), dtype=id_type)


def _explained(error: RuntimeError, vocab_size: int) -> ConfigError:
    """SentencePiece's complaint with the setting to change."""
    message = str(error)
    setting = f"`tokenizer.vocab_size` is {vocab_size}, but this text"
    if found := re.search(r"value <= (\d+)", message):
        return ConfigError(
            f"{setting} has at most {found[1]} pieces; set tokenizer.vocab_size={found[1]}, or tokenizer.hard_limit=false"
        )
    if found := re.search(r"required_chars\. \d+ vs (\d+)", message):
        return ConfigError(
            f"{setting} has so many characters that at least {found[1]} pieces are needed; "
            f"set tokenizer.vocab_size={found[1]}, or lower tokenizer.character_coverage"
        )
    return ConfigError(f"SentencePiece cannot learn {vocab_size} pieces from this text: {message}")
