"""Word links: their notation, how they are read from attention, and how they are scored against gold ones.

A link (s, t) says that source word s and target word t translate each other; both count from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from nmt.data.reader import DataError

Link = tuple[int, int]
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Links:
    """Gold links of a sentence pair (Och and Ney 2003): ``sure`` ones, and the ``possible`` ones, every sure one among them."""

    sure: frozenset[Link]
    possible: frozenset[Link]

    def sure_only(self) -> Links:
        """The same, with no other link possible."""
        return Links(self.sure, self.sure)


def parse_links(line: str) -> Links:
    """The links of a line in Pharaoh's notation: ``i-j`` is sure, ``ipj`` possible only; source first, from 0.

    Raises:
        DataError: a word of the line is neither.
    """
    sure, possible = set(), set()
    for word in line.split():
        match = re.fullmatch(r"([0-9]+)([-p])([0-9]+)", word)
        if not match:
            raise DataError(f"a link must be written i-j (sure) or ipj (possible), counting from 0, but is {word!r}")
        link = int(match[1]), int(match[3])
        possible.add(link)
        if match[2] == "-":
            sure.add(link)
    return Links(frozenset(sure), frozenset(possible))


def format_links(links: Iterable[Link]) -> str:
    """Sure links in Pharaoh's notation, by source word, then by target word."""
    return " ".join(f"{s}-{t}" for s, t in sorted(links))


def check_links(links: Links, num_source_words: int, num_target_words: int, where: str) -> None:
    """Refuse links to words that are not there; links that count from 1 are the usual cause.

    Raises:
        DataError: names ``where`` (a file and line), the link and the number of words.
    """
    for s, t in sorted(links.possible):
        for index, count, side in ((s, num_source_words, "source"), (t, num_target_words, "target")):
            if index >= count:
                raise DataError(
                    f"{where}: link {s}-{t} points to {side} word {index}, but the {side} has {count} words (links count from 0)"
                )


def word_weights(weights: Float[Array, "T S"], source_words: Sequence[int], target_words: Sequence[int]) -> Float[Array, "Tw Sw"]:
    """Attention between words, from attention between pieces: the sum over a source word's pieces, the mean over a target word's.

    A target word's row is then how its pieces share their attention among the source words. ``source_words`` and ``target_words``
    give the word of each piece, from 0, every word with one piece at least.
    """
    of_source = np.eye(max(source_words) + 1, dtype=weights.dtype)[list(source_words)]  # (S, Sw)
    of_target = np.eye(max(target_words) + 1, dtype=weights.dtype)[list(target_words)]  # (T, Tw)
    words: Array = of_target.T @ weights @ of_source / of_target.sum(0)[:, None]  # (Tw, Sw)
    return words


def argmax_links(weights: Float[Array, "Tw Sw"]) -> frozenset[Link]:
    """Each target word linked to its heaviest source word, the leftmost of equals."""
    return frozenset((int(row.argmax()), t) for t, row in enumerate(weights))


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
