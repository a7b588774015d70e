"""Word links, from attention: what words attend to, how links are read from it, and how they are scored against gold ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from nmt.config import AlignmentConfig, LinkMethod
from nmt.data.links import Link, Links

Array = npt.NDArray[Any]


def word_weights(
    weights: Float[Array, "*h T S"], source_words: Sequence[int], target_words: Sequence[int]
) -> Float[Array, "*h Tw Sw"]:
    """Attention between words, from attention between pieces: the sum over a source word's pieces, the mean over a target word's.

    A target word's row is then how its pieces share their attention among the source words. ``source_words`` and ``target_words``
    give the word of each piece, from 0, every word with one piece at least.
    """
    of_source = np.eye(max(source_words) + 1, dtype=weights.dtype)[list(source_words)]  # (S, Sw)
    of_target = np.eye(max(target_words) + 1, dtype=weights.dtype)[list(target_words)]  # (T, Tw)
    words: Array = of_target.T @ weights @ of_source / of_target.sum(0)[:, None]  # (Tw, Sw)
    return words


def without_sinks(
    weights: Float[Array, "Tw Sw"], source_words: Sequence[str], target_words: Sequence[str], config: AlignmentConfig
) -> Float[Array, "Tw Sw"]:
    """Weights without those that go where attention goes that has nowhere else to go, as is set; each row then sums to 1.

    Left out already is what words give to the end of the source, which ``without_end`` makes up for. ``without_punctuation`` takes from
    words that are no punctuation what they give to punctuation. A row of nothing else stays as it is, but for that.
    """
    if config.without_punctuation:
        in_source, in_target = (np.array([is_punctuation(word) for word in words]) for words in (source_words, target_words))
        weights = np.where(in_source & ~in_target[:, None], 0, weights)
    if config.without_end or config.without_punctuation:
        total = weights.sum(1, keepdims=True)
        weights = np.divide(weights, total, out=weights.copy(), where=total > 0)
    return weights


def is_punctuation(word: str) -> bool:
    """Whether a word, or a piece, has no letter and no digit."""
    return not any(map(str.isalnum, word))


def argmax_links(weights: Float[Array, "Tw Sw"]) -> frozenset[Link]:
    """Each target word linked to its heaviest source word, the leftmost of equals."""
    return frozenset((int(row.argmax()), t) for t, row in enumerate(weights))


def mutual_links(weights: Float[Array, "Tw Sw"]) -> frozenset[Link]:
    """:func:`argmax_links` of attention read in both directions: weight times the target word's share of its source word's weight.

    A function word often looks at the content word that decides its form (an article at its noun, for the gender). That source word
    then has most of its weight from another target word, its own translation, and the link falls to where no other looks. Nothing
    but the attention is used.
    """
    total = weights.sum(0, keepdims=True)
    share = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return argmax_links(weights * share)


def threshold_links(weights: Float[Array, "Tw Sw"], threshold: float) -> frozenset[Link]:
    """Every pair of words with at least that weight: a target word may have several links, or none."""
    return frozenset((int(s), int(t)) for t, s in np.argwhere(weights >= threshold))


def read_links(weights: Float[Array, "Tw Sw"], config: AlignmentConfig) -> frozenset[Link]:
    """The links of a pair, by the method that is set."""
    match config.method:
        case LinkMethod.argmax:
            return argmax_links(weights)
        case LinkMethod.mutual:
            return mutual_links(weights)
        case LinkMethod.threshold:
            return threshold_links(weights, config.threshold)


@dataclass(frozen=True, slots=True)
class AlignmentScores:
    """Agreement of predicted links with gold ones, as fractions; the counts are over the whole corpus."""

    aer: float
    precision: float
    recall: float
    f1: float
    num_predicted: int
    num_sure: int
    num_possible: int


def alignment_scores(predicted: Sequence[frozenset[Link]], gold: Sequence[Links]) -> AlignmentScores:
    """Alignment error rate, precision and recall over all links of a corpus (Och and Ney 2003, section 5).

    With predicted links A, sure links S and possible links P (S among them):
    AER = 1 - (|A & S| + |A & P|) / (|A| + |S|), precision = |A & P| / |A|, recall = |A & S| / |S|; F1 is the harmonic mean of the
    last two. A fraction of nothing is 1: where there are no links at all, none is wrong.
    """
    num_predicted = sum(map(len, predicted))
    num_sure = sum(len(links.sure) for links in gold)
    in_sure = sum(len(a & links.sure) for a, links in zip(predicted, gold, strict=True))
    in_possible = sum(len(a & links.possible) for a, links in zip(predicted, gold, strict=True))
    precision, recall = _fraction(in_possible, num_predicted), _fraction(in_sure, num_sure)
    return AlignmentScores(
        aer=1 - _fraction(in_sure + in_possible, num_predicted + num_sure),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        num_predicted=num_predicted,
        num_sure=num_sure,
        num_possible=sum(len(links.possible) for links in gold),
    )


def _fraction(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
