"""Scores of translations against references, by sacreBLEU, with the signatures that let others compute the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics import BLEU, CHRF


@dataclass(frozen=True, slots=True)
class Score:
    """A corpus score from 0 to 100."""

    name: str
    value: float
    signature: str


def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """BLEU (Papineni et al. 2002) as sacreBLEU computes it by default: cased, tokenised by ``13a`` (Post 2018)."""
    metric = BLEU()
    value = metric.corpus_score(list(hypotheses), [list(references)]).score
    return Score("bleu", value, str(metric.get_signature()))


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """chrF2 (Popovic 2015): character 6-grams, recall weighted twice."""
    metric = CHRF()
    value = metric.corpus_score(list(hypotheses), [list(references)]).score
    return Score("chrf", value, str(metric.get_signature()))
