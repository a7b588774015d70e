"""Parallel text from files, from a hub, or from the built-in grammar.

Files are bytes, split on ``\\n`` alone: what else a language takes for the end of a line (U+2028, a lone carriage return, ...) stays
inside its line, so that line n of one side is line n of the other. Nothing is replaced or repaired here.
"""

from __future__ import annotations

import gzip
import io
import logging
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from nmt.config import BuiltinDataConfig, DataConfig, FilesDataConfig
from nmt.data.links import check_links, parse_links
from nmt.errors import ConfigError, DataError

log = logging.getLogger(__name__)

GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


BLOCK_PAIRS = 8192
"""Pairs that are worked on at a time: many enough for what is done once a block, and a megabyte or two of text."""


@dataclass(slots=True)
class ParallelText:
    """Sentence pairs of one split; ``links`` holds their gold alignments, a Pharaoh line a pair, where they are known."""

    sources: list[str]
    targets: list[str]
    links: list[str] | None = None

    def __len__(self) -> int:
        return len(self.sources)

    def blocks(self) -> Iterator[ParallelText]:
        for begin in range(0, len(self), BLOCK_PAIRS):
            block = slice(begin, begin + BLOCK_PAIRS)
            yield ParallelText(self.sources[block], self.targets[block])


class Pairs(Protocol):
    """Sentence pairs that can be gone through again and again, a block at a time."""

    def blocks(self) -> Iterator[ParallelText]: ...


@dataclass(frozen=True, slots=True)
class PairFiles:
    """Two line-aligned files, read anew each time, so that no more than a block of them is in memory."""

    source: Path
    target: Path

    def blocks(self) -> Iterator[ParallelText]:
        """
        Raises:
            DataError: a file is missing or damaged, a line is broken, there are none, or more on one side than on the other.
        """
        sources, targets = _line_blocks(self.source), _line_blocks(self.target)
        counts = [0, 0]
        while True:
            block = ParallelText(next(sources, []), next(targets, []))
            counts = [counts[0] + len(block.sources), counts[1] + len(block.targets)]
            if counts[0] != counts[1]:
                total = [count + sum(map(len, rest)) for count, rest in zip(counts, (sources, targets), strict=True)]
                raise DataError(f"{self.source} has {total[0]} lines, but {self.target} has {total[1]}: they must be aligned")
            if not block.sources:
                break
            yield block
        if not counts[0]:
            raise DataError(f"{self.source} is empty")


def joined(blocks: Iterable[ParallelText]) -> ParallelText:
    """The pairs of all blocks in memory."""
    text = ParallelText([], [])
    for block in blocks:
        text.sources += block.sources
        text.targets += block.targets
    return text


def whole(pairs: Pairs) -> ParallelText:
    """All pairs in memory."""
    return pairs if isinstance(pairs, ParallelText) else joined(pairs.blocks())


Corpus = dict[str, Pairs]
"""The splits of a corpus by name; ``dev`` and ``test`` are missing where they have yet to be split off ``train``.

They are in memory, and so is ``train`` but where it lies in files.
"""


def read_corpus(config: DataConfig) -> Corpus:
    """All splits that the configuration names.

    Raises:
        ConfigError: settings that belong together are not given together, or a size is not positive.
        DataError: a file is missing, empty or not what it should be, or the hub cannot be reached.
    """
    if isinstance(config, BuiltinDataConfig):
        from nmt.data.grammar import generate

        sizes = {"train": config.train_size, "dev": config.dev_size, "test": config.test_size}
        for name, size in sizes.items():
            check_size(name, size)
        splits = generate(*sizes.values())
        return {
            name: ParallelText([e.source for e in examples], [e.target for e in examples], [e.links for e in examples])
            for name, examples in splits.items()
        }
    assert isinstance(config, FilesDataConfig)
    corpus = _read_hub(config) if reads_hub(config) else _read_files(pair_paths(config))
    if config.test_alignment:
        if "test" not in corpus:
            raise ConfigError(
                "`data.test_alignment` aligns the test text: `data.test_source` and `data.test_target` must be given"
            )
        test = corpus["test"] = whole(corpus["test"])
        _read_links(Path(config.test_alignment), test)
    return corpus


def _read_files(paths: dict[str, tuple[Path, Path]]) -> Corpus:
    """Dev and test in memory; train as files that are there, to be read when they are gone through."""
    for path in paths["train"]:
        with _open(path):
            pass
    return {name: PairFiles(*pair) if name == "train" else read_pairs(*pair) for name, pair in paths.items()}


def pair_paths(config: FilesDataConfig) -> dict[str, tuple[Path, Path]]:
    """The source and the target file of each split that has them.

    Raises:
        ConfigError: a split has one file without the other, or train has none.
    """
    paths = {}
    for split, prefix in (("train", ""), ("dev", "dev_"), ("test", "test_")):
        source, target = getattr(config, f"{prefix}source"), getattr(config, f"{prefix}target")
        if source and target:
            paths[split] = Path(source), Path(target)
        elif source or target or split == "train":
            raise ConfigError(f"`data.{prefix}source` and `data.{prefix}target` must name the two files of the {split} text")
    return paths


def reads_hub(config: DataConfig) -> bool:
    """Whether the hub stands in for files: a dataset is named, and neither training file is there."""
    if not isinstance(config, FilesDataConfig) or not config.hub_name:
        return False
    return not any(path.exists() for path in pair_paths(config)["train"])


def check_size(split: str, size: int) -> None:
    """Refuse a split of no pairs.

    Raises:
        ConfigError: its size is not positive.
    """
    if size < 1:
        raise ConfigError(f"`data.{split}_size` must be at least 1, but is {size}")


def read_pairs(source: Path, target: Path, links: Path | None = None) -> ParallelText:
    """Two line-aligned files, and their gold alignments where a third one gives them.

    Raises:
        DataError: the files have different numbers of lines, or a line is broken.
    """
    text = joined(PairFiles(source, target).blocks())
    if links:
        _read_links(links, text)
    return text


def read_lines(path: Path) -> list[str]:
    """Lines of a plain or gzip file of UTF-8, without their ends (``\\n`` or ``\\r\\n``) and without a byte order mark at the start.

    Raises:
        DataError: the file is missing, its gzip stream is damaged, or a line is not UTF-8 (``file:line`` and the byte).
    """
    return [line for block in _line_blocks(path) for line in block]


def decode_line(line: bytes, name: Path | str, number: int) -> str:
    """One line's text without a carriage return at its end.

    Raises:
        DataError: it is not UTF-8.
    """
    try:
        return line.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}:{number}: invalid UTF-8 at byte {error.start + 1} (0x{line[error.start]:02x})") from None


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """A file's bytes, unpacked where they are gzip, behind a byte order mark.

    Raises:
        DataError: the file cannot be read, now or while the context lasts.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
            # buffered again, because a GzipFile gives single lines slowly
            with io.BufferedReader(gzip.GzipFile(fileobj=raw)) if packed else raw as file:
                if file.peek(len(BYTE_ORDER_MARK)).startswith(BYTE_ORDER_MARK):
                    file.read(len(BYTE_ORDER_MARK))
                yield file
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"{path}: {reason}") from None


def _line_blocks(path: Path) -> Iterator[list[str]]:
    """Lines as :func:`read_lines` gives them, ``BLOCK_PAIRS`` at a time."""
    with _open(path) as file:
        number = 1
        while lines := list(islice(file, BLOCK_PAIRS)):
            yield _decode(lines, path, number)
            number += len(lines)


def _decode(lines: list[bytes], path: Path, number: int) -> list[str]:
    """:func:`decode_line` of each line, the first of which has this number; at once where no line is odd, four times as fast."""
    content = b"".join(lines)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = "\r"  # some line is broken, and is to be named
    if "\r" in text:
        return [decode_line(line.removesuffix(b"\n"), path, i) for i, line in enumerate(lines, start=number)]
    return text.removesuffix("\n").split("\n")


def languages(config: DataConfig) -> tuple[str, str]:
    """Source and target language: as configured, otherwise the files' suffixes (``my.de.gz`` is ``de``).

    Raises:
        ConfigError: neither tells.
    """
    if isinstance(config, BuiltinDataConfig):
        return "en", "de"
    assert isinstance(config, FilesDataConfig)
    found = []
    for side, name, path in (
        ("source", config.source_language, config.source),
        ("target", config.target_language, config.target),
    ):
        suffix = Path((path or "").removesuffix(".gz")).suffix.removeprefix(".")
        if not (name or suffix):
            raise ConfigError(f"the {side} language is unknown: `data.{side}` ({path}) has no suffix; set `data.{side}_language`")
        found.append(name or suffix)
    return found[0], found[1]


def _read_links(path: Path, text: ParallelText) -> None:
    """Give a text its gold alignments, each of whose links must join two words that are there."""
    text.links = read_lines(path)
    if len(text.links) != len(text):
        raise DataError(f"{path} has {len(text.links)} lines, but the text it aligns has {len(text)}")
    for number, (line, source, target) in enumerate(zip(text.links, text.sources, text.targets, strict=True), start=1):
        where = f"{path}:{number}"
        check_links(parse_links(line, where), len(source.split()), len(target.split()), where)


def _read_hub(config: FilesDataConfig) -> Corpus:
    """The splits of a dataset of the hub, or of a local folder of one; columns are named by the languages."""
    import datasets

    assert config.hub_name
    log.info("%s is not there: reading %s from the datasets hub instead", config.source, config.hub_name)
    # The library knows a local file by its size and time: only when made to read it again does it see what is in it.
    mode = "force_redownload" if Path(config.hub_name).is_dir() else None
    try:
        splits: Any = datasets.load_dataset(config.hub_name, revision=config.hub_revision, download_mode=mode)
    except Exception as error:  # the library raises whatever the network or the file system did
        raise DataError(
            f"{config.source} is not there, and the dataset {config.hub_name} cannot be loaded from the hub in its place: "
            f"{type(error).__name__}: {error}"
        ) from error
    source, target = languages(config)
    corpus: Corpus = {}
    for name, candidates in (("train", ["train"]), ("dev", ["validation", "dev", "val"]), ("test", ["test"])):
        found = next((split for split in candidates if split in splits), None)
        if found is None:
            continue
        where = f"{config.hub_name}, split {found}"
        corpus[name] = ParallelText(*(_hub_lines(splits[found], language, where) for language in (source, target)))
    if "train" not in corpus:
        raise DataError(f"{config.hub_name} has no split train; there are {list(splits)}")
    return corpus


def _hub_lines(rows: Any, language: str, where: str) -> list[str]:
    """A column of text, or a language of a column ``translation``; a row is one line, so line ends within it become blanks."""
    if language in rows.column_names:
        values = rows[language]
    elif "translation" in rows.column_names:
        values = (row.get(language) for row in rows["translation"])
    else:
        raise DataError(f"{where}: no column {language}; there are {rows.column_names}")
    lines = []
    for number, value in enumerate(values, start=1):
        if not isinstance(value, str):
            raise DataError(f"{where}, row {number}: {language} must be text, but is {value!r}")
        lines.append(value.replace("\n", " "))
    if not lines:
        raise DataError(f"{where} is empty")
    return lines
