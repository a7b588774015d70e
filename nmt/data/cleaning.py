"""Which pairs are learned from: filters, duplicates, overlap with dev and test, splitting off; everything counted.

Training pairs are filtered. Dev and test pairs are all kept, line for line and blank ones too, because scores must be about the text
as it was given. Text stays as it was read; a :class:`~nmt.data.normalization.Normalizer` is applied where it is looked at.
"""

from __future__ import annotations

import logging
import random
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nmt.config import CleaningConfig
from nmt.data.filters import (
    HELD_OUT,
    KINDS,
    REASON_BITS,
    REPAIRS,
    Codes,
    Filters,
    Hashes,
    Reason,
    Scanned,
    among,
    folded,
    repairs,
)
from nmt.data.normalization import Normalizer
from nmt.data.pairs import Mixture, Pairs, ParallelText, joined, whole
from nmt.data.parallel import ordered_map
from nmt.data.reader import Corpus, check_size
from nmt.errors import ConfigError, DataError
from nmt.tables import format_table

log = logging.getLogger(__name__)

PROGRESS_S = 10.0
"""Seconds between two lines about how far reading has come."""

SLICE = 1 << 20
"""Hashes that are compared at a time."""

MAX_COPIES = 0.01
"""The share of copies above which there is a warning: a model learns from them to copy (Khayrallah and Koehn 2018)."""

Normalizers = tuple[Normalizer, Normalizer]
"""Of the source and the target side."""


@dataclass(slots=True)
class SplitReport:
    """Counts of one split; ``read == kept + sum(dropped.values())``.

    ``repaired`` counts kept pairs by what normalising changes, and lines by what reading mended. ``overlap`` counts the pairs that pass the
    filters and occur in dev or test, as a pair or with a side, whether they are dropped for it or not.
    """

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    overlap: Counter[str] = field(default_factory=Counter)


Report = dict[str, SplitReport]
"""By split; where the training text is a mixture, ``train`` is followed by each of its corpora as ``train.NAME``."""


@dataclass(slots=True)
class Part:
    """One corpus of the training text: where its pairs end in it, and what was met on the way."""

    name: str
    end: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    overlap: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Selection:
    """What is kept of a text: a byte a pair says so, and the text is gone through again.

    Attributes:
        text: all pairs that were read.
        codes: what becomes of each of them.
        parts: the corpora that it consists of, in order.
        folds: hashes of each pair that is kept, by kind, the same whatever its case; empty where nothing is to be split off.
    """

    text: Pairs
    codes: Codes
    parts: list[Part]
    folds: dict[str, Hashes]

    def __len__(self) -> int:
        return int(np.count_nonzero(self.kept))

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        kept: npt.NDArray[np.bool_] = (self.codes & REASON_BITS) == Reason.KEPT
        return kept

    @property
    def sizes(self) -> dict[str, int]:
        """How many pairs of each corpus are kept."""
        begins = [0, *(part.end for part in self.parts)]
        return {
            part.name: int(np.count_nonzero(self.kept[begin : part.end])) for part, begin in zip(self.parts, begins, strict=False)
        }

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
                yield ParallelText(block.sources, block.targets, block.links, block.tag)
            elif rows:
                links = block.links and [block.links[i] for i in rows]
                yield ParallelText([block.sources[i] for i in rows], [block.targets[i] for i in rows], links, block.tag)
        if begin != len(picked):
            raise DataError(f"the training text changed while it was read: it had {len(picked)} pairs, and now has {begin}")


def clean(
    corpus: Mapping[str, Pairs], config: CleaningConfig, normalizers: Normalizers, processes: int | None = None
) -> tuple[Corpus, Report]:
    """The corpus to learn from, and what became of every pair that was read.

    A training pair is dropped for the first :class:`~nmt.data.filters.Reason` that holds. It is a duplicate of an earlier pair as models
    read both; it overlaps if the pair, or with ``side`` one of its sides, occurs in dev or test (or in text aligned by hand, but for
    ``keep_gold``), whatever its case. Of the training text no more than some blocks are held: what remains in memory is a byte a pair,
    and while duplicates are sought, 29 with what growing and sorting need; where dev or test are split off later, 8 more (16 for
    ``side``). The result does not depend on the number of processes.
    """
    others = {name: whole(pairs) for name, pairs in corpus.items() if name != "train"}
    known = [text for name, text in others.items() if name != "gold" or not config.keep_gold]
    kinds = () if {"dev", "test"} <= corpus.keys() else KINDS[config.remove_overlap]
    scan = _Scan(Filters(config, normalizers, _held_out(known, normalizers), kinds), processes)
    train = corpus["train"]
    for name, pairs in (train.corpora if isinstance(train, Mixture) else {"train": train}).items():
        scan.read(name, pairs)
    selection = scan.selection(train)
    report: Report = {}
    for name in corpus:  # in the order in which they were read
        if name == "train":
            report |= train_report(selection)
        else:
            text = others[name]
            report[name] = SplitReport(len(text) + text.skipped.total(), len(text), Counter(text.skipped), _count_repairs(text))
    _warn(report)
    return {name: selection if name == "train" else others[name] for name in corpus}, report


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
    count, total = len(train), sum(sizes.values())
    if total > count // 2:
        settings = " and ".join(f"`data.{name}_size` ({size})" for name, size in sizes.items())
        raise ConfigError(
            f"{settings} must leave at least half of the {count} training pairs; "
            f"at most {count // 2 // len(sizes)} each are possible"
        )
    drawn = random.Random(seed).sample(range(count), total)
    overlap = np.zeros(count, dtype=np.bool_)
    for folds in train.folds.values():
        known = np.unique(folds[drawn])
        for begin in range(0, count, SLICE):
            overlap[begin : begin + SLICE] |= among(folds[begin : begin + SLICE], known)
    places = np.flatnonzero(train.kept)
    codes = train.codes.copy()
    codes[places[overlap]] |= Reason.OVERLAP.value
    texts = {}
    for name, size in sizes.items():
        chosen, drawn = places[sorted(drawn[:size])], drawn[size:]
        codes[chosen] = (codes[chosen] & ~np.uint8(REASON_BITS)) | Reason[name.upper()].value
        texts[name] = train.take(chosen)
        report[name] = SplitReport(size, size, repaired=_count_codes(codes[chosen], REPAIRS))
    rest = Selection(train.text, codes, train.parts, {kind: folds[~overlap] for kind, folds in train.folds.items()})
    report |= train_report(rest)
    return {**corpus, "train": rest, **texts}


def train_report(train: Selection) -> Report:
    """The report of the training text, and of each of its corpora where there are several."""
    report = {}
    begin = 0
    for part in train.parts:
        codes, begin = train.codes[begin : part.end], part.end
        report[f"train.{part.name}"] = SplitReport(
            read=len(codes) + part.skipped.total(),
            kept=int(np.count_nonzero((codes & REASON_BITS) == Reason.KEPT)),
            dropped=part.skipped + _count_reasons(codes),
            repaired=_count_codes(codes[(codes & REASON_BITS) == Reason.KEPT], REPAIRS) + part.repaired,
            overlap=Counter({kind: part.overlap[kind] for kind in ("pair", "source", "target") if part.overlap[kind]}),
        )
    total = SplitReport()
    for split in report.values():
        total.read, total.kept = total.read + split.read, total.kept + split.kept
        total.dropped, total.repaired = total.dropped + split.dropped, total.repaired + split.repaired
        total.overlap = total.overlap + split.overlap
    assert total.read == total.kept + total.dropped.total()
    return {"train": total, **(report if len(report) > 1 else {})}


def report_dict(report: Report) -> dict[str, Any]:
    """The report as plain values, for ``data.json``."""
    return {
        name: {
            "read": split.read,
            "kept": split.kept,
            "dropped": dict(split.dropped),
            "repaired": dict(split.repaired),
            "overlap": dict(split.overlap),
        }
        for name, split in report.items()
    }


def format_report(report: dict[str, Any]) -> str:
    """The report of :func:`report_dict` as a table."""
    reasons = sorted({reason for split in report.values() for reason in split["dropped"]})
    rows = []
    for name, split in report.items():
        dropped = (f"{split['dropped'].get(reason, 0):,}" for reason in reasons)
        rows.append([name, f"{split['read']:,}", *dropped, f"{split['kept']:,}", f"{sum(split['repaired'].values()):,}"])
    return format_table(["split", "read", *(f"- {reason}" for reason in reasons), "= kept", "repaired"], rows)


class _Scan:
    """One pass over the training text: a code and hashes for each pair."""

    def __init__(self, filters: Filters, processes: int | None) -> None:
        self._filters, self._processes = filters, processes
        self._codes = bytearray()
        self._keys = array("Q")  # of the pairs that pass the filters
        self._folds = {kind: array("Q") for kind in filters.kinds}
        self._parts: list[Part] = []
        self._begun = self._shown = time.monotonic()

    def read(self, name: str, pairs: Pairs) -> None:
        """Go through a corpus."""
        part = Part(name)
        self._parts.append(part)
        for scanned in ordered_map(self._filters, self._noted(pairs, part), self._processes):
            self._add(scanned, part)
            if time.monotonic() - self._shown > PROGRESS_S:
                self._shown = time.monotonic()
                count, speed = len(self._codes), len(self._codes) / (self._shown - self._begun)
                log.info("data: read %s pairs, %s a second", f"{count:,}", f"{speed:,.0f}")
        part.end = len(self._codes)

    def _noted(self, pairs: Pairs, part: Part) -> Iterator[ParallelText]:
        """The blocks, whose counts are added to the part on the way."""
        for block in pairs.blocks():
            part.skipped += block.skipped
            part.repaired += block.repaired
            yield block

    def _add(self, scanned: Scanned, part: Part) -> None:
        self._codes += scanned.codes.tobytes()
        self._keys.frombytes(scanned.keys.tobytes())
        for kind, hashes in scanned.folds.items():
            if kind in self._folds:
                self._folds[kind].frombytes(hashes.tobytes())
            if kind in self._filters.held_out:
                count = int(np.count_nonzero(among(hashes, self._filters.held_out[kind])))
                part.overlap += Counter({kind: count}) if count else Counter()

    def selection(self, text: Pairs) -> Selection:
        """What is kept; to be asked once, because it takes the hashes away as it goes."""
        codes = np.frombuffer(self._codes, dtype=np.uint8)
        passed = (codes & REASON_BITS) == Reason.KEPT
        found = codes[passed]
        if self._filters.config.deduplicate:
            found[_repeats(np.frombuffer(self._keys, dtype=np.uint64))] |= Reason.DUPLICATE.value
            self._keys = array("Q")
        found[(found & (REASON_BITS | HELD_OUT)) == HELD_OUT] |= Reason.OVERLAP.value
        codes[passed] = found
        remaining = (found & REASON_BITS) == Reason.KEPT
        folds = {kind: np.frombuffer(hashes, dtype=np.uint64)[remaining] for kind, hashes in self._folds.items()}
        self._folds = {}
        return Selection(text, codes, self._parts, folds)


def _held_out(texts: list[ParallelText], normalizers: Normalizers) -> dict[str, Hashes]:
    """By kind, the sorted hashes of dev and test text; none where there is no such text."""
    normalize_source, normalize_target = normalizers
    pairs = [
        (normalize_source(source), normalize_target(target))
        for text in texts
        for source, target in zip(text.sources, text.targets, strict=True)
    ]
    return {kind: np.unique(hashes) for kind, hashes in folded(pairs, {"pair", "source", "target"}).items()} if pairs else {}


def _repeats(hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Which of them occurred before."""
    order = np.argsort(hashes, kind="stable")
    repeats = np.zeros(len(hashes), dtype=np.bool_)
    for begin in range(0, len(order), SLICE):  # in slices, so that the sorted hashes are never there as a whole
        places = order[begin : begin + SLICE + 1]
        values = hashes[places]
        repeats[places[1:]] = values[1:] == values[:-1]
    return repeats


def _count_reasons(codes: Codes) -> Counter[str]:
    counts = np.bincount(codes & REASON_BITS, minlength=len(Reason))
    return Counter(
        {reason.name.lower(): int(counts[reason]) for reason in Reason if reason is not Reason.KEPT and counts[reason]}
    )


def _count_codes(codes: Codes, bits: Mapping[int, str]) -> Counter[str]:
    counts = {name: int(np.count_nonzero(codes & bit)) for bit, name in bits.items()}
    return Counter({name: count for name, count in counts.items() if count})


def _count_repairs(text: ParallelText) -> Counter[str]:
    codes = [sum(repairs(source, target)) for source, target in zip(text.sources, text.targets, strict=True)]
    return _count_codes(np.array(codes, dtype=np.uint8), REPAIRS) + text.repaired


def _warn(report: Report) -> None:
    """Say what is likely to be a fault of the text."""
    train = report["train"]
    if train.dropped["copy"] > MAX_COPIES * train.read:
        log.warning(
            "data: %s of %s training pairs have equal sides and were dropped (`data.cleaning.max_copy_length`); is a side missing?",
            f"{train.dropped['copy']:,}",
            f"{train.read:,}",
        )
    for name, split in report.items():
        if split.repaired["carriage_return"]:
            log.warning(
                "data: %s pairs of %s have carriage returns within a line; they became blanks",
                f"{split.repaired['carriage_return']:,}",
                name,
            )
