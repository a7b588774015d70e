"""``nmt align run=outputs/NAME``: what a trained model attends to, over its test set or pairs of your own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nmt.alignment.aligner import Alignment, align, symmetrized, write_alignments
from nmt.alignment.links import AlignmentScores
from nmt.alignment.selection import Candidate, best_by_agreement, best_by_gold, candidates
from nmt.commands.finished import FinishedRun, load_finished
from nmt.commands.options import AlignCommand, RunCommand, Selection
from nmt.commands.texts import read_text
from nmt.config import AlignmentConfig
from nmt.data.links import parse_links, swap_links
from nmt.data.pairs import ParallelText
from nmt.data.reader import languages
from nmt.errors import ConfigError
from nmt.report.heatmap import heatmap_figure, save_figure
from nmt.rules import validate_alignment, validate_name


def main(command: AlignCommand) -> int:
    validate_name(command.name)
    run = load_finished(command)
    own = (f.name for f in dataclasses.fields(AlignmentConfig) if hasattr(command, f.name))
    given = {name: getattr(command, name) for name in own}
    alignment = dataclasses.replace(run.config.alignment, **{name: value for name, value in given.items() if value is not None})
    validate_alignment(alignment)
    text = read_text(command.run, run.config, "test", command.source, command.target, command.links)
    back = None if command.reverse is None else load_reverse(command, command.reverse, run)
    settings = alignment, alignment
    if command.select:
        settings = select(command, command.select, run, back, alignment)
    folder = Path(command.run) / "alignment" / command.name
    alignments = align(run.decoder, text.sources, text.targets, settings[0])
    if back:
        turned = align(back.decoder, text.targets, text.sources, settings[1])
        alignments = symmetrized(alignments, turned, command.symmetrization)
    scores = save(folder, alignments, text, alignment)
    print(f"alignments of {len(text)} pairs are in {folder}")
    if scores:
        print(format_alignment_scores(scores))
    return 0


def align_text(
    run: FinishedRun, text: ParallelText, config: AlignmentConfig, folder: Path
) -> tuple[list[Alignment], dict[str, AlignmentScores]]:
    """Align pairs and write what comes of it; scores where gold links are known."""
    alignments = align(run.decoder, text.sources, text.targets, config)
    return alignments, save(folder, alignments, text, config)


def load_reverse(command: AlignCommand, path: str, run: FinishedRun) -> FinishedRun:
    """The run that translates back.

    Raises:
        ConfigError: it does not.
    """
    given = {f.name: getattr(command, f.name) for f in dataclasses.fields(RunCommand)}
    back = load_finished(RunCommand(**{**given, "run": path}))
    there, here = languages(back.config.data), languages(run.config.data)
    if there != here[::-1]:
        raise ConfigError(f"`reverse` must translate {here[1]}-{here[0]}, but {path} translates {'-'.join(there)}")
    return back


def select(
    command: AlignCommand, by: Selection, run: FinishedRun, back: FinishedRun | None, config: AlignmentConfig
) -> tuple[AlignmentConfig, AlignmentConfig]:
    """The settings with the layer, head and shift that align the run's dev set best, of the run and of the one that translates back.

    Raises:
        ConfigError: the dev set has no gold links, or there is nothing to agree with.
        RunError: the run's data changed.
    """
    text = read_text(command.run, run.config, "dev", None, None)
    chosen = slice(command.num_selected)

    def tried(run: FinishedRun, sources: list[str], targets: list[str]) -> list[Candidate]:
        return candidates(run.decoder, sources[chosen], targets[chosen], config)

    forward = tried(run, text.sources, text.targets)
    backward = tried(back, text.targets, text.sources) if back else []
    if by is Selection.agreement:
        if not back:
            raise ConfigError("`select=agreement` needs `reverse`, a run of the other direction")
        there, here, share = best_by_agreement(forward, backward)
        print(f"{describe(there.config)} and back {describe(here.config)} agree in {100 * share:.1f} % of their links on dev")
        return there.config, here.config
    if text.links is None:
        raise ConfigError("`select=gold` needs gold links of the dev set; `select=agreement` and `reverse` do without")
    best, rate = best_by_gold(forward, [parse_links(line) for line in text.links[chosen]])
    print(f"{describe(best.config)} has the lowest AER on dev, {100 * rate:.1f} %")
    if not back:
        return best.config, best.config
    turned, rate = best_by_gold(backward, [parse_links(swap_links(line)) for line in text.links[chosen]])
    print(f"back {describe(turned.config)} has, {100 * rate:.1f} %")
    return best.config, turned.config


def describe(config: AlignmentConfig) -> str:
    head = "mean of heads" if config.head is None else f"head {config.head}"
    return f"layer {config.layer}, {head}{', shifted' if config.shift else ''}"


def save(folder: Path, alignments: list[Alignment], text: ParallelText, config: AlignmentConfig) -> dict[str, AlignmentScores]:
    """Links, arrays and the first heatmaps; gives the scores where gold links are known."""
    gold = [parse_links(line) for line in text.links] if text.links is not None else None
    scores = write_alignments(folder, alignments, gold)
    for i, alignment in enumerate(alignments[: config.num_heatmaps]):
        if alignment.links:
            figure = heatmap_figure(alignment, gold[i] if gold else None)
            save_figure(folder / f"sentence_{i:04d}.{config.picture.name}", figure)
    return scores


def format_alignment_scores(scores: dict[str, AlignmentScores]) -> str:
    """A line for sure and possible links, and one for sure links alone, in percent."""
    return "\n".join(
        f"{name.replace('_', ' '):18} AER {100 * s.aer:.1f} %  precision {100 * s.precision:.1f} %  recall {100 * s.recall:.1f} %"
        for name, s in scores.items()
    )
