"""``nmt compare runs=[outputs/A,outputs/B,...]``: scores of several runs on one test set, and how sure their differences are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nmt.commands.options import CompareCommand
from nmt.config import Config
from nmt.conversion import to_dict
from nmt.errors import ConfigError
from nmt.evaluation.comparison import Comparison, Difference, Spread, compare, most_different, read_translated, spread
from nmt.files import write_json_atomic
from nmt.run_folder import RunFolder
from nmt.tables import format_table
from nmt.text import printable

OF_THE_RUN = {"name", "output_dir", "seed", "device", "threads", "fresh", "tracking"}
"""Settings by which runs of one experiment may differ."""


def main(command: CompareCommand) -> int:
    if len(command.runs) < 2 or not command.metrics or command.trials < 1:
        raise ConfigError("`runs` must have at least two folders, `metrics` at least one score, and `trials` must be at least 1")
    systems = [read_translated(Path(run), command.name) for run in command.runs]
    configs = {system.name: RunFolder(Path(run)).config() for system, run in zip(systems, command.runs, strict=True)}
    if len(configs) < len(systems):
        raise ConfigError("`runs` must have different names, because the names stand in the tables")
    compared = compare(systems, command.metrics, command.trials)
    groups = seeds(configs)
    spreads = []
    if any(len(group) > 1 for group in groups):
        for metric in dict.fromkeys(row.metric for row in compared):
            spreads += spread({row.name: row.score for row in compared if row.metric == metric}, groups, metric)
    differences = {
        system.name: most_different(systems[0], system, command.num_sentences) for system in systems[1:] if command.num_sentences
    }
    print(format_comparisons(compared))
    if spreads:
        print(format_spreads(spreads))
    for name, rows in differences.items():
        print(format_differences(systems[0].name, name, rows))
    if command.output:
        found: dict[str, Any] = {
            "comparisons": [dataclasses.asdict(row) for row in compared],
            "seeds": [dataclasses.asdict(row) for row in spreads],
            "differences": {name: [dataclasses.asdict(row) for row in rows] for name, rows in differences.items()},
        }
        write_json_atomic(Path(command.output), found)
    return 0


def seeds(configs: dict[str, Config]) -> list[list[str]]:
    """Names of runs that differ by their seed, in groups, in the order in which they are given."""
    groups: dict[str, list[str]] = {}
    for name, config in configs.items():
        settings = {key: value for key, value in to_dict(config).items() if key not in OF_THE_RUN}
        groups.setdefault(repr(settings), []).append(name)
    return list(groups.values())


def format_comparisons(rows: Sequence[Comparison]) -> str:
    """A table of all scores; p values are those of the difference from the first run."""

    def p(value: float | None) -> str:
        return "" if value is None else f"{value:.4f}"

    cells = [
        [row.name, row.metric, f"{row.score:.2f} ± {row.interval:.2f}", p(row.bootstrap_p), p(row.randomisation_p)]
        for row in rows
    ]
    return format_table(["run", "metric", "score ± 95 %", "p, paired bootstrap", "p, randomisation"], cells)


def format_spreads(rows: Sequence[Spread]) -> str:
    """A table of means over seeds."""
    cells = [
        [", ".join(row.names), row.metric, f"{row.mean:.2f}", "" if row.deviation is None else f"{row.deviation:.2f}"]
        for row in rows
    ]
    return format_table(["runs that differ by their seed", "metric", "mean", "deviation"], cells)


def format_differences(first: str, second: str, rows: Sequence[Difference]) -> str:
    """The sentences, one below the other."""
    blocks = [f"where {second} differs most from {first}, by sentence chrF:"]
    for row in rows:
        shown = [("source", row.source), *(("reference", text) for text in row.references)]
        shown += [(first, row.hypotheses[0]), (second, row.hypotheses[1])]
        width = max(len(name) for name, _ in shown)
        lines = "\n".join(f"  {name:{width}}  {printable(text)}" for name, text in shown)
        blocks.append(f"line {row.line}, {row.gain:+.1f}\n{lines}")
    return "\n".join(blocks)
