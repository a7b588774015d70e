"""Prepared text: ids and offsets in memory-mapped arrays, and what is needed to read and score them.

A store is a folder named by the hash of all that it depends on. ``SPLIT.SIDE.ids.npy`` holds the pieces of all lines one after the
other, ``SPLIT.SIDE.offsets.npy`` where each line begins; ``dev`` and ``test`` keep their raw text in ``SPLIT.SIDE.txt``, and
``SPLIT.links.txt`` holds gold alignments. ``meta.json`` is written last and makes the folder a store.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from nmt.data.cleaning import PROGRESS_S, normalize
from nmt.data.reader import Pairs, whole
from nmt.data.tokenizer import Tokenizer
from nmt.errors import DataError
from nmt.files import sync, write_json_atomic

log = logging.getLogger(__name__)

META, TOKENIZER = "meta.json", "tokenizer.model"


class Split:
    """The pairs of one split as ids, without BOS and EOS; lengths are in pieces. A blank line of dev or test has no ids.

    Raises:
        DataError: an array is missing or cut off.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        try:
            self._ids = {side: np.load(folder / f"{name}.{side}.ids.npy", mmap_mode="r") for side in ("source", "target")}
            self._offsets = {side: np.load(folder / f"{name}.{side}.offsets.npy", mmap_mode="r") for side in ("source", "target")}
        except (OSError, EOFError, ValueError) as error:
            raise _damaged(folder, f"split {name}: {error}") from None

    def __len__(self) -> int:
        return len(self._offsets["source"]) - 1

    @cached_property
    def source_lengths(self) -> npt.NDArray[np.int64]:
        return self._lengths("source")

    @cached_property
    def target_lengths(self) -> npt.NDArray[np.int64]:
        return self._lengths("target")

    def source(self, i: int) -> npt.NDArray[Any]:
        return self._row("source", i)

    def target(self, i: int) -> npt.NDArray[Any]:
        return self._row("target", i)

    def gather(self, side: str, sentences: npt.NDArray[np.int64]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """The ids of some sentences, one after the other (N,), and the length of each (B,)."""
        offsets = self._offsets[side]
        begins = offsets[sentences]
        lengths = offsets[sentences + 1] - begins
        places = np.arange(lengths.sum()) + np.repeat(begins - (np.cumsum(lengths) - lengths), lengths)
        return self._ids[side][places], lengths

    @property
    def source_lines(self) -> list[str]:
        """Raw text, as it was read (dev and test)."""
        return _read_text(self._folder / f"{self._name}.source.txt")

    @property
    def target_lines(self) -> list[str]:
        """Raw text, as it was read (dev and test): the references."""
        return _read_text(self._folder / f"{self._name}.target.txt")

    @property
    def links(self) -> list[str] | None:
        """Gold alignments, a Pharaoh line a pair, or None where there are none."""
        path = self._folder / f"{self._name}.links.txt"
        return _read_text(path) if path.exists() else None

    def _lengths(self, side: str) -> npt.NDArray[np.int64]:
        lengths: npt.NDArray[np.int64] = np.diff(self._offsets[side])
        return lengths

    def _row(self, side: str, i: int) -> npt.NDArray[Any]:
        offsets = self._offsets[side]
        row: npt.NDArray[Any] = self._ids[side][offsets[i] : offsets[i + 1]]
        return row


class Store:
    """A store that is there.

    Raises:
        DataError: the folder is no store, or its tokenizer is not the one that its ids were made with.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.meta: dict[str, Any] = json.loads((path / META).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _damaged(path, f"{META}: {error}") from None
        self.tokenizer = Tokenizer.load(path / TOKENIZER)
        if hashlib.sha256(self.tokenizer.model).hexdigest() != self.meta["tokenizer_sha256"]:
            raise _damaged(path, f"{TOKENIZER} is not the one that was learned")

    def split(self, name: str) -> Split:
        return Split(self.path, name)


def store_exists(path: Path) -> bool:
    return (path / META).exists()


def write_store(
    path: Path,
    corpus: Mapping[str, Pairs],
    tokenizer: Tokenizer,
    meta: dict[str, Any],
    check_input: Callable[[], None] = lambda: None,
) -> None:
    """Encode a cleaned corpus and put it where nothing was; a crash on the way leaves nothing that looks like a store.

    ``check_input`` is called when all text was read for the last time; if it raises, nothing is written.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed and had the same number
    aside.mkdir(parents=True)
    try:
        sizes = {name: _write_split(aside, name, text, tokenizer) for name, text in corpus.items()}
        check_input()
        tokenizer.save(aside / TOKENIZER)
        digest = hashlib.sha256(tokenizer.model).hexdigest()
        write_json_atomic(aside / META, {**meta, "splits": sizes, "tokenizer_sha256": digest, "vocab_size": tokenizer.vocab_size})
        for file in (*aside.iterdir(), aside):
            sync(file)
        if not store_exists(path):
            shutil.rmtree(path, ignore_errors=True)  # what is left of one
        try:
            os.rename(aside, path)
        except OSError:
            if not store_exists(path):  # otherwise another process was faster, with the same content
                raise
        sync(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path} is damaged ({what}); delete it, and it will be made again")


def _write_split(folder: Path, name: str, pairs: Pairs, tokenizer: Tokenizer) -> dict[str, int]:
    """Returns the numbers of pairs and of pieces on both sides."""
    id_type = np.dtype(np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.int32)
    encode = tokenizer.encoder(id_type)
    sizes = {"pairs": 0}
    begun = shown = time.monotonic()
    with ExitStack() as stack:
        files = [
            (
                stack.enter_context(_ArrayFile(folder / f"{name}.{side}.ids.npy", id_type)),
                stack.enter_context(_ArrayFile(folder / f"{name}.{side}.offsets.npy", np.dtype(np.int64))),
            )
            for side in ("source", "target")
        ]
        for _, offsets in files:
            offsets.append(np.zeros(1, dtype=np.int64))
        for block in pairs.blocks():
            for lines, (ids, offsets) in zip((block.sources, block.targets), files, strict=True):
                new_ids, lengths = encode([normalize(line) for line in lines])
                offsets.append(len(ids) + np.cumsum(lengths))
                ids.append(new_ids)
            sizes["pairs"] += len(block)
            if time.monotonic() - shown > PROGRESS_S:
                shown = time.monotonic()
                log.info("data: encoded %s pairs, %s a second", f"{sizes['pairs']:,}", f"{sizes['pairs'] / (shown - begun):,.0f}")
        sizes |= {f"{side}_pieces": len(ids) for side, (ids, _) in zip(("source", "target"), files, strict=True)}
    if name != "train":
        text = whole(pairs)
        _write_text(folder / f"{name}.source.txt", text.sources)
        _write_text(folder / f"{name}.target.txt", text.targets)
        if text.links is not None:
            _write_text(folder / f"{name}.links.txt", text.links)
    return sizes


class _ArrayFile:
    """An ``.npy`` file of one dimension that is written piece by piece, byte for byte what :func:`numpy.save` would write of the whole."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self._file, self._dtype, self._length = path.open("wb"), dtype, 0
        self._write_header()

    def __len__(self) -> int:
        return self._length

    def append(self, values: npt.NDArray[Any]) -> None:
        self._file.write(values.data)
        self._length += len(values)

    def __enter__(self) -> _ArrayFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.seek(0)
        self._write_header()  # numpy leaves room in it for a number of any length
        self._file.close()

    def _write_header(self) -> None:
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (self._length,)}
        np.lib.format.write_array_header_1_0(self._file, header)


def _write_text(path: Path, lines: list[str]) -> None:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


def _read_text(path: Path) -> list[str]:
    """Lines end with ``\\n`` alone; whatever else is in them was in the raw text."""
    return path.read_bytes().decode().split("\n")[:-1]
