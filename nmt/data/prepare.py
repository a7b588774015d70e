"""From a configuration to a store: read, clean, split off, learn the tokenizer, encode; or find that this was done before."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from nmt.config import BuiltinDataConfig, DataConfig, FilesDataConfig, TokenizerConfig, to_dict
from nmt.data.cleaning import clean, normalize, report_dict, split_off
from nmt.data.reader import Corpus, languages, pair_paths, read_corpus, reads_hub
from nmt.data.store import Store, store_exists, write_store
from nmt.data.tokenizer import Tokenizer
from nmt.errors import DataError

log = logging.getLogger(__name__)

FORMAT = 1
"""Raised whenever the same input would give another store."""

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
        DataError: text that cannot be read, or of which cleaning leaves nothing.
    """
    corpus = read_corpus(data) if reads_hub(data) else None
    key = store_key(data, tokenizer, seed, corpus)
    path = Path(data.store_dir) / key
    if store_exists(path):
        log.info("data: using the store %s", path)
        return Store(path)
    corpus, report = clean(corpus or read_corpus(data), data.cleaning)
    if not len(corpus["train"]):
        raise DataError(f"no training pair is left after cleaning; dropped: {dict(report['train'].dropped)}")
    if isinstance(data, FilesDataConfig):
        corpus = split_off(corpus, report, data.dev_size, data.test_size, seed)
    train = corpus["train"]
    log.info("data: %s training pairs; learning %d pieces", f"{len(train):,}", tokenizer.vocab_size)
    lines = [normalize(line) for line in train.sources + train.targets]
    learned = Tokenizer.train(lines, tokenizer, seed=0)  # not the run's: runs that differ by their seed can share a store
    write_store(path, corpus, learned, {"languages": list(languages(data)), "cleaning": report_dict(report)})
    log.info("data: made the store %s", path)
    return Store(path)


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
        return {str(path.relative_to(grammar)): _sha256(path.read_bytes()) for path in files}
    assert isinstance(data, FilesDataConfig)
    pair_paths(data)  # refuses files that are named by halves
    paths = {name: getattr(data, name) for name in PATHS}
    return {name: _sha256(Path(path).read_bytes()) for name, path in paths.items() if path and Path(path).exists()}


def _corpus_hash(corpus: Corpus) -> dict[str, str]:
    return {name: _sha256(json.dumps([text.sources, text.targets, text.links]).encode()) for name, text in corpus.items()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
