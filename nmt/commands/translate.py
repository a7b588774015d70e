"""``nmt translate run=outputs/NAME < in > out``: N lines in, N lines out."""

from __future__ import annotations

import sys
from pathlib import Path

from nmt.alignment.aligner import translation_links
from nmt.commands.finished import FinishedRun, load_translator
from nmt.commands.options import TranslateCommand, TranslationFormat
from nmt.commands.streams import batched, input_lines, output_stream
from nmt.data.lines import read_lines
from nmt.decoding.formats import n_best_lines, text_line, translation_json
from nmt.decoding.translator import Translation, Translator
from nmt.errors import ConfigError, DataError


def main(command: TranslateCommand) -> int:
    if command.buffer_size is not None and command.buffer_size < 1:
        raise ConfigError(f"`buffer_size` must be at least 1, but is {command.buffer_size}")
    prefixes = read_lines(Path(command.prefix)) if command.prefix else None
    run, translator = load_translator(command)
    at_terminal = command.input is None and sys.stdin.isatty()
    size = command.buffer_size or (1 if at_terminal else 16 * translator.search.max_sentences)
    num_lines = 0
    with output_stream(command.output) as output:
        for lines in batched(input_lines(command.input), size):
            starts = prefixes and prefixes[num_lines : num_lines + len(lines)]
            if starts is not None and len(starts) < len(lines):
                raise DataError(f"{command.prefix} has {len(prefixes or [])} lines, but the input has more: they must be aligned")
            translations = translator.n_best(lines, starts, num_lines)
            output.write(render(command.format, run, translator, lines, translations, num_lines).encode())
            output.flush()
            num_lines += len(lines)
    if prefixes is not None and num_lines < len(prefixes):
        raise DataError(f"{command.prefix} has {len(prefixes)} lines, but the input has {num_lines}: they must be aligned")
    return 0


def render(
    form: TranslationFormat,
    run: FinishedRun,
    translator: Translator,
    lines: list[str],
    translations: list[list[Translation]],
    num_before: int,
) -> str:
    """Lines and their translations as they are written; ``num_before`` lines came before these.

    Alignments are read from the attention of the run itself, where it is part of an ensemble.
    """
    match form:
        case TranslationFormat.text:
            return "".join(map(text_line, translations))
        case TranslationFormat.nbest:
            return "".join(n_best_lines(number, each) for number, each in enumerate(translations, start=num_before))
        case TranslationFormat.jsonl:
            best = [each[0] for each in translations]
            links = translation_links(run.decoder, best, run.config.alignment)
            rows = zip(lines, translations, links, strict=True)
            several = translator.search.num_best > 1
            return "".join(translation_json(*row, run.tokenizers.target, with_n_best=several) for row in rows)
