"""Lines of text from files of bytes, plain or compressed.

Bytes are split on ``\\n`` alone: what else a language takes for the end of a line (U+2028, a lone carriage return, ...) stays inside its
line, so that line n of one file is line n of the other. Nothing is replaced or repaired here but line ends and byte order marks.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from nmt.data import pairs
from nmt.errors import DataError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

COMPRESSIONS = {"gz": b"\x1f\x8b", "bz2": b"BZh", "xz": b"\xfd7zXZ\x00", "zst": b"\x28\xb5\x2f\xfd"}
"""The bytes that a compressed file begins with, by its usual suffix."""

INVALID = "surrogateescape"
"""How a byte that is not UTF-8 is kept where that is allowed: as a lone surrogate, which no valid text has."""


@dataclass(slots=True)
class LineBlock:
    """Some lines of a file in a row; ``repaired`` counts those that had another end than a line feed, or a byte order mark."""

    lines: list[str]
    repaired: Counter[str] = field(default_factory=Counter)


def stream_lines(path: Path) -> Iterator[str]:
    """Lines of a file of UTF-8, without their ends (``\\n`` or ``\\r\\n``) and without a byte order mark at the start.

    Raises:
        DataError: the file is missing, its compressed stream is damaged, or a line is not UTF-8 (``file:line`` and the byte).
    """
    for block in line_blocks(path):
        yield from block.lines


def read_lines(path: Path) -> list[str]:
    """:func:`stream_lines` in memory."""
    return list(stream_lines(path))


def line_blocks(path: Path, *, strict: bool = True) -> Iterator[LineBlock]:
    """Lines as :func:`stream_lines` gives them, ``BLOCK_PAIRS`` at a time; bytes that are no UTF-8 may be there if not ``strict``."""
    with open_bytes(path) as (file, marked):
        number = 1
        while lines := list(islice(file, pairs.BLOCK_PAIRS)):
            block = _decode(lines, path, number, strict)
            if marked and number == 1:
                block.repaired["byte_order_mark"] = 1
            number += len(lines)
            yield block


def decode_line(line: bytes, name: Path | str, number: int, *, strict: bool = True) -> str:
    """One line's text without a carriage return at its end.

    Raises:
        DataError: it is not UTF-8, and that matters.
    """
    try:
        return line.removesuffix(b"\r").decode("utf-8", "strict" if strict else INVALID)
    except UnicodeDecodeError as error:
        raise DataError(f"{name}:{number}: invalid UTF-8 at byte {error.start + 1} (0x{line[error.start]:02x})") from None


@contextmanager
def open_bytes(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """A file's bytes, unpacked where they are compressed, behind a byte order mark; and whether there was one.

    Raises:
        DataError: the file cannot be read, now or while the context lasts.
    """
    try:
        with path.open("rb") as raw:
            start = raw.peek(8)
            kind = next((kind for kind, magic in COMPRESSIONS.items() if start.startswith(magic)), None)
            # buffered again, because unpackers give single lines slowly
            with io.BufferedReader(_unpacker(kind, raw)) if kind else raw as file:
                marked = file.peek(len(BYTE_ORDER_MARK)).startswith(BYTE_ORDER_MARK)
                if marked:
                    file.read(len(BYTE_ORDER_MARK))
                yield file, marked
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"{path}: {reason}") from None


def _unpacker(kind: str, raw: BinaryIO) -> Any:
    match kind:
        case "gz":
            return gzip.GzipFile(fileobj=raw)
        case "bz2":
            return bz2.BZ2File(raw)
        case "xz":
            return lzma.LZMAFile(raw)
        case _:
            import pyarrow  # notices a file that is cut off, which the library of the format does not

            return pyarrow.input_stream(raw, compression="zstd")


def _decode(lines: list[bytes], path: Path, number: int, strict: bool) -> LineBlock:
    """:func:`decode_line` of each line, the first of which has this number; at once where no line is odd, four times as fast."""
    content = b"".join(lines)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = "\r"  # some line is broken, and is to be named
    if "\r" in text:
        ended = [line.removesuffix(b"\n") for line in lines]
        decoded = [decode_line(line, path, i, strict=strict) for i, line in enumerate(ended, start=number)]
        returns = sum(line.endswith(b"\r") for line in ended)
        return LineBlock(decoded, Counter(crlf=returns) if returns else Counter())
    return LineBlock(text.removesuffix("\n").split("\n"))
