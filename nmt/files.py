"""Files that are whole or not there, whenever the process or the machine stops."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, whatever its size and time say: both can stay the same when the bytes change."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_hashes(paths: Mapping[str, Path]) -> dict[str, str]:
    """:func:`file_hash` of each, side by side: hashing leaves Python free, so that two cores take half as long.

    Raises:
        OSError: one cannot be read.
    """
    with ThreadPoolExecutor() as pool:
        return dict(zip(paths, pool.map(file_hash, paths.values()), strict=True))


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to be written that replaces another in one step when the block ends, and not at all where it fails: readers see the old
    content or the new one, also after a crash. One writer at a time."""
    aside = path.with_name(f".{path.name}.part")
    try:
        with aside.open("wb") as file:
            yield file
        sync(aside)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """:func:`atomic_file` of these bytes."""
    with atomic_file(path) as file:
        file.write(data)


def write_text_atomic(path: Path, text: str) -> None:
    """:func:`write_bytes_atomic` of text, in UTF-8 and with its line ends as they are."""
    write_bytes_atomic(path, text.encode("utf-8"))


def write_json_atomic(path: Path, value: Any) -> None:
    """:func:`write_bytes_atomic` of a JSON document; numbers that are not finite are written as Python's ``json`` reads them back."""
    write_text_atomic(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_lines_atomic(path: Path, lines: Iterable[str]) -> None:
    """:func:`write_text_atomic` of lines, each of which ends with a line feed and may hold any other character."""
    write_text_atomic(path, "".join(f"{line}\n" for line in lines))


def read_written_lines(path: Path) -> list[str]:
    """The lines that :func:`write_lines_atomic` wrote: what ends a line elsewhere is part of it here."""
    return path.read_bytes().decode().split("\n")[:-1]


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file with one JSON object a line; a line that a crash cut off is left out."""
    records = []
    for line in path.read_bytes().split(b"\n"):
        try:
            records.append(json.loads(line))
        except ValueError:  # no JSON, or cut within a character
            continue
    return records
