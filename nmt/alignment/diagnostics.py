"""What heads look at, and which sentences are not translated whole, over many pairs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from nmt.alignment.aligner import Alignment, align
from nmt.alignment.extraction import BEGIN, END, SentenceAttention, extract
from nmt.alignment.forced import ForcedDecoder, sides
from nmt.alignment.links import is_punctuation
from nmt.config import AlignmentConfig
from nmt.files import write_json_atomic

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class HeadDiagnostics:
    """What a head does, as means over queries.

    Attributes:
        entropy: of its weights, in nats; 0 where each query looks at one key alone.
        marks: the weight on the end of the source, or the beginning of the target, where attention goes that has nowhere else to go.
        punctuation: the weight on keys that are no letter or digit.
        diagonal: the weight within one position of the line from the first query and key to the last.
        positional: the share of queries whose heaviest key is at the distance that is most frequent in the head.
        offset: that distance, of a key from its query's position; negative ones are before.
        rarest: the share of queries whose heaviest key is the rarest piece of its sentence, marks apart.

    After Voita et al. 2019, section 5: positional heads, and heads for rare words; they ask for the heaviest key in 90 % of the queries.
    """

    entropy: float
    marks: float
    punctuation: float
    diagonal: float
    positional: float
    offset: int
    rarest: float


def diagnose_heads(attentions: Sequence[SentenceAttention]) -> dict[str, list[HeadDiagnostics]]:
    """Of each head of each attention by name, over extracted attention between pieces; how rare a piece is is counted in them.

    Pairs without attention are left out; so are attentions where no pair has any.
    """
    filled = [attention for attention in attentions if attention.weights]
    counts = {
        "source": Counter(piece for attention in filled for piece in attention.source),
        "target_in": Counter(piece for attention in filled for piece in attention.target_in),
    }
    sums: dict[str, list[_Sums]] = defaultdict(list)
    for attention in filled:
        for name, weights in attention.weights.items():
            _, keys = attention.labels(name)
            heads = sums[name] or [_Sums() for _ in weights]
            sums[name] = heads
            marks = np.array([key in (BEGIN, END) for key in keys])
            rarest = _rarest(keys, marks, counts[sides(name)[1]])
            punctuation = np.array([is_punctuation(key) for key in keys]) & ~marks
            for head, rows in zip(heads, weights, strict=True):
                head.add(rows.astype(np.float64), marks, punctuation, rarest)
    return {name: [head.means() for head in heads] for name, heads in sums.items()}


def _rarest(keys: Sequence[str], marks: Mask, counts: Counter[str]) -> Mask:
    """Which keys are the rarest piece, all of them where several are as rare."""
    found = np.array([np.inf if mark else counts[key] for key, mark in zip(keys, marks, strict=True)])
    rarest: Mask = (found == found.min()) & ~marks
    return rarest


class _Sums:
    """What is summed up of a head."""

    def __init__(self) -> None:
        self.queries = 0
        self.totals: Counter[str] = Counter()
        self.offsets: Counter[int] = Counter()

    def add(self, weights: Float[Array, "Q K"], marks: Mask, punctuation: Mask, rarest: Mask) -> None:
        num_queries, num_keys = weights.shape
        heaviest = weights.argmax(1)
        places = np.arange(num_queries) * ((num_keys - 1) / max(num_queries - 1, 1))
        near = np.abs(np.arange(num_keys) - places[:, None]) <= 1
        total = weights.sum(1, keepdims=True)
        shares = weights / np.where(total > 0, total, 1)
        logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
        self.queries += num_queries
        self.totals["entropy"] -= (shares * logs).sum()
        self.totals["marks"] += weights[:, marks].sum()
        self.totals["punctuation"] += weights[:, punctuation].sum()
        self.totals["diagonal"] += weights[near].sum()
        self.totals["rarest"] += rarest[heaviest].sum()
        self.offsets.update((heaviest - np.arange(num_queries)).tolist())

    def means(self) -> HeadDiagnostics:
        offset, count = min(self.offsets.items(), key=lambda item: (-item[1], abs(item[0]), item[0]))
        means = {name: float(total) / self.queries for name, total in self.totals.items()}
        return HeadDiagnostics(positional=count / self.queries, offset=offset, **means)


@dataclass(frozen=True, slots=True)
class SentenceDiagnostics:
    """How the words of a source are spread over a target.

    Attributes:
        source_words, target_words: the pair.
        coverage: of each source word, how many target words' worth of attention it gets.
        untranslated: mean over the source words of what is missing to 1; high where parts were left out.
        repeated: mean over the source words of what is more than 1; high where parts were said again, or by many words.
        monotonicity: the share of target words, from the second on, whose heaviest source word is not before that of the word before;
            1 where there is none.
    """

    source_words: list[str]
    target_words: list[str]
    coverage: list[float]
    untranslated: float
    repeated: float
    monotonicity: float


def diagnose_sentence(alignment: Alignment) -> SentenceDiagnostics | None:
    """Of an aligned pair; None where a side is blank. Coverage is Tu et al. 2016's, with a fertility of 1 for all words."""
    weights = alignment.weights.astype(np.float64)
    if not weights.size:
        return None
    coverage = weights.sum(0)
    steps = np.diff(weights.argmax(1))
    return SentenceDiagnostics(
        alignment.source_words,
        alignment.target_words,
        coverage.tolist(),
        untranslated=float((1 - coverage).clip(min=0).mean()),
        repeated=float((coverage - 1).clip(min=0).mean()),
        monotonicity=float((steps >= 0).mean()) if len(steps) else 1.0,
    )


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Of a model over pairs.

    Attributes:
        heads: of each attention by name.
        sentences: of each pair that has words on both sides, by its place.
    """

    heads: dict[str, list[HeadDiagnostics]]
    sentences: dict[int, SentenceDiagnostics]

    def mean(self, measure: str) -> float:
        """Of ``untranslated``, ``repeated`` or ``monotonicity`` over all sentences.

        Raises:
            ZeroDivisionError: there is no sentence.
        """
        return _mean(self.sentences.values(), measure)

    def worst(self, measure: str, count: int) -> list[int]:
        """The places of the sentences with the most of a measure, the first of equals first."""
        return sorted(self.sentences, key=lambda i: -getattr(self.sentences[i], measure))[:count]

    def means(self) -> dict[str, float]:
        """Over the heads of each attention, and over sentences, by names for a log; nothing where there is no sentence."""
        of_heads = {
            f"heads/{name}/{field.name}": _mean(heads, field.name)
            for name, heads in self.heads.items()
            for field in fields(HeadDiagnostics)
            if field.name != "offset"
        }
        measures = ("untranslated", "repeated", "monotonicity") if self.sentences else ()
        return of_heads | {f"translations/{measure}": self.mean(measure) for measure in measures}


def _mean(of: Collection[object], measure: str) -> float:
    return float(sum(getattr(each, measure) for each in of)) / len(of)


def diagnose(decoder: ForcedDecoder, sources: Sequence[str], targets: Sequence[str], config: AlignmentConfig) -> Diagnostics:
    """Heads and sentences of pairs by forced decoding; what is said of sentences is read from the alignment that is set."""
    attentions = list(extract(decoder, sources, targets))
    alignments = align(decoder, sources, targets, config)
    sentences = {i: found for i, alignment in enumerate(alignments) if (found := diagnose_sentence(alignment))}
    return Diagnostics(diagnose_heads(attentions), sentences)


WORST = 5
"""Sentences that are shown of those with the most of a measure."""


def write_diagnostics(folder: Path, found: Diagnostics) -> None:
    """Write ``diagnostics.json``: the number of ``pairs``, ``heads`` of each attention, ``means``, and the ``worst`` sentences of two
    measures, the least translated and the most repeated."""
    folder.mkdir(parents=True, exist_ok=True)
    worst = {
        measure: [asdict(found.sentences[i]) for i in found.worst(measure, WORST)] for measure in ("untranslated", "repeated")
    }
    value = {
        "pairs": len(found.sentences),
        "heads": {name: [asdict(head) for head in heads] for name, heads in found.heads.items()},
        "means": found.means(),
        "worst": worst,
    }
    write_json_atomic(folder / "diagnostics.json", value)
