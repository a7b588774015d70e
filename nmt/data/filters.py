"""What becomes of each training pair by itself, a block at a time: a code that says so, and hashes to compare it with others."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from nmt.config import CleaningConfig, Overlap
from nmt.data.normalization import UNUSUAL, Normalizer
from nmt.data.pairs import ParallelText

Codes = npt.NDArray[Any]
Hashes = npt.NDArray[np.uint64]


class Reason(IntEnum):
    """Why a pair is dropped; the first one that holds, in this order. ``DEV`` and ``TEST`` have it instead."""

    KEPT = 0
    INVALID_UTF8 = 1
    NUL = 2
    EMPTY = 3
    TOO_LONG = 4
    RATIO = 5
    COPY = 6
    DIGITS = 7
    DUPLICATE = 8
    OVERLAP = 9
    DEV = 10
    TEST = 11


REASON_BITS, CHARACTERS, NFC, RETURNS, HELD_OUT = 15, 16, 32, 64, 128
"""A pair's code, one byte: its :class:`Reason`, what normalising changes, and whether it is known from dev or test."""

REPAIRS = {CHARACTERS: "characters", NFC: "nfc", RETURNS: "carriage_return"}

SURROGATE = re.compile("[\ud800-\udfff]")
"""A byte that was no UTF-8, as :mod:`nmt.data.lines` keeps it."""

CHINESE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
"""Characters of Chinese and Japanese, most of which are a word's worth."""

THAI = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]{1,4}")
"""Up to four characters of Thai, Lao, Burmese or Khmer, a word's worth."""

NUMBER = re.compile(r"\d+")

KINDS = {Overlap.none: (), Overlap.pair: ("pair",), Overlap.side: ("source", "target")}
"""What of a pair is looked for in dev and test."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """A block's codes, and hashes of those of its pairs that pass the filters: of the pair as it is, and by kind whatever its case."""

    codes: Codes
    keys: Hashes
    folds: dict[str, Hashes]


@dataclass(frozen=True, slots=True)
class Filters:
    """The rules of a configuration.

    Attributes:
        config: the rules.
        normalizers: of the source and the target side; rules look at text as models read it.
        held_out: by kind (``pair``, ``source``, ``target``), the sorted :func:`folded` hashes of dev and test text.
        kinds: of what the hashes are to be given.
    """

    config: CleaningConfig
    normalizers: tuple[Normalizer, Normalizer]
    held_out: Mapping[str, Hashes]
    kinds: tuple[str, ...]

    def __call__(self, block: ParallelText) -> Scanned:
        codes = bytearray()
        passed: list[tuple[str, str]] = []
        normalize_source, normalize_target = self.normalizers
        for raw_source, raw_target in zip(block.sources, block.targets, strict=True):
            source, target = normalize_source(raw_source), normalize_target(raw_target)
            code = Reason.KEPT.value
            if source is not raw_source or target is not raw_target:  # normal lines are given as they are
                code = sum(repairs(raw_source, raw_target))
                if SURROGATE.search(raw_source) or SURROGATE.search(raw_target):
                    codes.append(code | Reason.INVALID_UTF8)
                    continue
                if "\0" in raw_source or "\0" in raw_target:
                    codes.append(code | Reason.NUL)
                    continue
            reason = self._reason(source, target)
            codes.append(code | reason)
            if reason == Reason.KEPT:
                passed.append((source, target))
        result = np.frombuffer(codes, dtype=np.uint8)
        keys = _hashes(f"{source}\t{target}" for source, target in passed) if self.config.deduplicate else np.zeros(0, np.uint64)
        folds = folded(passed, {*self.kinds, *self.held_out})
        known = np.zeros(len(passed), dtype=np.bool_)
        for kind in KINDS[self.config.remove_overlap]:
            if kind in self.held_out:
                known |= among(folds[kind], self.held_out[kind])
        result[np.flatnonzero((result & REASON_BITS) == Reason.KEPT)[known]] |= HELD_OUT
        return Scanned(result, keys, folds)

    def _reason(self, source: str, target: str) -> int:
        config = self.config
        if not (source and target):
            return Reason.EMPTY
        short, long = num_words(source), num_words(target)
        if short > long:
            short, long = long, short
        if config.max_length is not None and long > config.max_length:
            return Reason.TOO_LONG
        if config.max_characters is not None and max(len(source), len(target)) > config.max_characters:
            return Reason.TOO_LONG
        if config.max_ratio is not None and long > config.max_ratio * short:
            return Reason.RATIO
        if source == target and config.max_copy_length is not None and long > config.max_copy_length:
            return Reason.COPY
        if config.match_digits and sorted(NUMBER.findall(source)) != sorted(NUMBER.findall(target)):
            return Reason.DIGITS
        return Reason.KEPT


def num_words(line: str) -> int:
    """How many words a normalised line has: what stands between blanks, or what is a word's worth where words have none between them."""
    if line.isascii() or not (CHINESE.search(line) or THAI.search(line)):
        return line.count(" ") + 1
    rest, chinese = CHINESE.subn(" ", line)
    rest, thai = THAI.subn(" ", rest)
    return chinese + thai + len(rest.split())


def repairs(source: str, target: str) -> Iterator[int]:
    """What normalising changes in a raw pair."""
    if UNUSUAL.search(source) or UNUSUAL.search(target):
        yield CHARACTERS
    if not (unicodedata.is_normalized("NFC", source) and unicodedata.is_normalized("NFC", target)):
        yield NFC
    if "\r" in source or "\r" in target:
        yield RETURNS


def folded(pairs: list[tuple[str, str]], kinds: set[str]) -> dict[str, Hashes]:
    """By kind, a hash of each normalised pair, or of a side of it, the same whatever its case."""
    texts = {
        "pair": lambda: (f"{source}\t{target}".casefold() for source, target in pairs),
        "source": lambda: (source.casefold() for source, _ in pairs),
        "target": lambda: (target.casefold() for _, target in pairs),
    }
    return {kind: _hashes(texts[kind]()) for kind in sorted(kinds)}


def among(hashes: Hashes, known: Hashes) -> npt.NDArray[np.bool_]:
    """Which of them are among the known ones, which are sorted."""
    if not len(known):
        return np.zeros(len(hashes), dtype=np.bool_)
    found: npt.NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes
    return found


def _hashes(texts: Iterator[str]) -> Hashes:
    """64 bits of each: among a hundred million pairs the chance that any two different ones meet is below one in a thousand."""
    digests = (hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), dtype="<u8")
