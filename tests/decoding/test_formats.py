"""Translations and scores as they are written."""

import json

import pytest

from nmt.config import TokenizerConfig
from nmt.data.normalization import PLAIN
from nmt.data.tokenizer import Tokenizer, learn_pieces
from nmt.decoding.formats import n_best_lines, score_json, score_line, text_line, translation_json
from nmt.decoding.scorer import TargetScore
from nmt.decoding.translator import Translation


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(learn_pieces(["der Hund schläft", "ein Baum"], TokenizerConfig(), 22), PLAIN)


@pytest.fixture
def translations(tokenizer):
    texts = ["der Hund", "ein\u2028Baum"]
    return [Translation(text, tokenizer.encode([text])[0], -1.5 - i, -0.5 - i) for i, text in enumerate(texts)]


def test_text(translations):
    assert text_line(translations) == "der Hund\n"
    assert text_line([Translation("", [], 0.0)]) == "\n"


def test_n_best(translations):
    assert n_best_lines(7, translations).split("\n") == [
        "7 ||| der Hund ||| -1.500000 ||| -0.500000",
        "7 ||| ein\u2028Baum ||| -2.500000 ||| -1.500000",
        "",
    ]
    assert n_best_lines(0, [Translation("", [], 0.0)]) == "0 |||  ||| 0.000000 ||| 0.000000\n"


def test_json(translations, tokenizer):
    line = translation_json("the\tdog", translations, {(1, 1), (0, 0)}, tokenizer, with_n_best=False)
    assert line.count("\n") == 1
    record = json.loads(line)
    assert list(record) == ["source", "translation", "score", "normalized_score", "pieces", "alignment"]
    assert record["source"] == "the\tdog"
    assert record["alignment"] == "0-0 1-1"
    assert "".join(record["pieces"]) == "▁der▁Hund"
    several = json.loads(translation_json("the\tdog", translations, {(1, 1), (0, 0)}, tokenizer, with_n_best=True))
    assert {key: value for key, value in several.items() if key != "n_best"} == record
    assert [(each["translation"], each["score"], each["normalized_score"]) for each in several["n_best"]] == [
        ("der Hund", -1.5, -0.5),
        ("ein\u2028Baum", -2.5, -1.5),
    ]


def test_scores(tokenizer):
    (ids,) = tokenizer.encode(["ein Baum"])
    score = TargetScore(3, ids, [-0.25] * (len(ids) + 1))
    assert score_line(score) == f"{-0.25 * (len(ids) + 1):.6f}\n"
    record = json.loads(score_json(score, tokenizer))
    assert record["score"] == score.score
    assert (record["num_source_pieces"], record["num_target_pieces"]) == (3, len(ids))
    assert record["pieces"] == [*tokenizer.pieces(ids), "</s>"]
    assert record["log_probs"] == score.log_probs
    blank = json.loads(score_json(TargetScore(0, [], []), tokenizer))
    assert blank == {"score": 0.0, "num_source_pieces": 0, "num_target_pieces": 0, "pieces": [], "log_probs": []}
    assert score_line(TargetScore(0, [], [])) == "0.000000\n"
