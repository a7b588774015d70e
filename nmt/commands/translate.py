"""``nmt translate run=outputs/NAME < in > out``: N lines in, N lines out."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import torch

from nmt.config import Config, RunCommand, SearchConfig, SearchOverrides, TranslateCommand
from nmt.data.lines import decode_line
from nmt.decoding.translator import Translator
from nmt.hardware import resolve_device
from nmt.rules import validate_search
from nmt.run_folder import load_run


def main(command: TranslateCommand) -> int:
    _, translator = build_translator(command)
    with ExitStack() as stack:
        source = stack.enter_context(open(command.input, "rb")) if command.input else sys.stdin.buffer
        target = stack.enter_context(open(command.output, "wb")) if command.output else sys.stdout.buffer
        at_once = 1 if source.isatty() else 16 * translator.search.max_sentences
        for lines in chunks(source, command.input or "standard input", at_once):
            for translation in translator.translate(lines):
                target.write(translation.text.encode() + b"\n")
            target.flush()
    return 0


def build_translator(command: RunCommand) -> tuple[Config, Translator]:
    """A run's settings and its translator, with the command's search, device and precision laid over them."""
    if command.threads:
        torch.set_num_threads(command.threads)
    device = resolve_device(command.device)
    config, model, tokenizers = load_run(Path(command.run), command.weights, device)
    search = lay_over(config.search, command.search)
    validate_search(search)
    return config, Translator(model, tokenizers, search, device, command.precision or config.precision)


def lay_over(search: SearchConfig, overrides: SearchOverrides) -> SearchConfig:
    """The run's search settings, but for those that were given."""
    given = {f.name: getattr(overrides, f.name) for f in dataclasses.fields(overrides)}
    return dataclasses.replace(search, **{name: value for name, value in given.items() if value is not None})


def chunks(file: BinaryIO, name: str, size: int) -> Iterator[list[str]]:
    """Lines of a byte stream, up to ``size`` at a time, split on ``\\n`` alone.

    Raises:
        DataError: a line is not UTF-8.
    """
    lines: list[str] = []
    for number, line in enumerate(file, start=1):
        lines.append(decode_line(line.removesuffix(b"\n"), name, number))
        if len(lines) == size:
            yield lines
            lines = []
    if lines:
        yield lines
