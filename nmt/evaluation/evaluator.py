"""Translating a test set and scoring the result."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nmt.decoding.translator import Translation, Translator
from nmt.evaluation.metrics import Score, bleu, chrf
from nmt.files import write_json_atomic, write_text_atomic


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of detokenised translations against raw references, and the time they took."""

    scores: list[Score]
    translations: list[Translation]
    time_s: float
    tokens_per_s: float

    def score(self, name: str) -> float:
        return next(score.value for score in self.scores if score.name == name)


def evaluate(translator: Translator, sources: Sequence[str], references: Sequence[str], folder: Path | None = None) -> Evaluation:
    """Translate ``sources`` and score them against ``references``: BLEU and chrF.

    With a folder, it gets ``sources.txt``, ``references.txt``, ``hypotheses.txt`` (a line a sentence, ends ``\\n``) and
    ``scores.json``; the ``sacrebleu`` command on those files gives the same scores.
    """
    begun = time.monotonic()
    translations = translator.translate(sources)
    time_s = time.monotonic() - begun
    hypotheses = [_one_line(translation.text) for translation in translations]
    scores = [bleu(hypotheses, references), chrf(hypotheses, references)]
    num_tokens = sum(len(translation.ids) + 1 for translation in translations)
    evaluation = Evaluation(scores, translations, time_s, num_tokens / time_s)
    if folder is not None:
        _write(folder, evaluation, {"sources": sources, "references": references, "hypotheses": hypotheses})
    return evaluation


def _one_line(text: str) -> str:
    return re.sub(r"[\r\n]", " ", text)


def _write(folder: Path, evaluation: Evaluation, texts: dict[str, Sequence[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for name, lines in texts.items():
        text = "".join(f"{line}\n" for line in lines)
        write_text_atomic(folder / f"{name}.txt", text)
        hashes[name] = hashlib.sha256(text.encode()).hexdigest()
    write_json_atomic(
        folder / "scores.json",
        {
            "scores": [asdict(score) for score in evaluation.scores],
            "lines": len(evaluation.translations),
            "time_s": round(evaluation.time_s, 2),
            "tokens_per_s": round(evaluation.tokens_per_s, 1),
            "sha256": hashes,
        },
    )
