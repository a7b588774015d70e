"""Prepared text: ids and offsets in memory-mapped arrays, and what is needed to read and score them.

A store is a folder named by the hash of all that it depends on. ``SPLIT.SIDE.ids.npy`` holds the pieces of all lines one after the
other, ``SPLIT.SIDE.offsets.npy`` where each line begins. All splits but ``train`` keep their raw text in ``SPLIT.SIDE.txt``. There
``train`` has its text, normalised, if its pieces are drawn anew while it is learned from; ``train.SIDE.places.npy`` says where lines begin.
``SPLIT.links.txt`` holds gold alignments; links of ``train`` are between pieces: ``train.links.npy`` has a target and a source piece for
each, ``train.links.offsets.npy`` where each pair's begin. A tag stands before its sources as their first word, in all of these.
``meta.json`` is written last, with the hashes of all other files and of itself, and makes the folder a store.
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
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from nmt.data.cleaning import PROGRESS_S, Normalizers
from nmt.data.encoding import BlockEncoder, Encoded, EncodedBlock, id_type
from nmt.data.links import shift_links
from nmt.data.pairs import Pairs, ParallelText, tagged, whole
from nmt.data.parallel import ordered_map
from nmt.data.plan import SLICE, Lengths
from nmt.data.tokenizer import Tokenizers
from nmt.errors import DataError
from nmt.files import file_hashes, read_written_lines, sync, write_json_atomic, write_lines_atomic

log = logging.getLogger(__name__)

META = "meta.json"

OTHER_BYTES = "it does not have the hash it was written with"

SIDES = ("source", "target")


class Split:
    """The pairs of one split as ids, without BOS and EOS; lengths are in pieces. A blank line of dev or test has no ids.

    Raises:
        DataError: an array is missing or cut off.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        try:
            self._ids = {side: np.load(folder / f"{name}.{side}.ids.npy", mmap_mode="r") for side in SIDES}
            self._offsets = {side: np.load(folder / f"{name}.{side}.offsets.npy", mmap_mode="r") for side in SIDES}
        except (OSError, EOFError, ValueError) as error:
            raise _damaged(folder, f"split {name}: {error}") from None

    def __len__(self) -> int:
        return len(self._offsets["source"]) - 1

    @cached_property
    def source_lengths(self) -> Lengths:
        return self._lengths("source")

    @cached_property
    def target_lengths(self) -> Lengths:
        return self._lengths("target")

    def source(self, i: int) -> npt.NDArray[Any]:
        return self._row("source", i)

    def target(self, i: int) -> npt.NDArray[Any]:
        return self._row("target", i)

    def gather(self, side: str, sentences: npt.NDArray[np.int64]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """The ids of some sentences, one after the other (N,), and the length of each (B,)."""
        places, lengths = _places(self._offsets[side], sentences)
        return self._ids[side][places], lengths

    def piece_links(self, sentences: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Links of some sentences of ``train``, (L, 3): which of these sentences, target piece, source piece."""
        places, counts = _places(self._link_offsets, sentences)
        rows = np.repeat(np.arange(len(sentences)), counts)
        return np.column_stack((rows, self._links[places].astype(np.int64)))

    @cached_property
    def _links(self) -> npt.NDArray[Any]:
        flat: npt.NDArray[Any] = np.load(self._folder / f"{self._name}.links.npy", mmap_mode="r")
        return flat.reshape(-1, 2)

    @cached_property
    def _link_offsets(self) -> npt.NDArray[Any]:
        offsets: npt.NDArray[Any] = np.load(self._folder / f"{self._name}.links.offsets.npy", mmap_mode="r")
        return offsets

    def lines(self, side: str, sentences: npt.NDArray[np.int64]) -> list[str]:
        """The normalised text of some sentences of ``train``, where it is kept."""
        places = np.load(self._folder / f"{self._name}.{side}.places.npy", mmap_mode="r")
        text = np.memmap(self._folder / f"{self._name}.{side}.txt", mode="r")
        return [bytes(text[places[i] : places[i + 1] - 1]).decode() for i in sentences]

    @property
    def source_lines(self) -> list[str]:
        """Raw text, as it was read (dev and test)."""
        return read_written_lines(self._folder / f"{self._name}.source.txt")

    @property
    def target_lines(self) -> list[str]:
        """Raw text, as it was read (dev and test): the references."""
        return read_written_lines(self._folder / f"{self._name}.target.txt")

    @property
    def links(self) -> list[str] | None:
        """Gold alignments, a Pharaoh line a pair, or None where there are none."""
        path = self._folder / f"{self._name}.links.txt"
        return read_written_lines(path) if path.exists() else None

    @property
    def text(self) -> ParallelText:
        """The pairs as they were read (dev, test and gold), tags before their sources."""
        return ParallelText(self.source_lines, self.target_lines, self.links)

    def _lengths(self, side: str) -> Lengths:
        """In half as many bytes as a hundred million of them would take, made a slice at a time."""
        offsets = self._offsets[side]
        lengths = np.empty(len(offsets) - 1, dtype=np.uint32)
        for begin in range(0, len(lengths), SLICE):
            lengths[begin : begin + SLICE] = np.diff(offsets[begin : begin + SLICE + 1])
        return lengths

    def _row(self, side: str, i: int) -> npt.NDArray[Any]:
        offsets = self._offsets[side]
        row: npt.NDArray[Any] = self._ids[side][offsets[i] : offsets[i + 1]]
        return row


def _places(offsets: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where all that belongs to some rows stands, one row after the other, and how much each has."""
    begins = offsets[rows]
    counts = offsets[rows + 1] - begins
    return np.arange(counts.sum()) + np.repeat(begins - (np.cumsum(counts) - counts), counts), counts


class Store:
    """A store that is there.

    Raises:
        DataError: the folder is no store, or a file of it does not have the bytes that were written.
    """

    def __init__(self, path: Path, normalizers: Normalizers) -> None:
        self.path = path
        try:
            self.meta: dict[str, Any] = json.loads((path / META).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _damaged(path, f"{META}: {error}") from None
        if not isinstance(self.meta, dict) or self.meta.pop("sha256", None) != _digest(self.meta):
            raise _damaged(path, f"{META}: {OTHER_BYTES}")
        written: dict[str, str] = self.meta["files"]
        try:
            found = file_hashes({name: path / name for name in written})
        except OSError as error:
            raise _damaged(path, str(error)) from None
        if changed := [name for name in written if written[name] != found[name]]:
            raise _damaged(path, f"{changed[0]}: {OTHER_BYTES}")
        self.tokenizers = Tokenizers.load(path, normalizers)

    def split(self, name: str) -> Split:
        return Split(self.path, name)


def store_exists(path: Path) -> bool:
    return (path / META).exists()


def write_store(
    path: Path,
    corpus: Mapping[str, Pairs],
    tokenizers: Tokenizers,
    meta: dict[str, Any],
    *,
    keep_train_text: bool = False,
    processes: int | None = None,
    check_input: Callable[[], None] = lambda: None,
) -> None:
    """Encode a cleaned corpus and put it where nothing was; a crash on the way leaves nothing that looks like a store.

    ``check_input`` is called when all text was read for the last time; if it raises, nothing is written.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed and had the same number
    aside.mkdir(parents=True)
    try:
        sizes = {}
        for name, text in corpus.items():
            if name == "train":
                sizes[name] = _write_train(aside, text, tokenizers, keep_text=keep_train_text, processes=processes)
            else:
                sizes[name] = _write_held_out(aside, name, whole(text), tokenizers)
        check_input()
        tokenizers.save(aside)
        files = file_hashes({file.name: file for file in sorted(aside.iterdir())})
        description = {**meta, "splits": sizes, "files": files}
        write_json_atomic(aside / META, {**description, "sha256": _digest(description)})
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


def _digest(description: dict[str, Any]) -> str:
    """SHA-256 of a description as JSON, whose keys are not sorted: it has them in one order before it is written and after it is read."""
    return hashlib.sha256(json.dumps(description).encode()).hexdigest()


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path} is damaged ({what}); delete it, and it will be made again")


def _write_train(folder: Path, pairs: Pairs, tokenizers: Tokenizers, *, keep_text: bool, processes: int | None) -> dict[str, int]:
    """Returns the numbers of pairs and of pieces on both sides."""
    sizes = {"pairs": 0}
    begun = shown = time.monotonic()
    with ExitStack() as stack:
        files = {
            side: _SideFiles(stack, folder, f"train.{side}", id_type(getattr(tokenizers, side)), keep_text) for side in SIDES
        }
        links = _LinkFiles(stack, folder)
        for encoded in ordered_map(BlockEncoder.of(tokenizers, keep_text=keep_text), pairs.blocks(), processes):
            for side in SIDES:
                files[side].append(getattr(encoded, side))
            links.append(encoded)
            sizes["pairs"] += len(encoded.source.lengths)
            if time.monotonic() - shown > PROGRESS_S:
                shown = time.monotonic()
                log.info("data: encoded %s pairs, %s a second", f"{sizes['pairs']:,}", f"{sizes['pairs'] / (shown - begun):,.0f}")
        return sizes | {f"{side}_pieces": files[side].num_pieces for side in SIDES}


def _write_held_out(folder: Path, name: str, text: ParallelText, tokenizers: Tokenizers) -> dict[str, int]:
    """Returns the numbers of pairs and of pieces on both sides."""
    links = text.links and [shift_links(line, int(bool(text.tag))) for line in text.links]
    lines = {"source": tagged(text.sources, text.tag), "target": text.targets}
    with ExitStack() as stack:
        files = {side: _SideFiles(stack, folder, f"{name}.{side}", id_type(getattr(tokenizers, side)), False) for side in SIDES}
        encoded = BlockEncoder.of(tokenizers, keep_text=False)(replace(text, links=None))
        for side in SIDES:
            files[side].append(getattr(encoded, side))
            write_lines_atomic(folder / f"{name}.{side}.txt", lines[side])
        if links is not None:
            write_lines_atomic(folder / f"{name}.links.txt", links)
        return {"pairs": len(text), **{f"{side}_pieces": files[side].num_pieces for side in SIDES}}


class _SideFiles:
    """The files of one side of a split while they are written."""

    def __init__(self, stack: ExitStack, folder: Path, name: str, id_type: np.dtype[Any], keep_text: bool) -> None:
        self._ids = stack.enter_context(_ArrayFile(folder / f"{name}.ids.npy", id_type))
        self._offsets = stack.enter_context(_ArrayFile(folder / f"{name}.offsets.npy", np.dtype(np.int64)))
        self._offsets.append(np.zeros(1, dtype=np.int64))
        self._text = stack.enter_context((folder / f"{name}.txt").open("wb")) if keep_text else None
        self._places = stack.enter_context(_ArrayFile(folder / f"{name}.places.npy", np.dtype(np.int64))) if keep_text else None
        if self._places is not None:
            self._places.append(np.zeros(1, dtype=np.int64))

    @property
    def num_pieces(self) -> int:
        return len(self._ids)

    def append(self, encoded: Encoded) -> None:
        self._offsets.append(len(self._ids) + np.cumsum(encoded.lengths))
        self._ids.append(encoded.ids)
        if self._text is not None and self._places is not None:
            lines = [line + b"\n" for line in encoded.text]
            self._places.append(self._text.tell() + np.cumsum([len(line) for line in lines]))
            self._text.write(b"".join(lines))


class _LinkFiles:
    """The files of the links of ``train``, which are made as soon as a pair has known ones."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        self._num_pairs = 0
        self._files: tuple[_ArrayFile, _ArrayFile] | None = None

    def append(self, encoded: EncodedBlock) -> None:
        counts = np.zeros(len(encoded.source.lengths), dtype=np.int64)
        if encoded.links and self._files is None:
            names, kinds = ("train.links.npy", "train.links.offsets.npy"), (np.int32, np.int64)
            links, offsets = (
                self._stack.enter_context(_ArrayFile(self._folder / name, np.dtype(kind)))
                for name, kind in zip(names, kinds, strict=True)
            )
            offsets.append(np.zeros(1 + self._num_pairs, dtype=np.int64))
            self._files = links, offsets
        if self._files is not None:
            links, offsets = self._files
            before = len(links) // 2
            if encoded.links:
                flat, counts = encoded.links
                links.append(flat)
            offsets.append(before + np.cumsum(counts))
        self._num_pairs += len(counts)


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
