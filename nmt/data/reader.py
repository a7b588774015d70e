"""Parallel text from files, from a hub, or from the built-in grammar.

Files are bytes, split on ``\\n`` alone: what else a language takes for the end of a line (U+2028, a lone carriage return, ...) stays
inside its line, so that line n of one side is line n of the other. Nothing is replaced or repaired here.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmt.config import BuiltinDataConfig, ConfigError, DataConfig, FilesDataConfig
from nmt.data.links import check_links, parse_links
from nmt.errors import DataError

log = logging.getLogger(__name__)

GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(slots=True)
class ParallelText:
    """Sentence pairs of one split; ``links`` holds their gold alignments, a Pharaoh line a pair, where they are known."""

    sources: list[str]
    targets: list[str]
    links: list[str] | None = None

    def __len__(self) -> int:
        return len(self.sources)


Corpus = dict[str, ParallelText]
"""The splits of a corpus by name; ``dev`` and ``test`` are missing where they have yet to be split off ``train``."""


def read_corpus(config: DataConfig) -> Corpus:
    """All splits that the configuration names.

    Raises:
        DataError: a file is missing, empty or not what it should be, or the hub cannot be reached.
    """
    if isinstance(config, BuiltinDataConfig):
        from nmt.data.grammar import generate

        splits = generate(config.train_size, config.dev_size, config.test_size)
        return {
            name: ParallelText([e.source for e in examples], [e.target for e in examples], [e.links for e in examples])
            for name, examples in splits.items()
        }
    assert isinstance(config, FilesDataConfig)
    if config.source is None or config.target is None:
        raise ConfigError("`data.source` and `data.target` must name the two files of the training text")
    if config.hub_name and not Path(config.source).exists():
        return _read_hub(config)
    corpus = {"train": read_pairs(Path(config.source), Path(config.target))}
    if config.dev_source and config.dev_target:
        corpus["dev"] = read_pairs(Path(config.dev_source), Path(config.dev_target))
    if config.test_source and config.test_target:
        links = Path(config.test_alignment) if config.test_alignment else None
        corpus["test"] = read_pairs(Path(config.test_source), Path(config.test_target), links)
    return corpus


def read_pairs(source: Path, target: Path, links: Path | None = None) -> ParallelText:
    """Two line-aligned files, and their gold alignments where a third one gives them.

    Raises:
        DataError: the files have different numbers of lines, or a line is broken.
    """
    text = ParallelText(read_lines(source), read_lines(target))
    if len(text.sources) != len(text.targets):
        raise DataError(f"{source} has {len(text.sources)} lines, but {target} has {len(text.targets)}: they must be aligned")
    if not text.sources:
        raise DataError(f"{source} is empty")
    if links:
        text.links = read_lines(links)
        _check_links(links, text)
    return text


def read_lines(path: Path) -> list[str]:
    """Lines of a plain or gzip file of UTF-8, without their ends (``\\n`` or ``\\r\\n``) and without a byte order mark at the start.

    Raises:
        DataError: the file is missing, its gzip stream is damaged, or a line is not UTF-8 (``file:line`` and the byte).
    """
    try:
        content = path.read_bytes()
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"{path}: {reason}") from None
    content = content.removeprefix(BYTE_ORDER_MARK)
    lines = content.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return [decode_line(line, path, number) for number, line in enumerate(lines, start=1)]


def decode_line(line: bytes, name: Path | str, number: int) -> str:
    """One line's text without a carriage return at its end.

    Raises:
        DataError: it is not UTF-8.
    """
    try:
        return line.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}:{number}: invalid UTF-8 at byte {error.start + 1} (0x{line[error.start]:02x})") from None


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


def _check_links(path: Path, text: ParallelText) -> None:
    """Every link must join two words that are there."""
    assert text.links is not None
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
    try:
        splits: Any = datasets.load_dataset(config.hub_name, revision=config.hub_revision)
    except Exception as error:  # the library raises whatever the network or the file system did
        raise DataError(
            f"{config.source} is not there, and the dataset {config.hub_name} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    source, target = languages(config)
    corpus = {}
    for name, candidates in (("train", ["train"]), ("dev", ["validation", "dev", "val"]), ("test", ["test"])):
        found = next((split for split in candidates if split in splits), None)
        if found is None:
            continue
        rows = splits[found]
        if "translation" in rows.column_names:
            pairs = [(row[source], row[target]) for row in rows["translation"]]
        elif {source, target} <= set(rows.column_names):
            pairs = list(zip(rows[source], rows[target], strict=True))
        else:
            raise DataError(f"{config.hub_name}, split {found}: no columns {source} and {target}; there are {rows.column_names}")
        corpus[name] = ParallelText([s for s, _ in pairs], [t for _, t in pairs])
    return corpus
