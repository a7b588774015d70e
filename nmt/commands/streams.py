"""Lines of files, of standard input and of people at a terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from nmt.data.lines import decode_line, stream_lines
from nmt.errors import DataError

T = TypeVar("T")

STANDARD_INPUT = "standard input"
PROMPT = "> "


def input_lines(path: str | None) -> Iterator[str]:
    """Lines of a file, plain or compressed, or of standard input, which may be a terminal: split on ``\\n`` alone.

    Raises:
        DataError: the file cannot be read, or a line is not UTF-8.
    """
    if path is not None:
        return stream_lines(Path(path))
    return typed_lines() if sys.stdin.isatty() else piped_lines(sys.stdin.buffer)


def piped_lines(stream: BinaryIO) -> Iterator[str]:
    for number, line in enumerate(stream, start=1):
        yield decode_line(line.removesuffix(b"\n"), STANDARD_INPUT, number)


def typed_lines() -> Iterator[str]:
    """What is typed at a terminal, with a prompt before every line, until Ctrl-D; with line editing and a history where Python has them.

    The prompt is not written into a file that standard output goes to.
    """
    with suppress(ImportError):
        import readline  # noqa: F401  `input` uses it once it is there
    cast(io.TextIOWrapper, sys.stdin).reconfigure(errors="surrogateescape")
    shown = sys.stdout.isatty()
    number = 0
    while True:
        number += 1
        if not shown:
            print(PROMPT, end="", file=sys.stderr, flush=True)
        try:
            line = input(PROMPT if shown else "")
        except (EOFError, KeyboardInterrupt) as end:
            print(file=sys.stderr)
            if isinstance(end, KeyboardInterrupt):
                raise
            return
        yield decode_line(line.encode("utf-8", "surrogateescape"), STANDARD_INPUT, number)


@contextmanager
def output_stream(path: str | None) -> Iterator[BinaryIO]:
    """A file to write to, or standard output.

    Raises:
        DataError: the file cannot be opened.
    """
    if path is None:
        yield sys.stdout.buffer
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "wb"))
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from None
        yield file


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` items, the last one of what is left; each as soon as it is complete."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
