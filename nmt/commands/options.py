"""The options of the commands on finished runs, as dataclasses with their defaults; a run's own are :mod:`nmt.config`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from nmt.config import Attribution, Device, LinkMethod, LongLines, MetricName, Picture, Precision, Symmetrization, Weights


class TranslationFormat(Enum):
    """How translations are written: see :mod:`nmt.decoding.formats`."""

    text = "text"
    jsonl = "jsonl"
    nbest = "nbest"


class ScoreFormat(Enum):
    """A number a line, or a JSON object a line with the log-probability of every piece."""

    text = "text"
    jsonl = "jsonl"


class Selection(Enum):
    """What layer, head and shift of attention are chosen by, on the run's dev set: see :mod:`nmt.alignment.selection`."""

    gold = "gold"
    agreement = "agreement"


class AttentionFormat(Enum):
    """Arrays that numpy reads, or a JSON object a pair: see :mod:`nmt.alignment.extraction`."""

    npz = "npz"
    jsonl = "jsonl"


@dataclass(kw_only=True, slots=True)
class SearchOverrides:
    """Settings of the search to use instead of a run's own; null keeps the run's."""

    beam_size: int | None = None
    num_best: int | None = None
    length_penalty: float | None = None
    coverage_penalty: float | None = None
    min_length: int | None = None
    max_length_ratio: float | None = None
    max_length_offset: int | None = None
    no_repeat_ngram: int | None = None
    sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    max_source_length: int | None = None
    long_lines: LongLines | None = None
    max_sentences: int | None = None


@dataclass(kw_only=True, slots=True)
class RunCommand:
    """What every command on a finished run takes: the run's folder, and settings laid over those that it was made with."""

    run: str
    weights: Weights | None = None
    device: Device = Device.auto
    precision: Precision | None = None
    threads: int | None = None


@dataclass(kw_only=True, slots=True)
class SearchCommand(RunCommand):
    """A command that translates. ``ensemble`` names the folders of more runs, whose probabilities are averaged with the run's; the
    settings are the run's. Samples depend on ``seed``, or the run's own."""

    ensemble: list[str] = field(default_factory=list)
    seed: int | None = None
    search: SearchOverrides = field(default_factory=SearchOverrides)


@dataclass(kw_only=True, slots=True)
class EvaluationSetConfig:
    """A test set in line-aligned files; ``references`` has one file or more."""

    source: str
    references: list[str]


@dataclass(kw_only=True, slots=True)
class EvaluateCommand(SearchCommand):
    """``source`` and ``target`` name another test set than the run's own; ``name`` is its folder under ``evaluation/``.

    ``sets`` has several by name, each with one reference or more. ``metrics`` stand in for the run's own.
    """

    name: str = "test"
    source: str | None = None
    target: str | None = None
    sets: dict[str, EvaluationSetConfig] = field(default_factory=dict)
    metrics: list[MetricName] | None = None


@dataclass(kw_only=True, slots=True)
class CompareCommand:
    """Finished runs, all of which have translated the test set ``name``; the first one is what others are compared with.

    ``trials`` are made by each test of significance. ``num_sentences`` of the most different translations are shown. ``output`` is a
    file for all of it as JSON.
    """

    runs: list[str]
    name: str = "test"
    metrics: list[MetricName] = field(default_factory=lambda: [MetricName.bleu, MetricName.chrf])
    trials: int = 1_000
    num_sentences: int = 5
    output: str | None = None


@dataclass(kw_only=True, slots=True)
class TranslateCommand(SearchCommand):
    """Standard input and output where no files are named.

    ``prefix`` is a file with a line for each line of input, the words that its translation begins with; a blank one leaves it free.
    ``buffer_size`` is the number of lines that are read before they are translated: by default one at a terminal, otherwise 16 batches.
    """

    input: str | None = None
    output: str | None = None
    format: TranslationFormat = TranslationFormat.text
    prefix: str | None = None
    buffer_size: int | None = None


@dataclass(kw_only=True, slots=True)
class ScoreCommand(RunCommand):
    """``source`` and ``target`` are line-aligned files; standard output where no ``output`` is named. ``ensemble`` is as for
    translating."""

    ensemble: list[str] = field(default_factory=list)
    source: str
    target: str
    output: str | None = None
    format: ScoreFormat = ScoreFormat.text


@dataclass(kw_only=True, slots=True)
class AlignCommand(RunCommand):
    """``source``, ``target`` and gold ``links`` name other pairs than the run's test set; ``name`` is their folder under
    ``alignment/``. ``attribution`` and the others down to ``picture`` stand in for the run's own settings.
    ``reverse`` is the folder of a run of the other direction, whose links are joined to this one's by ``symmetrization``. ``select``
    chooses layer, head and shift of both by the first ``num_selected`` pairs of the run's dev set."""

    name: str = "test"
    source: str | None = None
    target: str | None = None
    links: str | None = None
    attribution: Attribution | None = None
    layer: int | None = None
    head: int | None = None
    shift: bool | None = None
    method: LinkMethod | None = None
    threshold: float | None = None
    without_end: bool | None = None
    without_punctuation: bool | None = None
    num_heatmaps: int | None = None
    picture: Picture | None = None
    reverse: str | None = None
    symmetrization: Symmetrization = Symmetrization.grow_diag_final_and
    select: Selection | None = None
    num_selected: int = 500


@dataclass(kw_only=True, slots=True)
class AttendCommand(RunCommand):
    """``source`` and ``target`` name other pairs than the run's test set; ``name`` is their folder under ``attention/``. A ``source`` alone
    is translated first, and so is the test set's with ``translations``. No more than the first ``num_pairs`` are looked at.

    ``attentions`` are names, where ``*`` is anything: ``decoder.cross.*``. They are between pieces, or between ``words``. Of the first
    ``num_heatmaps`` pairs there is a ``picture`` of all heads of each kind.
    """

    name: str = "test"
    source: str | None = None
    target: str | None = None
    translations: bool = False
    num_pairs: int | None = None
    attentions: list[str] = field(default_factory=lambda: ["*"])
    words: bool = False
    format: AttentionFormat = AttentionFormat.npz
    num_heatmaps: int = 0
    picture: Picture = Picture.png


@dataclass(kw_only=True, slots=True)
class FaithfulnessCommand(RunCommand):
    """``source`` and ``target`` name other pairs than the run's dev set; ``name`` is their folder under ``faithfulness/``. A ``source``
    alone is translated first, and so is the dev set's unless ``translations`` is false. No more than the first ``num_pairs`` are explained.

    ``counts`` are the numbers of source words that are named for each target word. ``layer`` and ``head`` of attention stand in for the
    run's own settings.
    """

    name: str = "dev"
    source: str | None = None
    target: str | None = None
    translations: bool = True
    num_pairs: int | None = 200
    counts: list[int] = field(default_factory=lambda: [1, 2, 3])
    layer: int | None = None
    head: int | None = None


@dataclass(kw_only=True, slots=True)
class HeadsCommand(RunCommand):
    """``source`` and ``target`` name other pairs than the run's dev set; ``name`` is their folder under ``heads/``.

    ``shares`` of all heads are left out, the least important first, to see what that costs; each attention keeps one. With ``prune``, such
    a share, a run without them is written to the new folder ``output``.
    """

    name: str = "dev"
    source: str | None = None
    target: str | None = None
    shares: list[float] = field(default_factory=lambda: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    prune: float | None = None
    output: str | None = None


@dataclass(kw_only=True, slots=True)
class AverageCommand:
    """The mean of the newest ``last`` checkpoints of a ``run``, or of the weights that several ``runs`` are evaluated with, in the new
    folder ``output``."""

    output: str
    run: str | None = None
    last: int = 3
    runs: list[str] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class ListCommand:
    """The runs in a folder whose names match ``pattern``, where ``*`` is anything."""

    output_dir: str = "outputs"
    pattern: str = "*"
