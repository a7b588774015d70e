"""Translating a test set and scoring it, so that anyone can score it again from the files that are left."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nmt.decoding.translator import Translation, Translator
from nmt.evaluation.metrics import Score, bleu, bleu_lc_tok, chrf
from nmt.files import write_json_atomic, write_text_atomic


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a test set, its translations line by line, and the time that translating took."""

    scores: list[Score]
    translations: list[Translation]
    elapsed_s: float

    @property
    def tokens_per_s(self) -> float:
        """Generated pieces, an EOS a line among them, in a second."""
        return sum(len(translation.ids) + 1 for translation in self.translations) / self.elapsed_s


def evaluate(
    translator: Translator,
    sources: Sequence[str],
    references: Sequence[str],
    folder: Path | None = None,
    lc_tok_language: str | None = None,
) -> Evaluation:
    """BLEU and chrF of the translations of ``sources`` against raw ``references``; with a language, lower-cased tokenised BLEU too.

    In ``folder`` it leaves ``sources.txt``, ``hypotheses.txt`` and ``references.txt``, whose lines end in ``\\n`` and nowhere else, and
    ``scores.json``; ``sacrebleu references.txt -i hypotheses.txt -m bleu chrf`` gives the same scores.

    Raises:
        ValueError: there is no text, or not one reference for each source.
    """
    start = time.perf_counter()
    translations = translator.translate(sources)
    elapsed_s = time.perf_counter() - start
    hypotheses = [translation.text for translation in translations]
    scores = [bleu(hypotheses, references), chrf(hypotheses, references)]
    if lc_tok_language:
        scores.append(bleu_lc_tok(hypotheses, references, lc_tok_language))
    evaluation = Evaluation(scores, translations, elapsed_s)
    if folder:
        _write(folder, evaluation, {"sources.txt": sources, "hypotheses.txt": hypotheses, "references.txt": references})
    return evaluation


def _write(folder: Path, evaluation: Evaluation, files: dict[str, Sequence[str]]) -> None:
    """The lines of each file, and ``scores.json`` last."""
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for name, lines in files.items():
        text = "".join(f"{line}\n" for line in lines)
        write_text_atomic(folder / name, text)
        hashes[name] = hashlib.sha256(text.encode()).hexdigest()
    report = {
        "scores": [asdict(score) for score in evaluation.scores],
        "num_lines": len(evaluation.translations),
        "sha256": hashes,
        "elapsed_s": round(evaluation.elapsed_s, 3),
        "tokens_per_s": round(evaluation.tokens_per_s, 1),
    }
    write_json_atomic(folder / "scores.json", report)
