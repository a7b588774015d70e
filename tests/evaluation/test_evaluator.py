"""What an evaluation leaves behind, judged by the sacrebleu command."""

import hashlib
import json
import subprocess
import sys

import pytest

from nmt.config import MetricName
from nmt.decoding.translator import Translation, Translator
from nmt.evaluation.evaluator import evaluate

SOURCES = [
    "the dog sleeps",
    "a\u2028line\x0bwith\rbreaks\x85\x1cinside",
    "",
    "no\u00a0break space ",
    "  the small dog sees the big tree today",
    "\ufeffmark",
]
REFERENCES = [
    "der Hund schläft heute lange.",
    "eine\u2028Zeile\x0bmit\rBrüchen\x85\x1cdarin \u2029",
    "",
    "kein\u00a0Umbruch\u202fhier, \u3000",
    "\tder kleine Hund sieht heute den „grossen“ Baum &quot;da&quot; \r",
    "\ufeffZeichen",
]
HYPOTHESES = [
    "der Hund schläft heute.",
    "eine Zeile mit\u00a0Brüchen darin ",
    "",
    " kein Umbruch hier ,",
    "Der kleine Hund sieht heute den „grossen“ Baum da",
    "",
]

METRICS = [MetricName.bleu, MetricName.chrf]


class FixedTranslator(Translator):
    """Says what it was told to say."""

    def __init__(self, texts):
        self.texts = texts

    def translate(self, lines):
        assert list(lines) == SOURCES
        return [Translation(text, list(range(4, 4 + len(text.split()))), -1.0) for text in self.texts]


@pytest.fixture
def evaluation(tmp_path):
    return evaluate(FixedTranslator(HYPOTHESES), SOURCES, [REFERENCES], METRICS, "de", tmp_path / "a" / "test")


@pytest.fixture
def folder(evaluation, tmp_path):
    return tmp_path / "a" / "test"


@pytest.mark.promise(11)
def test_the_sacrebleu_command_gives_the_same_scores(evaluation, folder):
    command = ["sacrebleu", "references.txt", "-i", "hypotheses.txt", "-m", "bleu", "chrf", "-w", "9"]
    result = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=True)
    by_command = json.loads(result.stdout)
    assert [s.value for s in evaluation.scores] == pytest.approx([s["score"] for s in by_command], abs=1e-8)
    assert [s.signature for s in evaluation.scores] == [s["signature"] for s in by_command]
    assert all(0 < s.value < 100 for s in evaluation.scores)


def test_files_hold_a_line_for_each_sentence(folder, evaluation):
    for name, lines in (("sources", SOURCES), ("hypotheses", HYPOTHESES), ("references", REFERENCES)):
        assert (folder / f"{name}.txt").read_bytes().split(b"\n") == [*(line.encode() for line in lines), b""]


def test_the_report_names_scores_and_files(folder, evaluation):
    report = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert report["scores"] == [{"name": s.name, "value": s.value, "signature": s.signature} for s in evaluation.scores]
    assert [s["name"] for s in report["scores"]] == ["bleu", "chrf"]
    assert report["num_lines"] == len(SOURCES)
    assert report["sha256"] == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("sources.txt", "hypotheses.txt", "references.txt")
    }
    assert sorted(path.name for path in folder.iterdir()) == ["hypotheses.txt", "references.txt", "scores.json", "sources.txt"]


def test_speed_counts_pieces_and_an_end_a_line(evaluation):
    num_tokens = sum(len(text.split()) + 1 for text in HYPOTHESES)
    assert evaluation.tokens_per_s * evaluation.elapsed_s == pytest.approx(num_tokens)


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch, evaluation):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    again = evaluate(FixedTranslator(HYPOTHESES), SOURCES, [REFERENCES], METRICS, "de")
    assert again.scores == evaluation.scores
    assert [t.text for t in again.translations] == HYPOTHESES
    assert sorted(tmp_path.rglob("*")) == before


def test_references_must_match_the_sources():
    with pytest.raises(ValueError, match="6 hypotheses and 5 references"):
        evaluate(FixedTranslator(HYPOTHESES), SOURCES, [REFERENCES, REFERENCES[:-1]], METRICS, "de")


def test_several_references_and_every_metric(tmp_path):
    other = ["Ein Hund schläft.", *REFERENCES[1:]]
    metrics = [metric for metric in MetricName if metric is not MetricName.bleu_lc_tok]
    found = evaluate(FixedTranslator(HYPOTHESES), SOURCES, [REFERENCES, other], metrics, "de", tmp_path)
    command = ["sacrebleu", "references.txt", "references_2.txt", "-i", "hypotheses.txt", "-w", "9", "-m"]
    for names in (["bleu", "chrf", "ter"], ["chrf", "--chrf-word-order", "2"]):
        result = subprocess.run(
            [sys.executable, "-m", *command, *names], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        by_command = json.loads(result.stdout)
        for score in by_command if isinstance(by_command, list) else [by_command]:
            ours = next(s for s in found.scores if s.signature == score["signature"])
            assert ours.value == pytest.approx(score["score"], abs=1e-8)
    assert [score.name for score in found.scores] == ["bleu", "chrf", "chrfpp", "ter"]
    assert all("nrefs:2" in score.signature for score in found.scores)
