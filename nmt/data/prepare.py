"""From a configuration to a store: read, clean, split off, learn the tokenizer, encode; or find that this was done before."""

from __future__ import annotations

import hashlib
import json
import logging
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from nmt.config import BuiltinDataConfig, DataConfig, FilesDataConfig, TokenizerConfig
from nmt.conversion import to_dict
from nmt.data.cleaning import Selection, clean, normalize, report_dict, split_off
from nmt.data.reader import Corpus, languages, pair_paths, read_corpus, reads_hub, whole
from nmt.data.store import Store, store_exists, write_store
from nmt.data.tokenizer import Tokenizer
from nmt.errors import DataError

log = logging.getLogger(__name__)

FORMAT = 1
"""Raised whenever the same input would give another store."""

MAX_TRAINING_LINES = 1_000_000
"""Lines that a tokenizer learns from: more do not change its pieces to speak of, and SentencePiece holds them all in memory."""

PATHS = ("source", "target", "dev_source", "dev_target", "test_source", "test_target", "test_alignment")
"""Settings that name files: what counts is their content."""

NOT_DESCRIBED = (*PATHS, "hub_name", "hub_revision", "store_dir", "source_language", "target_language")
"""Settings that a store does not depend on, but for the text and the languages that they lead to."""


def prepare(data: DataConfig, tokenizer: TokenizerConfig, seed: int) -> Store:
    """The store of a corpus, made if it is not there yet.

    Its folder is named by the hash of the input's bytes and of every setting that matters, so it is used again when nothing
    changed and never when something did, whatever a file's name, size or time say.

    Raises:
        ConfigError: settings that the text does not allow; the message has what it does allow.
        DataError: text that cannot be read, that changes while it is, or of which cleaning leaves nothing.
    """
    hub = read_corpus(data) if reads_hub(data) else None
    key = store_key(data, tokenizer, seed, hub)
    path = Path(data.store_dir) / key
    if store_exists(path):
        log.info("data: using the store %s", path)
        return Store(path)
    corpus, report = clean(hub or read_corpus(data), data.cleaning)
    train = corpus["train"]
    assert isinstance(train, Selection)
    if not len(train):
        raise DataError(f"no training pair is left after cleaning; dropped: {dict(report['train'].dropped)}")
    if isinstance(data, FilesDataConfig):
        corpus = split_off(corpus, report, data.dev_size, data.test_size, seed)
        train = corpus["train"]
        assert isinstance(train, Selection)
    log.info("data: %s training pairs; learning %d pieces", f"{len(train):,}", tokenizer.vocab_size)
    learned = Tokenizer.train(training_lines(train), tokenizer)

    def check_input() -> None:
        if store_key(data, tokenizer, seed, hub) != key:  # files were gone through several times since they were hashed
            raise DataError("the input changed while it was prepared; prepare it again")

    write_store(path, corpus, learned, {"languages": list(languages(data)), "cleaning": report_dict(report)}, check_input)
    log.info("data: made the store %s", path)
    return Store(path)


def training_lines(train: Selection) -> list[str]:
    """What the tokenizer learns from, normalised: all sources, then all targets, or ``MAX_TRAINING_LINES`` drawn of them.

    They are drawn with a fixed seed and not the run's, so that runs that differ by their seed can share a store.
    """
    size = len(train)
    drawn = range(2 * size) if 2 * size <= MAX_TRAINING_LINES else random.Random(0).sample(range(2 * size), MAX_TRAINING_LINES)
    places = np.array(drawn)
    order = np.argsort(places)
    places = places[order]
    lines = [""] * len(places)
    begin = 0
    for block in train.blocks():
        for side, first in ((block.sources, begin), (block.targets, size + begin)):
            low, high = np.searchsorted(places, (first, first + len(block)))
            for place, i in zip(order[low:high].tolist(), (places[low:high] - first).tolist(), strict=True):
                lines[place] = normalize(side[i])
        begin += len(block)
    return lines


def store_key(data: DataConfig, tokenizer: TokenizerConfig, seed: int, corpus: Corpus | None = None) -> str:
    """The first 16 digits of a SHA-256 over input, settings and format; the seed counts where dev or test are split off with it."""
    settings = {name: value for name, value in to_dict(data).items() if name not in NOT_DESCRIBED}
    described = {
        "format": FORMAT,
        "inputs": _corpus_hash(corpus) if corpus else _input_hashes(data),
        "data": settings,
        "tokenizer": to_dict(tokenizer),
        "languages": languages(data),
        "seed": seed if isinstance(data, FilesDataConfig) and not {"dev", "test"} <= set(corpus or pair_paths(data)) else None,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def _input_hashes(data: DataConfig) -> dict[str, Any]:
    """SHA-256 of each input file by setting; of the built-in corpus, its grammar and lexicon are the input."""
    if isinstance(data, BuiltinDataConfig):
        grammar = Path(__file__).with_name("grammar")
        files = [path for path in grammar.rglob("*") if path.suffix in (".py", ".tsv")]
        return {str(path.relative_to(grammar)): _file_hash(path) for path in files}
    assert isinstance(data, FilesDataConfig)
    pair_paths(data)  # refuses files that are named by halves
    paths = {name: getattr(data, name) for name in PATHS}
    there = {name: Path(path) for name, path in paths.items() if path and Path(path).exists()}
    with ThreadPoolExecutor() as pool:  # hashing leaves Python free: two cores take half as long
        return dict(zip(there, pool.map(_file_hash, there.values()), strict=True))


def _corpus_hash(corpus: Corpus) -> dict[str, str]:
    texts = {name: whole(pairs) for name, pairs in corpus.items()}
    return {name: _sha256(json.dumps([text.sources, text.targets, text.links]).encode()) for name, text in texts.items()}


def _file_hash(path: Path) -> str:
    """Of the bytes, whatever size and time say: both can stay the same when the bytes change."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
