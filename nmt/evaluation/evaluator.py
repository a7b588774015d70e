"""Translating a test set and scoring it, so that anyone can score it again from the files that are left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nmt.config import MetricName
from nmt.decoding.translator import Translation, Translator
from nmt.evaluation.metrics import References, Score, score
from nmt.files import file_hash, write_json_atomic, write_lines_atomic


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
    references: References,
    metrics: Sequence[MetricName],
    language: str,
    folder: Path | None = None,
) -> Evaluation:
    """Scores of the translations of ``sources`` into a language against one or more sets of raw references.

    In ``folder`` it leaves ``sources.txt``, ``hypotheses.txt`` and ``references.txt`` (of more sets ``references_2.txt``, ...), whose lines
    end in ``\\n`` and nowhere else, and ``scores.json``; ``sacrebleu references.txt -i hypotheses.txt -m bleu chrf`` gives the same scores.

    Raises:
        UserError: a metric needs a package that is not installed.
        ValueError: there is no text, or not one reference of each set for each source.
    """
    start = time.perf_counter()
    translations = translator.translate(sources)
    elapsed_s = time.perf_counter() - start
    hypotheses = [translation.text for translation in translations]
    scores = [score(metric, hypotheses, references, language) for metric in metrics]
    evaluation = Evaluation(scores, translations, elapsed_s)
    if folder:
        texts = {"sources.txt": sources, "hypotheses.txt": hypotheses}
        _write(folder, evaluation, texts | dict(zip(reference_files(len(references)), references, strict=True)))
    return evaluation


def reference_files(count: int) -> list[str]:
    """The names of the files of so many sets of references."""
    return ["references.txt", *(f"references_{number}.txt" for number in range(2, count + 1))]


def _write(folder: Path, evaluation: Evaluation, files: dict[str, Sequence[str]]) -> None:
    """The lines of each file, and ``scores.json`` last."""
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for name, lines in files.items():
        write_lines_atomic(folder / name, lines)
        hashes[name] = file_hash(folder / name)
    report = {
        "scores": [asdict(score) for score in evaluation.scores],
        "num_lines": len(evaluation.translations),
        "sha256": hashes,
        "elapsed_s": round(evaluation.elapsed_s, 3),
        "tokens_per_s": round(evaluation.tokens_per_s, 1),
    }
    write_json_atomic(folder / "scores.json", report)
