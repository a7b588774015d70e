"""Parallel text from wherever a configuration says: files, a hub, standard input, or the built-in grammar."""

from __future__ import annotations

import atexit
import dataclasses
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from nmt.config import BuiltinDataConfig, CorpusConfig, DataConfig, FilesDataConfig, InvalidUtf8, TextFormat
from nmt.conversion import suggestion
from nmt.data.bitext import Columns, Linked, PairFiles, open_bitext, resolve_format
from nmt.data.hub import read_hub
from nmt.data.lines import COMPRESSIONS, open_bytes, read_lines
from nmt.data.links import check_links, parse_links, read_gold
from nmt.data.normalization import Normalizer
from nmt.data.pairs import Mixture, Pairs, ParallelText, Tagged, joined, turn, whole
from nmt.errors import ConfigError

log = logging.getLogger(__name__)

Corpus = dict[str, Pairs]
"""The splits of a corpus by name; ``dev`` and ``test`` are missing where they have yet to be split off ``train``.

They are in memory, and so is ``gold``, pairs aligned by hand, where there are some. ``train`` is in memory if the grammar made it.
"""

STANDARD_INPUT = "-"

PREFIXES = {"dev": "dev_", "test": "test_", "gold": "gold_"}


def read_corpus(config: DataConfig) -> Corpus:
    """All splits that the configuration names, in its direction.

    Raises:
        ConfigError: settings that belong together are not given together, or a size is not positive.
        DataError: a file is missing, empty or not what it should be, or the hub cannot be reached.
    """
    if isinstance(config, BuiltinDataConfig):
        corpus = _generate(config)
    else:
        assert isinstance(config, FilesDataConfig)
        corpus = _read_files(config)
    if languages(config) == natural_languages(config):
        return corpus
    return {name: turn(pairs) for name, pairs in corpus.items()}


def _generate(config: BuiltinDataConfig) -> Corpus:
    from nmt.data.grammar import generate

    sizes = {"train": config.train_size, "dev": config.dev_size, "test": config.test_size}
    for name, size in sizes.items():
        check_size(name, size)
    splits = generate(config.train_size, config.dev_size, config.test_size, difficulty=config.difficulty)
    return {
        name: ParallelText([e.source for e in examples], [e.target for e in examples], [e.links for e in examples])
        for name, examples in splits.items()
    }


def check_size(split: str, size: int) -> None:
    """Refuse a split of no pairs.

    Raises:
        ConfigError: its size is not positive.
    """
    if size < 1:
        raise ConfigError(f"`data.{split}_size` must be at least 1, but is {size}")


def _read_files(config: FilesDataConfig) -> Corpus:
    names = natural_languages(config)
    strict = config.cleaning.invalid_utf8 is InvalidUtf8.error
    corpus: Corpus = {}
    parts: dict[str, Pairs] = {}
    for name, part in corpora(config).items():
        if reads_hub(part):
            assert part.hub_name
            splits = read_hub(part.hub_name, part.hub_config, part.hub_revision, _columns(part, names))
            if not config.corpora:  # of several corpora, only the training text is taken
                corpus |= {split: whole(text) for split, text in splits.items() if split != "train"}
            parts[name] = splits["train"]
        else:
            parts[name] = open_pairs(part, names, strict=strict)
        if part.alignment:
            parts[name] = Linked(parts[name], Path(part.alignment))
        if part.tag:
            parts[name] = Tagged(parts[name], part.tag)
    for split, paths in held_out(config).items():
        corpus[split] = joined(open_pairs(paths, names, strict=True).blocks())
    if config.tag:
        corpus = {name: dataclasses.replace(whole(text), tag=config.tag) for name, text in corpus.items()}
    for split, links in (("test", config.test_alignment), ("gold", config.gold_alignment)):
        if links:
            if split not in corpus:
                raise ConfigError(
                    f"`data.{split}_alignment` aligns the {split} text: "
                    f"`data.{split}_source` and `data.{split}_target` must be given"
                )
            _read_links(Path(links), whole(corpus[split]))
    return {"train": Mixture(parts) if config.corpora else parts["train"], **corpus}


def corpora(config: FilesDataConfig) -> dict[str, CorpusConfig]:
    """The corpora of the training text by name; ``train`` is the name of the one that is described in the configuration itself.

    Raises:
        ConfigError: none is described, one is described by halves or twice, or a weight is not positive.
    """
    shared = {f.name: getattr(config, f.name) for f in dataclasses.fields(CorpusConfig)}
    own = CorpusConfig(**shared)
    if config.corpora:
        if own.source or own.target or own.bitext or own.hub_name or own.alignment:
            raise ConfigError("the training text is either `data.corpora` or that of the settings beside it, not both")
        found = {f"corpora.{name}.": part for name, part in config.corpora.items()}
    else:
        found = {"": own}
    for prefix, part in found.items():
        _check_named(part, f"data.{prefix}", "training text", hub=True)
        if part.weight <= 0:
            raise ConfigError(f"`data.{prefix}weight` must be above 0, but is {part.weight}")
        if part.alignment and not part.source:
            raise ConfigError(
                f"`data.{prefix}alignment` aligns the lines of two files: `data.{prefix}source` and `data.{prefix}target`"
            )
    return config.corpora or {"train": own}


def held_out(config: FilesDataConfig) -> dict[str, CorpusConfig]:
    """Where the text of each other split lies that has files.

    Raises:
        ConfigError: a split has one file without the other.
    """
    found = {}
    for split, prefix in PREFIXES.items():
        source, target, bitext = (getattr(config, f"{prefix}{side}", None) for side in ("source", "target", "bitext"))
        if source or target or bitext:
            found[split] = CorpusConfig(
                source=source,
                target=target,
                bitext=bitext,
                format=config.format,
                source_column=config.source_column,
                target_column=config.target_column,
            )
            _check_named(found[split], f"data.{prefix}", f"{split} text", hub=False)
    return found


def _check_named(part: CorpusConfig, prefix: str, what: str, *, hub: bool) -> None:
    """Refuse files that are named by halves, or not at all."""
    pair = bool(part.source) + bool(part.target)
    if pair == 1 or (not pair and not part.bitext and not (hub and part.hub_name)):
        raise ConfigError(
            f"`{prefix}source` and `{prefix}target` must name the two files of the {what}, or `{prefix}bitext` one with both sides"
        )
    if pair and part.bitext:
        raise ConfigError(f"the {what} is either `{prefix}source` and `{prefix}target` or `{prefix}bitext`, not both")


def reads_hub(part: CorpusConfig) -> bool:
    """Whether the hub stands in for files: a dataset is named, and no file is there."""
    return bool(part.hub_name) and not any(Path(path).exists() for path in files(part))


def needs_hub(config: DataConfig) -> bool:
    """Whether the hub stands in for the files of any corpus."""
    return isinstance(config, FilesDataConfig) and any(map(reads_hub, corpora(config).values()))


def tags(config: DataConfig) -> list[str]:
    """The tags of all corpora."""
    return [part.tag for part in corpora(config).values() if part.tag] if isinstance(config, FilesDataConfig) else []


def files(part: CorpusConfig) -> list[str]:
    """The files that are named."""
    return [path for path in (part.source, part.target, part.bitext) if path]


def open_pairs(part: CorpusConfig, names: Columns, *, strict: bool) -> Pairs:
    """The pairs of files, to be read when they are gone through.

    Raises:
        DataError: a file is not there.
        ConfigError: its format cannot be told, or columns do not fit it.
    """
    paths = [local_file(path) for path in files(part)]
    for path in paths:
        with open_bytes(path):
            pass
    if len(paths) == 2:
        return PairFiles(paths[0], paths[1], strict)
    kind = part.format
    if part.bitext == STANDARD_INPUT and kind is TextFormat.auto:
        kind = TextFormat.tsv
    columns = _columns(part, names)
    if resolve_format(paths[0], kind) is TextFormat.tsv:
        columns = part.source_column or "1", part.target_column or "2"
        for column in columns:
            if not column.isdecimal() or not int(column):
                raise ConfigError(f"columns of {part.bitext} are numbers from 1, but one is {column!r}")
    return open_bitext(paths[0], kind, columns, names, strict=strict)


def _columns(part: CorpusConfig, names: Columns) -> Columns:
    return part.source_column or names[0], part.target_column or names[1]


def local_file(path: str) -> Path:
    """The file of a name; standard input, which can be read but once, is kept in a temporary file until the process ends."""
    return _standard_input() if path == STANDARD_INPUT else Path(path)


@cache
def _standard_input() -> Path:
    with tempfile.NamedTemporaryFile(prefix="nmt-", delete=False) as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    path = Path(file.name)
    atexit.register(path.unlink, missing_ok=True)
    return path


def read_pairs(source: Path, target: Path, links: Path | None = None) -> ParallelText:
    """Two line-aligned files, and their gold alignments where a third one gives them.

    Raises:
        DataError: the files have different numbers of lines, or a line is broken.
    """
    text = joined(PairFiles(source, target).blocks())
    if links:
        _read_links(links, text)
    return text


def languages(config: DataConfig) -> tuple[str, str]:
    """Source and target language, in the configuration's direction.

    Raises:
        ConfigError: nothing tells them, or the direction is not one of the two.
    """
    names = natural_languages(config)
    directions = {"-".join(names): names, "-".join(reversed(names)): (names[1], names[0])}
    if config.direction is None:
        return names
    if config.direction not in directions:
        near = suggestion(config.direction, directions)
        raise ConfigError(f"`data.direction` must be {' or '.join(directions)}, but is {config.direction!r}{near}")
    return directions[config.direction]


def normalizers(config: DataConfig) -> tuple[Normalizer, Normalizer]:
    """What makes text of the source and the target language normal.

    Raises:
        ConfigError: the languages are unknown, or a package is missing.
    """
    source, target = languages(config)
    return Normalizer(config.normalization, source), Normalizer(config.normalization, target)


def natural_languages(config: DataConfig) -> tuple[str, str]:
    """The languages of the two sides as the text has them: as configured, otherwise the files' suffixes (``my.de.gz`` is ``de``), or
    what the direction says of a file that has both.

    Raises:
        ConfigError: nothing tells.
    """
    if isinstance(config, BuiltinDataConfig):
        return "en", "de"
    assert isinstance(config, FilesDataConfig)
    stated = config.direction.split("-") if config.direction else []
    parts = list(corpora(config).values())
    held_out(config)  # refuses files that are named by halves
    found = []
    for i, (side, name) in enumerate((("source", config.source_language), ("target", config.target_language))):
        suffixes = {_suffix(path) for part in parts if (path := getattr(part, side))}
        if not name and len(suffixes) == 1:
            name = suffixes.pop()
        if not name and not suffixes and len(stated) == 2:
            name = stated[i]
        if not name:
            raise ConfigError(f"the {side} language is unknown, because no file's suffix tells it; set `data.{side}_language`")
        found.append(name)
    return found[0], found[1]


def _suffix(path: str) -> str:
    name = Path(path)
    if name.suffix.removeprefix(".") in COMPRESSIONS:
        name = name.with_suffix("")
    return name.suffix.removeprefix(".")


def _read_links(path: Path, text: ParallelText) -> None:
    """Give a text its gold alignments, each of whose links must join two words that are there."""
    text.links = read_gold(read_lines(path), len(text), path)
    for where, line, source, target in _numbered(path, text):
        check_links(parse_links(line, where), len(source.split()), len(target.split()), where)


def _numbered(path: Path, text: ParallelText) -> Iterator[tuple[str, str, str, str]]:
    for number, row in enumerate(zip(text.links or [], text.sources, text.targets, strict=True), start=1):
        yield f"{path}:{number}", *row
