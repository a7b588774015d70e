"""How translations and scores are written, for people and for programs; every text ends in a line end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from nmt.data.links import Link, format_links
from nmt.data.tokenizer import EOS, Tokenizer
from nmt.decoding.scorer import TargetScore
from nmt.decoding.translator import Translation

DIGITS = 6
"""After the decimal point of a log-probability."""


def text_line(translations: Sequence[Translation]) -> str:
    """The best translation of a line."""
    return f"{translations[0].text}\n"


def n_best_lines(number: int, translations: Sequence[Translation]) -> str:
    """All translations of the ``number``-th line of input, counted from 0, a line each: ``number ||| text ||| score ||| rank``.

    As Moses writes its n-best lists; the only feature is the log-probability, the last field is what the list is ordered by.
    """
    return "".join(f"{number} ||| {t.text} ||| {t.score:.{DIGITS}f} ||| {t.rank:.{DIGITS}f}\n" for t in translations)


def translation_json(
    source: str, translations: Sequence[Translation], links: Iterable[Link], tokenizer: Tokenizer, *, with_n_best: bool
) -> str:
    """A line of input as it came and its best translation, as a JSON object on one line; ``with_n_best`` adds a list of all.

    ``alignment`` has the links of the best translation in Pharaoh's notation, between blank-separated words of the normalised source and
    of the translation.
    """
    record = {"source": source, **_fields(translations[0], tokenizer), "alignment": format_links(links)}
    if with_n_best:
        record["n_best"] = [_fields(translation, tokenizer) for translation in translations]
    return _line(record)


def score_line(score: TargetScore) -> str:
    """The log-probability of a pair's target."""
    return f"{score.score:.{DIGITS}f}\n"


def score_json(score: TargetScore, tokenizer: Tokenizer) -> str:
    """The log-probability of a pair's target, and of each of its pieces and EOS, as a JSON object on one line."""
    ids = [*score.ids, EOS] if score.log_probs else []
    return _line(
        {
            "score": round(score.score, DIGITS),
            "num_source_pieces": score.num_source_pieces,
            "num_target_pieces": len(score.ids),
            "pieces": tokenizer.pieces(ids),
            "log_probs": [round(value, DIGITS) for value in score.log_probs],
        }
    )


def _fields(translation: Translation, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "translation": translation.text,
        "score": round(translation.score, DIGITS),
        "normalized_score": round(translation.rank, DIGITS),
        "pieces": tokenizer.pieces(translation.ids),
    }


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
