"""The report of a run: one HTML file that needs no network and no other file."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from nmt.data.links import Links
from nmt.files import read_json_lines, write_text_atomic
from nmt.text import printable

CHARTS = {
    "Negative log-likelihood (nats a token)": ("train/nll", "dev/nll"),
    "BLEU on dev": ("dev/bleu",),
    "Learning rate": ("train/learning_rate",),
}
"""What is drawn over the steps: names in ``metrics.jsonl``, by title."""

CHART_WIDTH, CHART_HEIGHT = 400, 180
NICE = [1, 2, 5, 10]  # distances of ticks, times a power of ten


@dataclass(frozen=True, slots=True)
class WordViews:
    """What can be seen of how the target words of a pair go back to its source words: ``views`` by name, (target words, source words),
    from 0 to 1, and gold links where they are known."""

    source_words: Sequence[str]
    target_words: Sequence[str]
    views: Mapping[str, npt.NDArray[Any]]
    gold: Links | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A translation to show; ``heatmap_png`` is the picture of its alignment, ``words`` what there is to be explored in it."""

    source: str
    reference: str
    hypothesis: str
    heatmap_png: bytes | None = None
    words: WordViews | None = None


@dataclass(frozen=True, slots=True)
class ReportData:
    """What a report shows, as plain values; a part that is empty is left out.

    Attributes:
        config: the settings of the run.
        status: ``status.json``: step, stop, training_time, scores, signatures, versions, commit, command, hardware.
        data: ``data.json``: languages, cleaning (by split: read, kept, dropped, repaired), splits (pairs and pieces).
        metrics: the records of ``metrics.jsonl``.
        samples, emergence_pngs: translations to show, and pictures of how alignments came about.
        alignment: the content of ``scores.json`` as :func:`nmt.alignment.aligner.write_alignments` makes it.
        faithfulness: that of ``faithfulness.json`` as :func:`nmt.alignment.faithfulness.write_faithfulness` makes it.
        diagnostics: that of ``diagnostics.json`` as :func:`nmt.alignment.diagnostics.write_diagnostics` makes it.
    """

    name: str
    config: Mapping[str, Any]
    status: Mapping[str, Any]
    data: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]
    alignment: Mapping[str, Any]
    samples: Sequence[Sample]
    emergence_pngs: Sequence[bytes] = ()
    faithfulness: Mapping[str, Any] = field(default_factory=dict)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: ``points`` as SVG writes them, and the newest value."""

    name: str
    points: str
    last: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves in a plane of CHART_WIDTH x CHART_HEIGHT, y downwards; a tick is a coordinate and what is written at it."""

    title: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


def read_run(folder: Path, samples: Sequence[Sample], emergence_pngs: Sequence[bytes] = ()) -> ReportData:
    """What a run's folder says about it, with pictures of it; files that are not there yet leave their part empty."""

    def read_json(path: Path) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return value

    metrics = folder / "metrics.jsonl"
    return ReportData(
        name=folder.name,
        config=yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")),
        status=read_json(folder / "status.json"),
        data=read_json(folder / "data.json"),
        metrics=read_json_lines(metrics) if metrics.exists() else [],
        alignment=read_json(folder / "alignment" / "test" / "scores.json"),
        samples=samples,
        emergence_pngs=emergence_pngs,
        faithfulness=read_json(folder / "faithfulness" / "test" / "faithfulness.json"),
        diagnostics=read_json(folder / "diagnostics" / "dev" / "diagnostics.json"),
    )


def write_report(path: Path, data: ReportData) -> None:
    """Write the report. Whatever stands in the data is shown as text: nothing of it becomes markup, or runs; the one script is the report's
    own, which the page's policy knows by its hash."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"printable": printable, "base64": lambda png: base64.b64encode(png).decode("ascii")}
    files = resources.files("nmt.report")
    script = files.joinpath("page.js").read_text(encoding="utf-8")
    template = environment.from_string(files.joinpath("page.html.jinja").read_text(encoding="utf-8"))
    page = template.render(
        report=data,
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        words_json=lambda words: Markup(words_json(words)),
        trust=_trust(data.faithfulness),
        head_rows=list(_head_rows(data.diagnostics)),
        worst=_worst(data.diagnostics),
        facts=_facts(data),
        scores=_scores(data.status),
        charts=[chart for title, names in CHARTS.items() if (chart := make_chart(title, names, data.metrics))],
        width=CHART_WIDTH,
        height=CHART_HEIGHT,
        splits=data.data.get("cleaning", {}),
        data_rows=list(_data_rows(data.data)),
        config=yaml.safe_dump(dict(data.config), sort_keys=False),
        status=json.dumps(dict(data.status), indent=2),
    )
    write_text_atomic(path, page)


def make_chart(title: str, names: Iterable[str], metrics: Iterable[Mapping[str, Any]]) -> Chart | None:
    """The named metrics over the steps, both from 0, or None where there is nothing to draw; null values are left out."""
    from matplotlib.ticker import MaxNLocator

    curves: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for record in metrics:
        for name, points in curves.items():
            if record.get(name) is not None:
                points.append((float(record["step"]), float(record[name])))
    everything = [point for points in curves.values() for point in points]
    if not everything:
        return None
    xs, ys = zip(*everything, strict=True)
    x_values = [float(x) for x in MaxNLocator(5, steps=NICE, integer=True).tick_values(0, max(xs))]
    y_values = [float(y) for y in MaxNLocator(5, steps=NICE).tick_values(min(0.0, *ys), max(0.0, *ys))]

    def x_place(step: float) -> float:
        return step / x_values[-1] * CHART_WIDTH

    def y_place(value: float) -> float:
        return CHART_HEIGHT * (1 - (value - y_values[0]) / (y_values[-1] - y_values[0]))

    lines = [
        Line(name, " ".join(f"{x_place(x):.1f},{y_place(y):.1f}" for x, y in points), points[-1][1])
        for name, points in curves.items()
        if points
    ]
    x_ticks = [(x_place(x), f"{x:,.0f}") for x in x_values]
    return Chart(title, lines, x_ticks, [(y_place(y), f"{y:.3g}") for y in y_values])


def words_json(words: WordViews) -> str:
    """What the script reads of a pair, in percent, without any character that HTML knows."""
    gold = [] if words.gold is None else [[s, t, (s, t) in words.gold.sure] for s, t in sorted(words.gold.possible)]
    value = {
        "source": [printable(word) for word in words.source_words],
        "target": [printable(word) for word in words.target_words],
        "views": {name: np.rint(100 * weights).astype(int).tolist() for name, weights in words.views.items()},
        "gold": gold,
    }
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _trust(faithfulness: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The numbers of words that are named, and a row a method, in their order: what erasing and keeping so many does."""
    methods = faithfulness.get("methods", {})
    if not methods:
        return [], []
    counts = list(next(iter(methods.values()))["comprehensiveness"])
    measures = ("comprehensiveness", "sufficiency")
    return counts, [
        (name.replace("_", " "), [f"{100 * values[measure][count]:.1f}" for measure in measures for count in counts])
        for name, values in methods.items()
    ]


def _head_rows(diagnostics: Mapping[str, Any]) -> Iterable[tuple[str, list[tuple[str, float]]]]:
    """Rows of the table of heads: what is written in each column, and how dark it is, from 0 to 1."""
    heads = diagnostics.get("heads", {})
    highest = max((head["entropy"] for of_attention in heads.values() for head in of_attention), default=0.0) or 1.0
    for name, of_attention in heads.items():
        for number, head in enumerate(of_attention):
            cells = [(f"{head['entropy']:.2f}", head["entropy"] / highest)]
            for measure in ("marks", "punctuation", "diagonal", "positional", "rarest"):
                text = f"{100 * head[measure]:.0f} %"
                cells.append((f"{text} at {head['offset']:+d}" if measure == "positional" else text, head[measure]))
            yield f"{name}, head {number}", cells


def _worst(diagnostics: Mapping[str, Any]) -> list[tuple[str, list[tuple[list[tuple[str, float]], str]]]]:
    """The least translated and the most repeated sentences: source words with their coverage, and the target."""
    titles = {"untranslated": "Least translated", "repeated": "Most repeated"}
    return [
        (
            titles[measure],
            [
                (list(zip(each["source_words"], each["coverage"], strict=True)), " ".join(each["target_words"]))
                for each in sentences
                if each[measure] > 0
            ],
        )
        for measure, sentences in diagnostics.get("worst", {}).items()
    ]


def _facts(data: ReportData) -> dict[str, str]:
    """What to know of a run at a glance."""
    status, config = data.status, data.config
    hardware = status.get("hardware", {})
    facts = {
        "languages": " → ".join(data.data.get("languages", [])),
        "model": config.get("model", {}).get("kind"),
        "steps": f"{status['step']:,}" if "step" in status else None,
        "training time": status.get("training_time"),
        "ended by": status.get("stop"),
        "hardware": hardware.get("gpu") or hardware.get("processor"),
        "precision": config.get("precision"),
        "seed": config.get("seed"),
        "commit": status.get("commit"),
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def _scores(status: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, value and signature of the scores; error rates, which are fractions, in percent."""
    names = {"bleu": "BLEU", "chrf": "chrF", "aer": "AER", "aer_sure": "AER, sure links alone"}
    signatures = status.get("signatures", {})
    return [
        (
            names.get(name, name),
            f"{100 * value:.1f} %" if name.startswith("aer") else f"{value:.2f}",
            signatures.get(name, ""),
        )
        for name, value in status.get("scores", {}).items()
        if math.isfinite(value)
    ]


def _data_rows(data: Mapping[str, Any]) -> Iterable[tuple[str, list[str]]]:
    """Rows of the table of the data, a column a split: what was read, dropped, repaired and kept, and how long it is."""
    cleaning = data.get("cleaning", {})
    sizes = data.get("splits", {})

    def row(title: str, counts: Iterable[int]) -> tuple[str, list[str]]:
        return title, [f"{count:,}" if count else "–" for count in counts]

    yield row("pairs read", (split["read"] for split in cleaning.values()))
    for group in ("dropped", "repaired"):
        for reason in dict.fromkeys(reason for split in cleaning.values() for reason in split.get(group, {})):
            yield row(
                f"{group}: {reason.replace('_', ' ')}", (split.get(group, {}).get(reason, 0) for split in cleaning.values())
            )
    yield row("pairs kept", (split["kept"] for split in cleaning.values()))
    for side in ("source", "target"):
        lengths = [sizes[name][f"{side}_pieces"] / max(sizes[name]["pairs"], 1) for name in cleaning if name in sizes]
        if lengths:
            yield f"{side} pieces a sentence", [f"{length:.1f}" for length in lengths]
