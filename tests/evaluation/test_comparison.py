"""Runs beside each other: the tests of significance are sacreBLEU's, what is done with them is ours."""

import json
import statistics
import subprocess
import sys

import pytest

from nmt.config import MetricName
from nmt.errors import UserError
from nmt.evaluation.comparison import Translated, compare, most_different, read_translated, spread
from nmt.files import write_lines_atomic

REFERENCES = [f"der {i}. Hund schläft heute lange im großen Garten" for i in range(40)]
GOOD = [line if i % 5 else "ein Hund schläft" for i, line in enumerate(REFERENCES)]
BAD = [line if i % 2 else "das ist falsch" for i, line in enumerate(REFERENCES)]
METRICS = [MetricName.bleu, MetricName.chrf]


def system(name, hypotheses, references=REFERENCES):
    return Translated(name, [f"dog {i}" for i in range(40)], [references], hypotheses)


def test_scores_and_probabilities_are_those_of_the_command(tmp_path):
    for name, lines in (("ref", REFERENCES), ("bad", BAD), ("good", GOOD)):
        write_lines_atomic(tmp_path / name, lines)
    rows = compare([system("bad", BAD), system("good", GOOD), system("same", BAD)], METRICS, 100)
    for kind, option, trials in (
        ("bootstrap_p", "--paired-bs", "--paired-bs-n"),
        ("randomisation_p", "--paired-ar", "--paired-ar-n"),
    ):
        words = ["sacrebleu", "ref", "-i", "bad", "good", "-m", "bleu", option, trials, "100", "--format", "json"]
        output = subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for metric, expected in ((name, value) for name, value in json.loads(output)[1].items() if name != "system"):
            (row,) = [row for row in rows if row.name == "good" and row.metric.lower() == metric.lower()]
            assert row.score == pytest.approx(expected["score"], abs=1e-4)
            assert getattr(row, kind) == pytest.approx(expected["p_value"], abs=1e-4)
    first, better, same = (next(row for row in rows if row.name == name) for name in ("bad", "good", "same"))
    assert first.bootstrap_p is first.randomisation_p is None
    assert better.bootstrap_p < 0.05 < same.bootstrap_p
    assert first.interval > 0


def test_different_text_is_not_compared():
    with pytest.raises(UserError, match="a and b were evaluated on different text"):
        compare([system("a", GOOD), system("b", GOOD, BAD)], METRICS, 10)


def test_sentences_that_differ_most_come_first():
    rows = most_different(system("bad", BAD), system("good", GOOD), 99)
    assert {row.line for row in rows} == {i + 1 for i in range(40) if BAD[i] != GOOD[i]}
    assert [abs(row.gain) for row in rows] == sorted((abs(row.gain) for row in rows), reverse=True)
    assert rows[0].gain > 90
    assert any(row.gain < -50 for row in rows)
    assert most_different(system("a", GOOD), system("b", GOOD), 3) == []


def test_the_spread_is_that_of_a_sample():
    (two, one) = spread({"a": 1.0, "b": 4.0, "c": 9.0}, [["a", "b"], ["c"]], "BLEU")
    assert (two.mean, two.deviation) == (2.5, statistics.stdev([1.0, 4.0]))
    assert (one.mean, one.deviation) == (9.0, None)


def test_what_was_not_evaluated_says_how(tmp_path):
    with pytest.raises(UserError, match=r"has no scores of the test set news; nmt evaluate run="):
        read_translated(tmp_path, "news")
