"""Parallel text as it lies in files: two files, line by line, or one file of any usual format that has both sides.

All of these are gone through anew each time, so that no more than a block of them is in memory (gettext's alone are read as a whole).
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from nmt.config import TextFormat
from nmt.data import pairs
from nmt.data.lines import COMPRESSIONS, LineBlock, decode_line, line_blocks, open_bytes, stream_lines
from nmt.data.links import FIRST_WORD, check_counting
from nmt.data.pairs import Pairs, ParallelText
from nmt.errors import ConfigError, DataError

Columns = tuple[str, str]
"""Names of the source and the target column, or their numbers from 1 where columns have no names."""

XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"

OTHER_LINE_ENDS = re.compile(r"[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""What other programs may take for the end of a line."""


@dataclass(frozen=True, slots=True)
class PairFiles:
    """Two line-aligned files."""

    source: Path
    target: Path
    strict: bool = True

    def blocks(self) -> Iterator[ParallelText]:
        """
        Raises:
            DataError: a file is missing or damaged, a line is broken, there are none, or more on one side than on the other.
        """
        sources, targets = (line_blocks(path, strict=self.strict) for path in (self.source, self.target))
        count = 0
        while True:
            source, target = next(sources, LineBlock([])), next(targets, LineBlock([]))
            if len(source.lines) != len(target.lines):
                raise self._misaligned()
            if not source.lines:
                break
            count += len(source.lines)
            yield ParallelText(source.lines, target.lines, repaired=source.repaired + target.repaired)
        if not count:
            raise DataError(f"{self.source} is empty")

    def _misaligned(self) -> DataError:
        """What is known of two files that do not have the same number of lines."""
        lengths, odd = [], []
        for path in (self.source, self.target):
            texts = [line for block in line_blocks(path, strict=self.strict) for line in block.lines]
            lengths.append(np.array([len(line) for line in texts]))
            odd.append(sum(bool(OTHER_LINE_ENDS.search(line)) for line in texts))
        message = (
            f"{self.source} has {len(lengths[0])} lines, but {self.target} has {len(lengths[1])}: they must be aligned. "
            f"By the lengths of the lines they part near line {parting(*lengths) + 1}"
        )
        for path, count in zip((self.source, self.target), odd, strict=True):
            if count:
                message += f"; {count} lines of {path} have characters such as U+2028 in them, at which other programs end a line"
        return DataError(message)


@dataclass(frozen=True, slots=True)
class Linked:
    """Pairs with their word links, which lie in a file of their own, a Pharaoh line a pair."""

    pairs: Pairs
    path: Path

    def blocks(self) -> Iterator[ParallelText]:
        """
        Raises:
            DataError: the file cannot be read, has more or fewer lines than there are pairs, or counts from 1.
        """
        lines = stream_lines(self.path)
        count, num_linked, with_first_word = 0, 0, False
        for block in self.pairs.blocks():
            links = list(islice(lines, len(block)))
            count += len(links)
            if len(links) < len(block):
                raise DataError(f"{self.path} has {count} lines, but the text it aligns has more")
            num_linked += sum(map(bool, links))
            with_first_word = with_first_word or any(map(FIRST_WORD.search, links))
            yield replace(block, links=links)
        if next(lines, None) is not None:
            raise DataError(f"{self.path} has more lines than the text it aligns, which has {count}")
        check_counting(num_linked, with_first_word, self.path)


def parting(source_lengths: np.ndarray[Any, Any], target_lengths: np.ndarray[Any, Any]) -> int:
    """The line, from 0, from which on two texts are best taken as shifted by the difference of their numbers of lines.

    Best is where the lengths of the lines, in characters, agree most: the sum of their absolute log ratios is the least.
    """
    if len(source_lengths) > len(target_lengths):
        source_lengths, target_lengths = target_lengths, source_lengths
    shift = len(target_lengths) - len(source_lengths)
    source, target = np.log(source_lengths + 5.0), np.log(target_lengths + 5.0)
    before = np.abs(source - target[: len(source)])
    after = np.abs(source - target[shift:])
    costs = np.concatenate([[0.0], np.cumsum(before)]) + np.concatenate([np.cumsum(after[::-1])[::-1], [0.0]])
    return int(np.argmin(costs))


def open_bitext(path: Path, kind: TextFormat, columns: Columns, languages: Columns, *, strict: bool) -> Pairs:
    """The pairs of a file that has both sides; which format it has, its suffix tells where ``kind`` does not.

    Raises:
        ConfigError: the suffix tells no format.
    """
    match resolve_format(path, kind):
        case TextFormat.tsv:
            return TsvFile(path, columns, strict)
        case TextFormat.jsonl:
            return JsonLinesFile(path, columns, strict)
        case TextFormat.parquet:
            return ParquetFile(path, columns)
        case TextFormat.tmx:
            return TmxFile(path, languages)
        case _:
            return PoFile(path)


def resolve_format(path: Path, kind: TextFormat) -> TextFormat:
    """The format of a file, by the suffix that it has below that of a compression.

    Raises:
        ConfigError: it tells none.
    """
    if kind is not TextFormat.auto:
        return kind
    suffixes = [suffix.removeprefix(".") for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    name = {"txt": "tsv", "json": "jsonl", "pot": "po"}.get(suffixes[-1], suffixes[-1]) if suffixes else ""
    if name not in TextFormat.__members__ or name == "auto":
        known = ", ".join(f.name for f in TextFormat if f is not TextFormat.auto)
        raise ConfigError(f"the format of {path} cannot be told from its name; set `format` to one of {known}")
    return TextFormat[name]


@dataclass(frozen=True, slots=True)
class TsvFile:
    """A line a pair, columns separated by tabs and numbered from 1; nothing is quoted."""

    path: Path
    columns: Columns
    strict: bool

    def blocks(self) -> Iterator[ParallelText]:
        """
        Raises:
            DataError: the file cannot be read, has no line, or a line has too few columns.
        """
        source, target = (int(column) - 1 for column in self.columns)

        def read(line: str, where: str) -> tuple[str, str]:
            cells = line.split("\t")
            if len(cells) <= max(source, target):
                raise DataError(f"{where}: column {max(source, target) + 1} is wanted, but there are {len(cells)}")
            return cells[source], cells[target]

        return _line_pairs(self.path, read, strict=self.strict)


@dataclass(frozen=True, slots=True)
class JsonLinesFile:
    """A JSON object a line, with a text for each column, or with an object ``translation`` that has them."""

    path: Path
    columns: Columns
    strict: bool

    def blocks(self) -> Iterator[ParallelText]:
        """
        Raises:
            DataError: the file cannot be read, has no line, or a line is no such object.
        """

        def read(line: str, where: str) -> tuple[str, str]:
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{where}: no JSON: {error}") from None
            return row_texts(row, self.columns, where)

        return _line_pairs(self.path, read, strict=self.strict)


def _line_pairs(path: Path, read: Callable[[str, str], tuple[str, str]], *, strict: bool) -> Iterator[ParallelText]:
    """The pairs of a file that has one a line; ``read`` is given the line, and where it is for what it has to complain of."""
    number = 0
    for block in line_blocks(path, strict=strict):
        text = ParallelText([], [], repaired=block.repaired)
        for line in block.lines:
            number += 1
            source, target = read(line, f"{path}:{number}")
            text.sources.append(source)
            text.targets.append(target)
        yield text
    if not number:
        raise DataError(f"{path} is empty")


def row_texts(row: Any, columns: Columns, where: str) -> tuple[str, str]:
    """The texts of a row by name, or those of its record ``translation``; line ends within them become blanks.

    Raises:
        DataError: a column is missing or is no text; names ``where``.
    """
    if not isinstance(row, dict):
        raise DataError(f"{where}: an object is wanted, but this is {row!r:.60}")
    if wanted_columns(row, columns, where) == ["translation"]:
        row = row["translation"]
        wanted_columns(row, columns, where)
    texts = []
    for column in columns:
        if not isinstance(row[column], str):
            raise DataError(f"{where}: {column} must be text, but is {row[column]!r:.60}")
        texts.append(row[column].replace("\n", " "))
    return texts[0], texts[1]


def wanted_columns(names: Iterable[str], columns: Columns, where: str) -> list[str]:
    """The columns to read: those that are named, or ``translation``.

    Raises:
        DataError: there are neither; names ``where``.
    """
    missing = [column for column in columns if column not in names]
    if not missing:
        return list(columns)
    if "translation" in names:
        return ["translation"]
    raise DataError(f"{where}: no column {missing[0]}; there are {list(names)}")


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """A table with a column of text for each side, or a column ``translation`` of records that have them."""

    path: Path
    columns: Columns

    def blocks(self) -> Iterator[ParallelText]:
        """
        Raises:
            DataError: the file cannot be read, has no row, or a row has no text in a column.
        """
        import pyarrow
        from pyarrow import parquet

        count = 0
        try:
            with parquet.ParquetFile(self.path) as file:
                columns = wanted_columns(file.schema_arrow.names, self.columns, str(self.path))
                for batch in file.iter_batches(pairs.BLOCK_PAIRS, columns=columns):
                    rows = batch.to_pylist()
                    texts = [row_texts(row, self.columns, f"{self.path}, row {count + i}") for i, row in enumerate(rows, 1)]
                    count += len(texts)
                    yield ParallelText([source for source, _ in texts], [target for _, target in texts])
        except FileNotFoundError:
            raise DataError(f"{self.path}: No such file or directory") from None
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{self.path}: {error}") from None
        if not count:
            raise DataError(f"{self.path} is empty")


@dataclass(frozen=True, slots=True)
class TmxFile:
    """Translation units of a translation memory (TMX 1.4b) that have both languages; ``en`` is ``en-GB`` too.

    Of the elements within a segment, codes of formatting are left out and the text that is marked is kept. A unit that lacks a
    language is skipped as ``untranslated``.
    """

    path: Path
    languages: Columns

    def blocks(self) -> Iterator[ParallelText]:
        """
        Raises:
            DataError: the file cannot be read, or has no unit in these languages.
        """
        found = False
        stream = self._units()
        while units := list(islice(stream, pairs.BLOCK_PAIRS)):
            both = [unit for unit in units if unit]
            found |= bool(both)
            skipped = Counter(untranslated=len(units) - len(both)) if len(both) < len(units) else Counter[str]()
            yield ParallelText([unit[0] for unit in both], [unit[1] for unit in both], skipped=skipped)
        if not found:
            raise DataError(f"{self.path} has no unit with both {self.languages[0]} and {self.languages[1]}")

    def _units(self) -> Iterator[tuple[str, str] | None]:
        with open_bytes(self.path) as (file, _):
            try:
                root = None
                for event, element in ElementTree.iterparse(file, events=("start", "end")):
                    if root is None:
                        root = element
                    if event == "end" and element.tag == "tu":
                        yield self._texts(element)
                        root.clear()  # with all units that were read
            except ElementTree.ParseError as error:
                raise DataError(f"{self.path}:{error.position[0]}: {error}") from None

    def _texts(self, unit: ElementTree.Element) -> tuple[str, str] | None:
        texts: dict[str, str] = {}
        for variant in unit.iter("tuv"):
            language = (variant.get(XML_LANGUAGE) or variant.get("lang") or "").lower().replace("_", "-")
            segment = variant.find("seg")
            if segment is not None:
                text = "".join(_segment_text(segment)).replace("\n", " ")
                texts.setdefault(language, text)
                texts.setdefault(language.split("-")[0], text)
        source, target = (texts.get(language.lower().replace("_", "-")) for language in self.languages)
        return None if source is None or target is None else (source, target)


def _segment_text(element: ElementTree.Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if child.tag == "hi":
            yield from _segment_text(child)
        yield child.tail or ""


@dataclass(frozen=True, slots=True)
class PoFile:
    """Messages of a gettext catalogue and their translations; line ends within them become blanks.

    What is not translated, marked as fuzzy or obsolete is skipped. Of a message with a plural, the singular goes with the first form,
    the plural with the last.
    """

    path: Path

    def blocks(self) -> Iterator[ParallelText]:
        """
        Raises:
            DataError: the file cannot be read, is no catalogue, or has no translation.
        """
        import polib

        with open_bytes(self.path) as (file, _):
            lines = [decode_line(line.removesuffix(b"\n"), self.path, i) for i, line in enumerate(file, start=1)]
        if not any(lines):
            raise DataError(f"{self.path} is empty")
        try:
            catalogue = polib.pofile("\n".join(lines) + "\n")
        except OSError as error:
            position = re.search(r"\(line (\d+)\)(.*)", str(error))
            where, what = (f":{position[1]}", position[2].strip(": ")) if position else ("", str(error))
            raise DataError(f"{self.path}{where}: {what or 'no gettext catalogue'}") from None
        texts, skipped = [], Counter[str]()
        for entry in catalogue:
            forms = list(_forms(entry))
            if entry.obsolete or entry.fuzzy or not all(target for _, target in forms):
                skipped["fuzzy" if entry.fuzzy else "obsolete" if entry.obsolete else "untranslated"] += 1
            else:
                texts += [(source.replace("\n", " "), target.replace("\n", " ")) for source, target in forms]
        if not texts:
            raise DataError(f"{self.path} has no translated message")
        yield from ParallelText([s for s, _ in texts], [t for _, t in texts], skipped=skipped).blocks()


def _forms(entry: Any) -> Iterable[tuple[str, str]]:
    if not entry.msgid_plural:
        return [(entry.msgid, entry.msgstr)]
    forms = [entry.msgstr_plural[number] for number in sorted(entry.msgstr_plural)]
    return [(entry.msgid, forms[0]), (entry.msgid_plural, forms[-1])]
