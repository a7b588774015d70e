"""What is done to text before it is learned from: repairs, filters, duplicates, overlap; everything counted.

Training pairs are filtered. Dev and test pairs are all kept, line for line and blank ones too, because scores must be about the text
as it was given. Text stays as it was read; :func:`normalize` is applied where a tokenizer or a model reads it.
"""

from __future__ import annotations

import hashlib
import io
import logging
import random
import re
import time
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nmt.config import CleaningConfig
from nmt.data.reader import Corpus, Pairs, ParallelText, check_size, joined, whole
from nmt.data.tokenizer import WORD_START
from nmt.errors import ConfigError, DataError

log = logging.getLogger(__name__)

PROGRESS_S = 10.0
"""Seconds between two lines about how far reading has come."""

SLICE = 1 << 20
"""Hashes that are compared at a time."""

INVISIBLE = "\ufeff\u200b\u2060"
"""Byte order mark, zero-width space and word joiner: they are dropped."""

CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
"""Control characters: they are blanks, and so is the tokenizer's mark of a blank, which it could not tell from one."""

UNUSUAL = re.compile(rf"[{CONTROLS}\u2028\u2029{WORD_START}{INVISIBLE}]")
"""Characters whose removal is counted as a repair."""

REPLACEMENTS = str.maketrans({**dict.fromkeys(CONTROLS + WORD_START, " "), **dict.fromkeys(INVISIBLE, "")})


def normalize(line: str) -> str:
    """Text as models read it: NFC, words separated by one blank, no control or invisible characters.

    What separates words is every kind of space, no-break spaces among them, and of line separator.
    """
    if (
        line.isprintable()  # so it has no space but the blank, and nothing unusual but perhaps the mark
        and "  " not in f" {line} "
        and (line.isascii() or (WORD_START not in line and unicodedata.is_normalized("NFC", line)))
    ):
        return line  # as most lines are: 1.1 us instead of 2.6
    return " ".join(unicodedata.normalize("NFC", line.translate(REPLACEMENTS)).split())


@dataclass(slots=True)
class SplitReport:
    """Counts of one split; ``read == kept + sum(dropped.values())``. ``repaired`` counts kept pairs, by what normalising changes."""

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)


Report = dict[str, SplitReport]


KEPT, NUL, EMPTY, TOO_LONG, RATIO, DUPLICATE, OVERLAP, SPLIT_OFF = range(8)
REASONS = {NUL: "nul", EMPTY: "empty", TOO_LONG: "too_long", RATIO: "ratio", DUPLICATE: "duplicate", OVERLAP: "overlap"}
REASON_BITS, CHARACTERS, NFC, HELD_OUT = 7, 8, 16, 32
"""A pair's code, one byte: what becomes of it, what normalising changes, and whether it occurs in dev or test."""

REPAIRS = {CHARACTERS: "characters", NFC: "nfc"}

Codes = npt.NDArray[Any]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Selection:
    """What is kept of a text: a byte a pair says so, and the text is gone through again.

    Attributes:
        text: all pairs that were read.
        codes: what becomes of each of them.
        folds: a hash of each pair that is kept, the same whatever its case; None where nothing is to be split off.
    """

    text: Pairs
    codes: Codes
    folds: Hashes | None

    def __len__(self) -> int:
        return int(np.count_nonzero(self.kept))

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        kept: npt.NDArray[np.bool_] = (self.codes & REASON_BITS) == KEPT
        return kept

    def blocks(self) -> Iterator[ParallelText]:
        return self._pick(self.kept)

    def take(self, rows: npt.NDArray[np.int64]) -> ParallelText:
        """The pairs at these places of the text, in the order of the text."""
        picked = np.zeros(len(self.codes), dtype=np.bool_)
        picked[rows] = True
        return joined(self._pick(picked))

    def _pick(self, picked: npt.NDArray[np.bool_]) -> Iterator[ParallelText]:
        begin = 0
        for block in self.text.blocks():
            rows = np.flatnonzero(picked[begin : begin + len(block)]).tolist()
            begin += len(block)
            if len(rows) == len(block):
                yield block
            elif rows:
                yield ParallelText([block.sources[i] for i in rows], [block.targets[i] for i in rows])
        if begin != len(picked):
            raise DataError(f"the training text changed while it was read: it had {len(picked)} pairs, and now has {begin}")


def clean(corpus: Mapping[str, Pairs], config: CleaningConfig) -> tuple[Corpus, Report]:
    """The corpus to learn from, and what became of every pair that was read.

    A training pair is dropped for the first of these reasons that holds: ``nul`` (it has a NUL byte), ``empty``, ``too_long``
    (``max_length`` words on a side), ``ratio`` (of lengths, ``max_ratio``), ``duplicate`` (of an earlier pair), ``overlap`` (the pair
    occurs in dev or test, whatever its case). Of the training text no more than a block is held: what remains in memory is a byte a
    pair, and while duplicates are sought, 29 with what growing and sorting need; where dev or test are split off later, 8 more.
    """
    others = {name: whole(pairs) for name, pairs in corpus.items() if name != "train"}
    held_out = set[int]()
    if config.remove_overlap:
        held_out.update(*(_folded(text) for text in others.values()))
    scan = _Scan(config, held_out, fold=not {"dev", "test"} <= corpus.keys())
    begun = shown = time.monotonic()
    for block in corpus["train"].blocks():
        scan.add(block)
        if time.monotonic() - shown > PROGRESS_S:
            shown = time.monotonic()
            log.info("data: read %s pairs, %s a second", f"{len(scan):,}", f"{len(scan) / (shown - begun):,.0f}")
    train = scan.selection(corpus["train"])
    report = {}
    for name in corpus:  # in the order in which they were read
        if name == "train":
            report[name] = SplitReport(read=len(train.codes), dropped=_counts(train.codes & REASON_BITS, REASONS))
            _count_kept(report[name], train.codes[train.kept])
        else:
            text = others[name]
            report[name] = SplitReport(len(text), len(text), repaired=_count_repairs(text))
    return {name: train if name == "train" else others[name] for name in corpus}, report


def split_off(corpus: Corpus, report: Report, dev_size: int, test_size: int, seed: int) -> Corpus:
    """A cleaned corpus with dev and test drawn from train where they are missing, with the seed, in their order of occurrence.

    The report counts them as dropped from train, by ``dev`` and ``test``, and what then overlaps with them by ``overlap``.

    Raises:
        ConfigError: a size is not positive, or train is too small.
    """
    sizes = {name: size for name, size in (("dev", dev_size), ("test", test_size)) if name not in corpus}
    if not sizes:
        return corpus
    for name, size in sizes.items():
        check_size(name, size)
    train = corpus["train"]
    assert isinstance(train, Selection)
    assert train.folds is not None
    count, total = len(train), sum(sizes.values())
    if total > count // 2:
        settings = " and ".join(f"`data.{name}_size` ({size})" for name, size in sizes.items())
        raise ConfigError(
            f"{settings} must leave at least half of the {count} training pairs; "
            f"at most {count // 2 // len(sizes)} each are possible"
        )
    drawn = random.Random(seed).sample(range(count), total)
    overlap = _among(train.folds, np.unique(train.folds[drawn]))
    places = np.flatnonzero(train.kept)
    codes = train.codes.copy()
    codes[places[overlap]] |= SPLIT_OFF
    rest = Selection(train.text, codes, train.folds[~overlap])
    result = {**corpus, "train": rest}
    for name, size in sizes.items():
        chosen, drawn = places[sorted(drawn[:size])], drawn[size:]
        result[name] = train.take(chosen)
        report[name] = SplitReport(read=size)
        _count_kept(report[name], train.codes[chosen])
        report["train"].dropped[name] = size
    report["train"].dropped["overlap"] += count - total - len(rest)
    _count_kept(report["train"], codes[rest.kept])
    return result


def report_dict(report: Report) -> dict[str, Any]:
    """The report as plain values, for ``data.json``."""
    return {
        name: {"read": split.read, "kept": split.kept, "dropped": dict(split.dropped), "repaired": dict(split.repaired)}
        for name, split in report.items()
    }


def format_report(report: dict[str, Any]) -> str:
    """The report of :func:`report_dict` as a table."""
    from rich.console import Console
    from rich.table import Table

    reasons = sorted({reason for split in report.values() for reason in split["dropped"]})
    table = Table("split", "read", *(f"- {reason}" for reason in reasons), "= kept", "repaired")
    for name, split in report.items():
        dropped = (f"{split['dropped'].get(reason, 0):,}" for reason in reasons)
        table.add_row(name, f"{split['read']:,}", *dropped, f"{split['kept']:,}", f"{sum(split['repaired'].values()):,}")
    text = io.StringIO()
    Console(file=text, width=120).print(table)
    return text.getvalue().rstrip()


class _Scan:
    """One pass over the training text: a code and hashes for each pair."""

    def __init__(self, config: CleaningConfig, held_out: set[int], fold: bool) -> None:
        self._config, self._held_out, self._fold = config, held_out, fold
        self._codes = bytearray()
        self._keys, self._folds = array("Q"), array("Q")  # of the pairs that pass the filters

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, block: ParallelText) -> None:
        held_out, deduplicate, codes, keys = self._held_out, self._config.deduplicate, self._codes, self._keys
        sources, targets = map(normalize, block.sources), map(normalize, block.targets)
        max_length, max_ratio = self._config.max_length, self._config.max_ratio
        for raw_source, raw_target, source, target in zip(block.sources, block.targets, sources, targets, strict=True):
            code = KEPT
            if source is not raw_source or target is not raw_target:  # normal lines are given as they are
                code = sum(_repairs(raw_source, raw_target))
                if "\0" in raw_source or "\0" in raw_target:
                    codes.append(code | NUL)
                    continue
            short, long = source.count(" ") + 1, target.count(" ") + 1
            if short > long:
                short, long = long, short
            if not (source and target):
                code |= EMPTY
            elif long > max_length:
                code |= TOO_LONG
            elif long > max_ratio * short:
                code |= RATIO
            else:
                pair = f"{source}\t{target}"
                if deduplicate:
                    keys.append(_hash(pair))
                if self._fold or held_out:
                    fold = _hash(pair.casefold())
                    if self._fold:
                        self._folds.append(fold)
                    if fold in held_out:
                        code |= HELD_OUT
            codes.append(code)

    def selection(self, text: Pairs) -> Selection:
        """What is kept; to be asked once, because it takes the hashes away as it goes."""
        codes = np.frombuffer(self._codes, dtype=np.uint8)
        passed = (codes & REASON_BITS) == KEPT
        found = codes[passed]
        if self._config.deduplicate:
            found[_repeats(np.frombuffer(self._keys, dtype=np.uint64))] |= DUPLICATE
            self._keys = array("Q")
        found[(found & (REASON_BITS | HELD_OUT)) == HELD_OUT] |= OVERLAP
        codes[passed] = found
        folds = np.frombuffer(self._folds, dtype=np.uint64)[(found & REASON_BITS) == KEPT] if self._fold else None
        self._folds = array("Q")
        return Selection(text, codes, folds)


def _repeats(hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Which of them occurred before."""
    order = np.argsort(hashes, kind="stable")
    repeats = np.zeros(len(hashes), dtype=np.bool_)
    for begin in range(0, len(order), SLICE):  # in slices, so that the sorted hashes are never there as a whole
        places = order[begin : begin + SLICE + 1]
        values = hashes[places]
        repeats[places[1:]] = values[1:] == values[:-1]
    return repeats


def _among(hashes: Hashes, known: Hashes) -> npt.NDArray[np.bool_]:
    """Which of them are among the known ones, which are sorted."""
    among = np.zeros(len(hashes), dtype=np.bool_)
    for begin in range(0, len(hashes), SLICE):
        values = hashes[begin : begin + SLICE]
        nearest = known[np.minimum(np.searchsorted(known, values), len(known) - 1)]
        among[begin : begin + SLICE] = nearest == values
    return among


def _counts(values: Codes, names: Mapping[int, str]) -> Counter[str]:
    """How often each named value occurs, in the order in which they first do."""
    first = {value: int(np.argmax(values == value)) for value in names if np.any(values == value)}
    return Counter({names[value]: int(np.count_nonzero(values == value)) for value in sorted(first, key=lambda v: first[v])})


def _count_kept(split: SplitReport, codes: Codes) -> None:
    """Fill in what is kept of a split, whose codes these are."""
    split.kept = len(codes)
    first = {bit: int(np.argmax(codes & bit > 0)) for bit in REPAIRS if np.any(codes & bit)}
    split.repaired = Counter({REPAIRS[bit]: int(np.count_nonzero(codes & bit)) for bit in sorted(first, key=lambda b: first[b])})
    assert split.read == split.kept + split.dropped.total()


def _count_repairs(text: ParallelText) -> Counter[str]:
    return Counter(REPAIRS[repair] for source, target in _pairs(text) for repair in _repairs(source, target))


def _repairs(source: str, target: str) -> Iterable[int]:
    if UNUSUAL.search(source) or UNUSUAL.search(target):
        yield CHARACTERS
    if not (unicodedata.is_normalized("NFC", source) and unicodedata.is_normalized("NFC", target)):
        yield NFC


def _pairs(text: ParallelText) -> Iterable[tuple[str, str]]:
    return zip(text.sources, text.targets, strict=True)


def _folded(text: ParallelText) -> set[int]:
    """Hashes of the pairs, the same whatever their case."""
    return {_hash(f"{normalize(source)}\t{normalize(target)}".casefold()) for source, target in _pairs(text)}


def _hash(text: str) -> int:
    """64 bits: among a hundred million pairs the chance that any two different ones meet is below one in a thousand."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
