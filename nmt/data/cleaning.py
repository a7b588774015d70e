"""What is done to text before it is learned from: repairs, filters, duplicates, overlap; everything counted.

Training pairs are filtered. Dev and test pairs are all kept, line for line and blank ones too, because scores must be about the text
as it was given. Text stays as it was read; :func:`normalize` is applied where a tokenizer or a model reads it.
"""

from __future__ import annotations

import hashlib
import io
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from nmt.config import CleaningConfig, ConfigError
from nmt.data.reader import Corpus, ParallelText, check_size
from nmt.data.tokenizer import WORD_START

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
    if UNUSUAL.search(line):  # in few lines, and translating is slow
        line = line.translate(REPLACEMENTS)
    return " ".join(unicodedata.normalize("NFC", line).split())


@dataclass(slots=True)
class SplitReport:
    """Counts of one split; ``read == kept + sum(dropped.values())``. ``repaired`` counts kept pairs, by what normalising changes."""

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)


Report = dict[str, SplitReport]


def clean(corpus: Corpus, config: CleaningConfig) -> tuple[Corpus, Report]:
    """The corpus to learn from, and what became of every pair that was read.

    A training pair is dropped for the first of these reasons that holds: ``nul`` (it has a NUL byte), ``empty``, ``too_long``
    (``max_length`` words on a side), ``ratio`` (of lengths, ``max_ratio``), ``duplicate`` (of an earlier pair), ``overlap`` (the pair
    occurs in dev or test, whatever its case).
    """
    report = {name: SplitReport(read=len(text)) for name, text in corpus.items()}
    held_out = set[int]()
    if config.remove_overlap:
        held_out.update(*(_folded(corpus[name]) for name in ("dev", "test") if name in corpus))
    kept = ParallelText([], [])
    seen: set[int] = set()
    train = report["train"]
    for raw_source, raw_target in _pairs(corpus["train"]):
        source, target = normalize(raw_source), normalize(raw_target)
        reason = _reason_to_drop(source, target, config)
        if "\0" in raw_source + raw_target:
            reason = "nul"
        pair = f"{source}\t{target}"
        if reason is None and config.deduplicate:
            key = _hash(pair)
            reason = "duplicate" if key in seen else None
            seen.add(key)
        if reason is None and held_out and _hash(pair.casefold()) in held_out:
            reason = "overlap"
        if reason:
            train.dropped[reason] += 1
            continue
        kept.sources.append(raw_source)
        kept.targets.append(raw_target)
    result = {**corpus, "train": kept}
    _count_kept(result, report)
    return result, report


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
    train, total = corpus["train"], sum(sizes.values())
    if total > len(train) // 2:
        settings = " and ".join(f"`data.{name}_size` ({size})" for name, size in sizes.items())
        raise ConfigError(
            f"{settings} must leave at least half of the {len(train)} training pairs; "
            f"at most {len(train) // 2 // len(sizes)} each are possible"
        )
    drawn = random.Random(seed).sample(range(len(train)), total)
    result = dict(corpus)
    for name, size in sizes.items():
        chosen, drawn = sorted(drawn[:size]), drawn[size:]
        result[name] = ParallelText([train.sources[i] for i in chosen], [train.targets[i] for i in chosen])
        report[name] = SplitReport(read=size)
        report["train"].dropped[name] = size
    held_out = set().union(*(_folded(result[name]) for name in sizes))
    rest = [(source, target) for source, target in _pairs(train) if _fold(source, target) not in held_out]
    result["train"] = ParallelText([source for source, _ in rest], [target for _, target in rest])
    report["train"].dropped["overlap"] += len(train) - total - len(rest)
    _count_kept(result, report)
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


def _reason_to_drop(source: str, target: str, config: CleaningConfig) -> str | None:
    lengths = sorted(len(side.split(" ")) if side else 0 for side in (source, target))
    if lengths[0] == 0:
        return "empty"
    if lengths[1] > config.max_length:
        return "too_long"
    return "ratio" if lengths[1] > config.max_ratio * lengths[0] else None


def _count_kept(corpus: Corpus, report: Report) -> None:
    for name, text in corpus.items():
        split = report[name]
        split.kept = len(text)
        split.repaired = Counter(repair for source, target in _pairs(text) for repair in _repairs(source, target))
        assert split.read == split.kept + split.dropped.total()


def _repairs(source: str, target: str) -> Iterable[str]:
    if UNUSUAL.search(source) or UNUSUAL.search(target):
        yield "characters"
    if not (unicodedata.is_normalized("NFC", source) and unicodedata.is_normalized("NFC", target)):
        yield "nfc"


def _pairs(text: ParallelText) -> Iterable[tuple[str, str]]:
    return zip(text.sources, text.targets, strict=True)


def _folded(text: ParallelText) -> set[int]:
    return {_fold(source, target) for source, target in _pairs(text)}


def _fold(source: str, target: str) -> int:
    """A pair's hash, the same whatever its case."""
    return _hash(f"{normalize(source)}\t{normalize(target)}".casefold())


def _hash(text: str) -> int:
    """64 bits: among a hundred million pairs the chance that any two different ones meet is below one in a thousand."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
