"""Scores of detokenised text against raw references, as sacreBLEU (Post 2018) defines and signs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmt.errors import UserError

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric


@dataclass(frozen=True, slots=True)
class Score:
    """A corpus score, 0 to 100, and the signature that says how it was made."""

    name: str
    value: float
    signature: str


def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """BLEU (Papineni et al. 2002) as sacreBLEU has it by default: 13a tokenisation, cased, exponential smoothing.

    Raises:
        ValueError: there is no text, or not one reference for each hypothesis.
    """
    from sacrebleu.metrics.bleu import BLEU  # here, because training starts without it

    return _score("bleu", BLEU(), hypotheses, references)


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """chrF2 (Popović 2015): F-score of character n-grams, n up to 6, recall weighing twice.

    Raises:
        ValueError: there is no text, or not one reference for each hypothesis.
    """
    from sacrebleu.metrics.chrf import CHRF

    return _score("chrf", CHRF(), hypotheses, references)


def bleu_lc_tok(hypotheses: Sequence[str], references: Sequence[str], language: str) -> Score:
    """BLEU as the literature on Multi30k and IWSLT has it: of lower-cased, punctuation-normalised, Moses-tokenised text.

    Both sides go through the same three steps (sacremoses, no escaping), and are then compared as they are. Not comparable with
    :func:`bleu`, whose references are raw.

    Raises:
        UserError: sacremoses is not installed.
        ValueError: there is no text, or not one reference for each hypothesis.
    """
    try:
        from sacremoses import MosesPunctNormalizer, MosesTokenizer
    except ImportError:
        raise UserError("`evaluation.lc_tok` needs sacremoses: pip install 'nmt-trainer[moses]'") from None
    from sacrebleu.metrics.bleu import BLEU

    normalizer, tokenizer = MosesPunctNormalizer(language), MosesTokenizer(language)

    def tokenized(lines: Sequence[str]) -> list[str]:
        return [tokenizer.tokenize(normalizer.normalize(line.lower()), escape=False, return_str=True) for line in lines]

    return _score("bleu_lc_tok", BLEU(tokenize="none", force=True), tokenized(hypotheses), tokenized(references))


def _score(name: str, metric: Metric, hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    if not hypotheses or len(hypotheses) != len(references):
        raise ValueError(
            f"{name} needs a reference for each of at least one hypothesis, "
            f"but has {len(hypotheses)} hypotheses and {len(references)} references"
        )
    value = metric.corpus_score(hypotheses, [references]).score
    return Score(name, value, str(metric.get_signature()))
