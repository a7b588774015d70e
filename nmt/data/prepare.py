"""From a configuration to a store: read, clean, split off, learn the tokenizer, encode; or find that this was done before."""

from __future__ import annotations

import hashlib
import json
import logging
from importlib import resources
from pathlib import Path
from typing import Any

from nmt.config import BuiltinDataConfig, DataConfig, FilesDataConfig, TokenizerConfig, to_dict
from nmt.data.cleaning import clean, report_dict, split_off
from nmt.data.reader import Corpus, languages, read_corpus
from nmt.data.store import Store, store_exists, write_store
from nmt.data.tokenizer import Tokenizer

log = logging.getLogger(__name__)

FORMAT = 1
"""Raised whenever the same input would give another store."""

PATHS = ("source", "target", "dev_source", "dev_target", "test_source", "test_target", "test_alignment")
"""Settings that name files: what counts is their content."""


def prepare(data: DataConfig, tokenizer: TokenizerConfig, seed: int) -> Store:
    """The store of a corpus, made if it is not there yet.

    Its folder is named by the hash of the input's bytes and of every setting that matters, so it is used again when nothing
    changed and never when something did, whatever a file's name, size or time say.
    """
    corpus = read_corpus(data) if _on_hub(data) else None
    key = store_key(data, tokenizer, seed, corpus)
    path = Path(data.store_dir) / key
    if store_exists(path):
        log.info("data: using the store %s", path)
        return Store(path)
    corpus, report = clean(corpus or read_corpus(data), data.cleaning)
    if isinstance(data, FilesDataConfig):
        corpus = split_off(corpus, report, data.dev_size, data.test_size, seed)
    train = corpus["train"]
    log.info("data: %s training pairs; learning %d pieces", f"{len(train):,}", tokenizer.vocab_size)
    learned = Tokenizer.train(train.sources + train.targets, tokenizer, seed)
    write_store(path, corpus, learned, {"languages": list(languages(data)), "cleaning": report_dict(report)})
    log.info("data: made the store %s", path)
    return Store(path)


def store_key(data: DataConfig, tokenizer: TokenizerConfig, seed: int, corpus: Corpus | None = None) -> str:
    """The first 16 digits of a SHA-256 over input, settings and format; the seed counts where it splits off or samples."""
    settings = {name: value for name, value in to_dict(data).items() if name not in (*PATHS, "store_dir")}
    described = {
        "format": FORMAT,
        "inputs": _corpus_hash(corpus) if corpus else _input_hashes(data),
        "data": settings,
        "tokenizer": to_dict(tokenizer),
        "seed": seed if isinstance(data, FilesDataConfig) else None,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def _on_hub(data: DataConfig) -> bool:
    return isinstance(data, FilesDataConfig) and data.hub_name is not None and not Path(data.source or "").exists()


def _input_hashes(data: DataConfig) -> dict[str, Any]:
    """SHA-256 of each input file by setting; of the built-in corpus, its grammar and lexicon are the input."""
    if isinstance(data, BuiltinDataConfig):
        grammar = resources.files("nmt.data.grammar")
        found = sorted((str(path), path) for path in _walk(grammar) if path.name.endswith((".py", ".tsv")))
        return {path.name: _sha256(path.read_bytes()) for _, path in found}
    assert isinstance(data, FilesDataConfig)
    paths = {name: getattr(data, name) for name in PATHS}
    return {name: _sha256(Path(path).read_bytes()) for name, path in paths.items() if path and Path(path).exists()}


def _walk(folder: Any) -> Any:
    for path in folder.iterdir():
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def _corpus_hash(corpus: Corpus) -> dict[str, str]:
    return {name: _sha256("\n".join([*text.sources, *text.targets]).encode()) for name, text in corpus.items()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
