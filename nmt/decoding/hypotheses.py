"""What a search finds."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from nmt.data.tokenizer import EOS
from nmt.errors import RunFailure


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A finished target without BOS and EOS.

    ``score`` is the sum of the log-probabilities of its pieces and of EOS, in nats; ``rank`` what hypotheses are compared by, the score
    normalised by length and, where that is asked for, with the coverage penalty.
    """

    ids: list[int]
    score: float
    rank: float


def finished(
    sentences: Int[Tensor, " B"], ids: Int[Tensor, "B K T"], scores: Float[Tensor, "B K"], ranks: Float[Tensor, "B K"]
) -> dict[int, list[Hypothesis]]:
    """The hypotheses of each sentence, in their order, from rows of BOS, pieces and EOS; those with a score of -inf are not there.

    Raises:
        RunFailure: a score is no number, or a sentence has no hypothesis.
    """
    if scores.isnan().any() or not scores[:, 0].isfinite().all():
        raise RunFailure("the model's log-probabilities are not finite")
    rows = zip(sentences.tolist(), ids.tolist(), scores.tolist(), ranks.tolist(), strict=True)
    return {
        sentence: [
            Hypothesis(row[1 : row.index(EOS)], score, rank)
            for row, score, rank in zip(*parts, strict=True)
            if score != -float("inf")
        ]
        for sentence, *parts in rows
    }
