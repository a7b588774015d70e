"""Comparing runs on a test set that all of them have translated: differences, how sure they are, and the sentences behind them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmt.config import MetricName
from nmt.errors import UserError
from nmt.evaluation.metrics import sacrebleu_metric
from nmt.files import read_written_lines


@dataclass(frozen=True, slots=True)
class Translated:
    """What :func:`nmt.evaluation.evaluator.evaluate` left of a run: the lines of a test set, its references and a run's translations."""

    name: str
    sources: list[str]
    references: list[list[str]]
    hypotheses: list[str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run's score by one metric beside the first run's.

    Attributes:
        name: of the run.
        metric: its name, as sacreBLEU writes it.
        score: of the whole test set.
        interval: half the width of the score's 95 % confidence interval, by resampling sentences (Koehn 2004).
        bootstrap_p: how probable a difference from the first run as large as this one is, if there were none, by paired bootstrap
            resampling (Koehn 2004); None for the first run.
        randomisation_p: the same by approximate randomisation (Riezler and Maxwell 2005).
    """

    name: str
    metric: str
    score: float
    interval: float
    bootstrap_p: float | None
    randomisation_p: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A sentence that two runs translate differently; ``gain`` is sentence chrF of the second translation minus that of the first."""

    line: int
    source: str
    references: list[str]
    hypotheses: tuple[str, str]
    gain: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Scores of runs that differ by their seed alone; the deviation is that of a sample, and None of a single run."""

    names: list[str]
    metric: str
    mean: float
    deviation: float | None


def read_translated(run: Path, test_set: str) -> Translated:
    """What a run has translated.

    Raises:
        UserError: it has not translated that test set.
    """
    folder = run / "evaluation" / test_set
    if not (folder / "scores.json").exists():
        raise UserError(f"{run} has no scores of the test set {test_set}; nmt evaluate run={run} makes them")
    references = [read_written_lines(path) for path in sorted(folder.glob("references*.txt"))]
    return Translated(
        run.name, read_written_lines(folder / "sources.txt"), references, read_written_lines(folder / "hypotheses.txt")
    )


def compare(systems: Sequence[Translated], metrics: Sequence[MetricName], trials: int) -> list[Comparison]:
    """Each system's scores beside the first one's; tests by sacreBLEU, with its fixed seed.

    Raises:
        UserError: they were not evaluated on the same text.
    """
    from sacrebleu.significance import PairedTest

    first = systems[0]
    for system in systems[1:]:
        if (system.sources, system.references) != (first.sources, first.references):
            raise UserError(
                f"{first.name} and {system.name} were evaluated on different text, so their scores cannot be compared"
            )
    named: Any = [(system.name, system.hypotheses) for system in systems]
    tables: dict[str, dict[str, Any]] = {}
    for kind in ("bs", "ar"):
        scorers = {metric.name: sacrebleu_metric(metric) for metric in metrics}
        test = PairedTest(named, scorers, first.references, test_type=kind, n_samples=trials)
        tables[kind] = test()[1]
    comparisons = []
    for metric in (name for name in tables["bs"] if name != "System"):
        rows = zip(systems, tables["bs"][metric], tables["ar"][metric], strict=True)
        for system, bootstrap, randomisation in rows:
            p_values = bootstrap.p_value, randomisation.p_value
            if system is not first and system.hypotheses == first.hypotheses:
                p_values = 1.0, 1.0  # sacreBLEU counts larger differences than the real one, of which there are none
            comparisons.append(Comparison(system.name, metric, float(bootstrap.score), float(bootstrap.ci), *p_values))
    return comparisons


def spread(scores: dict[str, float], groups: Sequence[Sequence[str]], metric: str) -> list[Spread]:
    """Mean and deviation of each group of runs by name, in a metric whose score each of them has."""
    spreads = []
    for names in groups:
        values = [scores[name] for name in names]
        deviation = statistics.stdev(values) if len(values) > 1 else None
        spreads.append(Spread(list(names), metric, statistics.mean(values), deviation))
    return spreads


def most_different(first: Translated, second: Translated, count: int) -> list[Difference]:
    """The sentences whose chrF differs most between two systems, the largest difference first."""
    from sacrebleu.metrics.chrf import CHRF

    chrf = CHRF()
    differences = []
    for line, (source, one, other) in enumerate(zip(first.sources, first.hypotheses, second.hypotheses, strict=True)):
        if one != other:
            references = [lines[line] for lines in first.references]
            gain = chrf.sentence_score(other, references).score - chrf.sentence_score(one, references).score
            differences.append(Difference(line + 1, source, references, (one, other), gain))
    return sorted(differences, key=lambda difference: (-abs(difference.gain), difference.line))[:count]
