"""Scores against figures worked out by hand, and against what sacreBLEU documents."""

import math
import sys

import pytest
from sacrebleu.metrics.bleu import BLEU

from nmt.config import MetricName
from nmt.errors import UserError
from nmt.evaluation.metrics import score


def bleu(hypotheses, references):
    return score(MetricName.bleu, hypotheses, [references], "de")


def chrf(hypotheses, references):
    return score(MetricName.chrf, hypotheses, [references], "de")


def bleu_lc_tok(hypotheses, references):
    return score(MetricName.bleu_lc_tok, hypotheses, [references], "de")


def test_bleu_is_the_formula_of_the_paper():
    """4 of 6 unigrams, 3 of 4 bigrams, 2 of 2 trigrams, 1 of 1 four-grams; 6 words against 7."""
    hypotheses, references = ["the cat sat on", "a b"], ["the cat sat on it", "x y"]
    precisions = [4 / 6, 3 / 4, 2 / 2, 1 / 1]
    expected = 100 * math.exp(1 - 7 / 6) * math.prod(precisions) ** (1 / 4)
    assert bleu(hypotheses, references).value == pytest.approx(expected)


def test_bleu_is_cased_and_tokenises_punctuation():
    assert bleu(["Ein Hund schläft hier."], ["Ein Hund schläft hier ."]).value == pytest.approx(100)
    assert bleu(["ein Hund schläft hier."], ["Ein Hund schläft hier."]).value < 100


def test_chrf_is_the_formula_of_the_paper():
    """abc against abd: orders that either side lacks do not count. Precision and recall 2/3, 1/2, 0 of three orders."""
    mean = (2 / 3 + 1 / 2 + 0) / 3
    assert chrf(["abc"], ["abd"]).value == pytest.approx(100 * mean)
    precision, recall = 1.0, (3 / 4 + 2 / 3 + 1 / 2) / 3
    assert chrf(["abc"], ["abcd"]).value == pytest.approx(100 * 5 * precision * recall / (4 * precision + recall))


def test_signatures_say_what_was_done():
    text = ["ein Hund schläft hier"]
    assert bleu(text, text).name == "bleu"
    assert "case:mixed|eff:no|tok:13a|smooth:exp|version:" in bleu(text, text).signature
    assert chrf(text, text).name == "chrf"
    assert "case:mixed|eff:yes|nc:6|nw:0|space:no|version:" in chrf(text, text).signature


@pytest.mark.parametrize("metric", [bleu, chrf])
@pytest.mark.parametrize(("hypotheses", "references"), [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_text_that_cannot_be_scored_is_refused(metric, hypotheses, references):
    with pytest.raises(ValueError, match=f"{len(hypotheses)} hypotheses and {len(references)} references"):
        metric(hypotheses, references)


def test_lc_tok_is_bleu_of_moses_tokens():
    """What Moses's own scripts make of these lines, typed in: `lowercase.perl | normalize-punctuation.perl | tokenizer.perl -no-escape`."""
    hypotheses = ["Ein Hund & „zwei“ Katzen schlafen, z.B. hier."]
    references = ['ein hund & "zwei" katzen schlafen, z.B. dort.']
    tokens = ['ein hund & " zwei " katzen schlafen , z.b. hier .', 'ein hund & " zwei " katzen schlafen , z.b. dort .']
    found = bleu_lc_tok(hypotheses, references)
    assert found.value == pytest.approx(BLEU(tokenize="none").corpus_score(tokens[:1], [tokens[1:]]).score)
    assert 0 < found.value < 100
    assert found.name == "bleu_lc_tok"
    assert "tok:none" in found.signature


def test_lc_tok_without_its_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    with pytest.raises(UserError, match=r"pip install 'nmt-trainer\[moses\]'"):
        bleu_lc_tok(["a"], ["a"])
