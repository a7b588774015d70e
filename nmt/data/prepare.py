"""From a configuration to a store: read, clean, split off, learn the tokenizer, encode; or find that this was done before."""

from __future__ import annotations

import hashlib
import json
import logging
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nmt.config import BuiltinDataConfig, DataConfig, FilesDataConfig, TokenizerConfig
from nmt.conversion import to_dict
from nmt.data.cleaning import Normalizers, Selection, clean, report_dict, split_off
from nmt.data.pairs import Pairs, tagged
from nmt.data.reader import (
    STANDARD_INPUT,
    Corpus,
    corpora,
    held_out,
    languages,
    local_file,
    needs_hub,
    normalizers,
    read_corpus,
    tags,
)
from nmt.data.store import Store, store_exists, write_store
from nmt.data.subwords import Sampler
from nmt.data.tokenizer import Tokenizer, Tokenizers, learn_pieces
from nmt.errors import ConfigError, DataError
from nmt.files import file_hash, file_hashes

log = logging.getLogger(__name__)

FORMAT = 4
"""Raised whenever the same input would give another store."""

MAX_TRAINING_LINES = 1_000_000
"""Lines that a tokenizer learns from: more do not change its pieces to speak of, and SentencePiece holds them all in memory."""

GROWTH_LINES = 10_000
"""Lines of which it is measured how many more pieces they have when the pieces are drawn."""

NOT_DESCRIBED = {
    "hub_name",
    "hub_config",
    "hub_revision",
    "store_dir",
    "processes",
    "weight",
    "licence",
    "source_language",
    "target_language",
}
"""Settings that a store does not depend on, but for the text and the languages that they lead to."""


def prepare(data: DataConfig, tokenizer: TokenizerConfig, seed: int) -> Store:
    """The store of a corpus, made if it is not there yet.

    Its folder is named by the hash of the input's bytes and of every setting that matters, so it is used again when nothing
    changed and never when something did, whatever a file's name, size or time say.

    Raises:
        ConfigError: settings that the text does not allow; the message has what it does allow.
        DataError: text that cannot be read, that changes while it is, or of which cleaning leaves nothing.
    """
    normalize = normalizers(data)
    hub = read_corpus(data) if needs_hub(data) else None
    key = store_key(data, tokenizer, seed, hub)
    path = Path(data.store_dir) / key
    if store_exists(path):
        log.info("data: using the store %s", path)
        return Store(path, normalize)
    corpus, report = clean(hub or read_corpus(data), data.cleaning, normalize, data.processes)
    train = corpus["train"]
    assert isinstance(train, Selection)
    if not len(train):
        raise DataError(f"no training pair is left after cleaning; dropped: {dict(report['train'].dropped)}")
    if isinstance(data, FilesDataConfig):
        corpus = split_off(corpus, report, data.dev_size, data.test_size, seed)
        train = corpus["train"]
        assert isinstance(train, Selection)
    tokenizers, growth = learn_tokenizers(train, tokenizer, normalize, tags(data))

    def check_input() -> None:
        if store_key(data, tokenizer, seed, hub) != key:  # files were gone through several times since they were hashed
            raise DataError("the input changed while it was prepared; prepare it again")

    meta = {
        "languages": list(languages(data)),
        "inputs": input_hashes(data, hub),
        "corpora": train.sizes,
        "growth": growth,
        "cleaning": report_dict(report),
    }
    keep_text = tokenizer.sampling_alpha is not None
    write_store(path, corpus, tokenizers, meta, keep_train_text=keep_text, processes=data.processes, check_input=check_input)
    log.info("data: made the store %s", path)
    return Store(path, normalize)


def learn_tokenizers(
    train: Selection, config: TokenizerConfig, normalize: Normalizers, tags: Sequence[str]
) -> tuple[Tokenizers, dict[str, float]]:
    """The tokenizers of both sides, learned or read; and how many times as many pieces a side has when they are drawn.

    Raises:
        ConfigError: settings that do not go together, or that the text does not allow.
        DataError: a file cannot be read as a SentencePiece model.
    """
    symbols = list(dict.fromkeys([*config.symbols, *tags]))
    if bad := [symbol for symbol in symbols if not symbol or symbol.split() != [symbol]]:
        raise ConfigError(f"`tokenizer.symbols` and tags must have no blank in them, but one is {bad[0]!r}")
    sides = training_lines(train, normalize)
    if config.model:
        paths = [Path(config.model), Path(config.target_model or config.model)]
        pair = [Tokenizer.load(path, normalizer) for path, normalizer in zip(paths, normalize, strict=True)]
        if missing := [symbol for symbol in symbols if not pair[0].has_piece(symbol)]:
            raise ConfigError(f"{config.model} has no piece {missing[0]!r}, which `tokenizer.symbols` or a tag asks for")
        log.info("data: %s training pairs; reading %s", f"{len(train):,}", " and ".join(map(str, dict.fromkeys(paths))))
    else:
        sizes = [config.vocab_size, config.target_vocab_size or config.vocab_size]
        log.info("data: %s training pairs; learning %d pieces", f"{len(train):,}", sizes[0])
        if config.joint:
            models = [learn_pieces([*sides[0], *sides[1]], config, sizes[0], symbols)] * 2
        else:
            models = [learn_pieces(lines, config, size, symbols) for lines, size in zip(sides, sizes, strict=True)]
        pair = [Tokenizer(model, normalizer) for model, normalizer in zip(models, normalize, strict=True)]
    alpha = config.sampling_alpha
    growth = {side: measure_growth(pair[i], sides[i], alpha) for i, side in enumerate(("source", "target"))} if alpha else {}
    return Tokenizers(*pair), growth


def measure_growth(tokenizer: Tokenizer, normalized: Sequence[str], alpha: float) -> float:
    """How many times as many pieces some lines have when the pieces are drawn, in the mean."""
    lines = normalized[:: max(1, len(normalized) // GROWTH_LINES)]
    drawn = sum(map(len, Sampler(tokenizer, alpha)(lines, np.random.default_rng(0).random)))
    return drawn / max(1, sum(map(len, tokenizer.encode_normalized(lines))))


def training_lines(train: Selection, normalize: Normalizers) -> tuple[list[str], list[str]]:
    """What a tokenizer learns from, normalised: all sources and all targets, or ``MAX_TRAINING_LINES`` drawn of both together.

    They are drawn with a fixed seed and not the run's, so that runs that differ by their seed can share a store.
    """
    size = len(train)
    drawn = range(2 * size) if 2 * size <= MAX_TRAINING_LINES else random.Random(0).sample(range(2 * size), MAX_TRAINING_LINES)
    places = np.sort(np.array(drawn))
    sides: tuple[list[str], list[str]] = [], []
    begin = 0
    for block in train.blocks():
        lines = tagged(block.sources, block.tag), block.targets
        for of_side, first, lines_of_side, normalizer in zip(sides, (begin, size + begin), lines, normalize, strict=True):
            low, high = np.searchsorted(places, (first, first + len(block)))
            of_side += [normalizer(lines_of_side[i]) for i in (places[low:high] - first).tolist()]
        begin += len(block)
    return sides


def store_key(data: DataConfig, tokenizer: TokenizerConfig, seed: int, corpus: Corpus | None = None) -> str:
    """The first 16 digits of a SHA-256 over input, settings and format; the seed counts where dev or test are split off with it."""
    described = {
        "format": FORMAT,
        "inputs": input_hashes(data, corpus),
        "data": _described(to_dict(data)),
        "tokenizer": {**to_dict(tokenizer), **_model_hashes(tokenizer)},
        "languages": languages(data),
        "seed": seed if _splits_off(data, corpus) else None,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def _splits_off(data: DataConfig, corpus: Corpus | None) -> bool:
    return isinstance(data, FilesDataConfig) and not {"dev", "test"} <= set(corpus or held_out(data))


def _described(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that a store depends on; of those that name files it depends on what is in them."""
    return {
        name: _described(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if name not in NOT_DESCRIBED and not _names_file(name)
    }


def _names_file(name: str) -> bool:
    return name in ("source", "target", "bitext", "alignment") or name.endswith(("_source", "_target", "_bitext", "_alignment"))


def _model_hashes(tokenizer: TokenizerConfig) -> dict[str, str]:
    paths = {"model": tokenizer.model, "target_model": tokenizer.target_model}
    return {name: file_hash(Path(path)) for name, path in paths.items() if path and Path(path).exists()}


def input_hashes(data: DataConfig, corpus: Corpus | None = None) -> dict[str, str]:
    """SHA-256 of each input file by setting, or of the text of each split of a corpus from the hub; of the built-in corpus, its grammar and
    lexicon are the input."""
    if corpus:
        return {name: _pairs_hash(pairs) for name, pairs in corpus.items()}
    if isinstance(data, BuiltinDataConfig):
        grammar = Path(__file__).with_name("grammar")
        paths = {str(path.relative_to(grammar)): path for path in grammar.rglob("*") if path.suffix in (".py", ".tsv")}
    else:
        assert isinstance(data, FilesDataConfig)
        described = {f"corpora.{name}" if data.corpora else name: part for name, part in corpora(data).items()} | held_out(data)
        named = {
            f"{name}.{side}": getattr(part, side)
            for name, part in described.items()
            for side in ("source", "target", "bitext", "alignment")
        }
        named |= {name: getattr(data, name) for name in ("test_alignment", "gold_alignment")}
        paths = {
            name: local_file(path) for name, path in named.items() if path and (path == STANDARD_INPUT or Path(path).exists())
        }
    return file_hashes(paths)


def _pairs_hash(pairs: Pairs) -> str:
    digest = hashlib.sha256(json.dumps(getattr(pairs, "links", None)).encode())
    for block in pairs.blocks():
        digest.update(json.dumps([block.sources, block.targets, block.tag]).encode())
    return digest.hexdigest()
