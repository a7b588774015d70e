"""``nmt align run=outputs/NAME``: what a trained model attends to, over its test set or pairs of your own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nmt.alignment.aligner import Alignment, align, symmetrized, write_alignments
from nmt.alignment.heatmap import save_heatmap
from nmt.alignment.links import AlignmentScores
from nmt.commands.finished import FinishedRun, load_finished
from nmt.commands.options import AlignCommand, RunCommand
from nmt.commands.texts import read_text
from nmt.config import AlignmentConfig, Precision
from nmt.data.links import parse_links
from nmt.data.pairs import ParallelText
from nmt.data.reader import languages
from nmt.errors import ConfigError
from nmt.rules import validate_alignment, validate_name


def main(command: AlignCommand) -> int:
    if command.precision is Precision.int8:
        raise ConfigError("`precision=int8` is for `nmt translate` and `nmt evaluate`; attention is read in fp32, bf16 or fp16")
    validate_name(command.name)
    run = load_finished(command)
    given = {
        name: getattr(command, name) for name in ("attribution", "layer", "head", "shift", "method", "threshold", "num_heatmaps")
    }
    alignment = dataclasses.replace(run.config.alignment, **{name: value for name, value in given.items() if value is not None})
    validate_alignment(alignment)
    text = read_text(command.run, run.config, "test", command.source, command.target, command.links)
    folder = Path(command.run) / "alignment" / command.name
    alignments = align(run.model, run.tokenizers, text.sources, text.targets, alignment, run.device, run.precision)
    if command.reverse is not None:
        alignments = symmetrized(alignments, align_backward(command, run, text, alignment), command.symmetrization)
    scores = save(folder, alignments, text, alignment.num_heatmaps)
    print(f"alignments of {len(text)} pairs are in {folder}")
    if scores:
        print(format_alignment_scores(scores))
    return 0


def align_text(
    run: FinishedRun, text: ParallelText, config: AlignmentConfig, folder: Path
) -> tuple[list[Alignment], dict[str, AlignmentScores]]:
    """Align pairs and write what comes of it; scores where gold links are known."""
    alignments = align(run.model, run.tokenizers, text.sources, text.targets, config, run.device, run.precision)
    return alignments, save(folder, alignments, text, config.num_heatmaps)


def align_backward(command: AlignCommand, run: FinishedRun, text: ParallelText, config: AlignmentConfig) -> list[Alignment]:
    """The alignments of the pairs turned round, by the run ``reverse``.

    Raises:
        ConfigError: that run does not translate back, or sees other words in the pairs.
    """
    assert command.reverse is not None
    given = {f.name: getattr(command, f.name) for f in dataclasses.fields(RunCommand)}
    back = load_finished(RunCommand(**{**given, "run": command.reverse}))
    there, here = languages(back.config.data), languages(run.config.data)
    if there != here[::-1]:
        raise ConfigError(f"`reverse` must translate {here[1]}-{here[0]}, but {command.reverse} translates {'-'.join(there)}")
    return align(back.model, back.tokenizers, text.targets, text.sources, config, back.device, back.precision)


def save(folder: Path, alignments: list[Alignment], text: ParallelText, num_heatmaps: int) -> dict[str, AlignmentScores]:
    """Links, arrays and the first heatmaps; gives the scores where gold links are known."""
    gold = [parse_links(line) for line in text.links] if text.links is not None else None
    scores = write_alignments(folder, alignments, gold)
    for i, alignment in enumerate(alignments[:num_heatmaps]):
        if alignment.links:
            save_heatmap(folder / f"sentence_{i:04d}.png", alignment, gold[i] if gold else None)
    return scores


def format_alignment_scores(scores: dict[str, AlignmentScores]) -> str:
    """A line for sure and possible links, and one for sure links alone, in percent."""
    return "\n".join(
        f"{name.replace('_', ' '):18} AER {100 * s.aer:.1f} %  precision {100 * s.precision:.1f} %  recall {100 * s.recall:.1f} %"
        for name, s in scores.items()
    )
