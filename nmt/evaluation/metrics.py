"""Scores of detokenised text against raw references, as sacreBLEU (Post 2018) defines and signs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmt.config import MetricName
from nmt.errors import UserError

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

References = Sequence[Sequence[str]]
"""One or more sets of references, each a line for every sentence."""


@dataclass(frozen=True, slots=True)
class Score:
    """A corpus score, and the signature that says how it was made. From 0 to 100; of TER, the errors, less is better."""

    name: str
    value: float
    signature: str


def score(metric: MetricName, hypotheses: Sequence[str], references: References, language: str) -> Score:
    """The score of hypotheses, in this language, against one or more sets of references.

    Raises:
        UserError: the metric needs a package that is not installed.
        ValueError: there is no text, or not one reference of each set for each hypothesis.
    """
    for lines in references or [[]]:
        if not hypotheses or len(hypotheses) != len(lines):
            raise ValueError(
                f"{metric.name} needs a reference for each of at least one hypothesis, "
                f"but has {len(hypotheses)} hypotheses and {len(lines)} references"
            )
    if metric is MetricName.bleu_lc_tok:
        tokenized = _LowercaseTokens(language)
        hypotheses, references = tokenized(hypotheses), [tokenized(lines) for lines in references]
    scorer = sacrebleu_metric(metric)
    value = scorer.corpus_score(hypotheses, references).score
    return Score(metric.name, value, str(scorer.get_signature()))


def sacrebleu_metric(metric: MetricName) -> Metric:
    """What sacreBLEU calls it.

    ``bleu`` (Papineni et al. 2002) is cased, with 13a tokenisation and exponential smoothing; ``chrf`` (Popović 2015) the F-score of
    character n-grams, n up to 6, recall weighing twice, and ``chrfpp`` (Popović 2017) that of words and their bigrams too; ``ter``
    (Snover et al. 2006) the edits and shifts a reference word. ``bleu_lc_tok`` compares text as it is: :func:`score` tokenises it.
    """
    from sacrebleu.metrics.bleu import BLEU  # here, because training starts without them
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    match metric:
        case MetricName.bleu:
            return BLEU()
        case MetricName.chrf:
            return CHRF()
        case MetricName.chrfpp:
            return CHRF(word_order=2)
        case MetricName.ter:
            return TER()
        case MetricName.bleu_lc_tok:
            return BLEU(tokenize="none", force=True)


class _LowercaseTokens:
    """Text as the literature on Multi30k and IWSLT scores it: lower-cased, punctuation normalised, tokenised by Moses without escaping.

    BLEU of it is not comparable with that of raw text.

    Raises:
        UserError: sacremoses is not installed.
    """

    def __init__(self, language: str) -> None:
        try:
            from sacremoses import MosesPunctNormalizer, MosesTokenizer
        except ImportError:
            raise UserError("`bleu_lc_tok` needs sacremoses: pip install 'nmt-trainer[moses]'") from None
        self._normalizer, self._tokenizer = MosesPunctNormalizer(language), MosesTokenizer(language)

    def __call__(self, lines: Sequence[str]) -> list[str]:
        normal = [self._normalizer.normalize(line.lower()) for line in lines]
        return [self._tokenizer.tokenize(line, escape=False, return_str=True) for line in normal]
