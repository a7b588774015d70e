"""Notation of links, attention between words, and alignment scores, against hand-worked cases and plain loops."""

import os
import random
from pathlib import Path

import numpy as np
import pytest

from nmt.alignment.links import (
    alignment_scores,
    argmax_links,
    is_punctuation,
    mutual_links,
    read_links,
    threshold_links,
    without_sinks,
    word_weights,
)
from nmt.config import AlignmentConfig, LinkMethod
from nmt.data.links import Links, check_links, format_links, parse_links, read_gold, swap_links
from nmt.data.reader import read_pairs
from nmt.errors import DataError


def test_a_sure_link_is_possible_too():
    links = parse_links("0-0 1p2  2-1 1p0\t2p1")
    assert links.sure == {(0, 0), (2, 1)}
    assert links.possible == {(0, 0), (2, 1), (1, 2), (1, 0)}
    assert links.sure_only() == Links(links.sure, links.sure)
    assert parse_links("") == parse_links(" ") == Links(frozenset(), frozenset())


@pytest.mark.parametrize("word", ["1", "1-", "-1", "1_2", "1-2-3", "a-b", "-1-2", "1--2", "1P2", "²-1"])
def test_what_is_no_link_is_refused(word):
    with pytest.raises(DataError, match="i-j") as refused:
        parse_links(f"0-0 {word}")
    assert repr(word) in str(refused.value)


def test_links_are_written_in_the_order_of_numbers():
    assert format_links({(10, 0), (2, 11), (2, 3)}) == "2-3 2-11 10-0"
    assert parse_links(format_links({(10, 0), (2, 11)})).sure == {(10, 0), (2, 11)}


def test_swapped_links_are_read_from_the_other_side():
    line = "0-3 1p0 10-0 10p4"
    assert swap_links(line) == "3-0 0p1 0-10 4p10"
    assert parse_links(swap_links(line)).possible == {(t, s) for s, t in parse_links(line).possible}
    assert swap_links("") == ""


@pytest.mark.parametrize(
    ("line", "message"), [("0-0 3-1", "source word 3, but the source has 3"), ("2p2", "target word 2, but the target has 2")]
)
def test_a_link_to_a_missing_word_is_named(line, message):
    with pytest.raises(DataError, match=f"gold.txt:7: .*{message} words .*from 0"):
        check_links(parse_links(line), 3, 2, "gold.txt:7")
    check_links(parse_links("0-0 2-1"), 3, 2, "gold.txt:7")


def test_word_weights_by_hand():
    pieces = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
    words = word_weights(pieces, [0, 0, 1], [0, 1, 1])
    np.testing.assert_allclose(words, [[0.75, 0.25], [0.45, 0.55]])
    assert argmax_links(words) == {(0, 0), (1, 1)}


def test_word_weights_are_those_of_a_plain_loop():
    generator = np.random.default_rng(1)
    source_words, target_words = [0, 0, 1, 2, 2, 2, 3], [0, 1, 1, 1, 2]
    pieces = generator.dirichlet(np.ones(7), size=5).astype(np.float32)
    expected = np.zeros((3, 4))
    for t in range(5):
        for s in range(7):
            expected[target_words[t], source_words[s]] += pieces[t, s] / target_words.count(target_words[t])
    words = word_weights(pieces, source_words, target_words)
    np.testing.assert_allclose(words, expected, rtol=1e-6)
    np.testing.assert_allclose(words.sum(1), 1, rtol=1e-6)
    assert words.dtype == np.float32


def test_of_equal_weights_the_leftmost_wins():
    assert argmax_links(np.array([[0.2, 0.4, 0.4], [0.3, 0.3, 0.3]])) == {(1, 0), (0, 1)}


def test_mutual_links_by_hand():
    """Both target words look at the second source word; the first of them is the only one to look at the first."""
    words = np.array([[0.4, 0.6], [0.1, 0.9]])
    assert argmax_links(words) == {(1, 0), (1, 1)}
    # 0.4 * 0.4 / 0.5 = 0.32 > 0.6 * 0.6 / 1.5 = 0.24;  0.1 * 0.1 / 0.5 = 0.02 < 0.9 * 0.9 / 1.5 = 0.54
    assert mutual_links(words) == {(0, 0), (1, 1)}
    assert read_links(words, AlignmentConfig(method=LinkMethod.mutual)) == mutual_links(words)
    assert read_links(words, AlignmentConfig(method=LinkMethod.argmax)) == argmax_links(words)
    assert read_links(words, AlignmentConfig(method=LinkMethod.threshold, threshold=0.3)) == threshold_links(words, 0.3)


def test_sinks_are_removed():
    """Rows give 0.2, 0.5 and 1 to the end of the source; the second source word and the last target word are punctuation."""
    words, source, target = np.array([[0.6, 0.2], [0.1, 0.4], [0.0, 0.0]]), ["a", ","], ["x", "y", "."]

    def without(weights=words, target=target, **settings):
        return without_sinks(weights, source, target, AlignmentConfig(**settings))

    np.testing.assert_array_equal(without(), words)
    np.testing.assert_allclose(without(without_end=True), [[0.75, 0.25], [0.2, 0.8], [0, 0]])
    np.testing.assert_allclose(without(without_punctuation=True), [[1, 0], [1, 0], [0, 0]])
    np.testing.assert_allclose(without(words[:2], ["x", "..."], without_punctuation=True), [[1, 0], [0.2, 0.8]])
    np.testing.assert_allclose(without(np.array([[0.0, 0.7]]), ["x"], without_punctuation=True), [[0, 0]])
    assert not is_punctuation("'s")
    assert is_punctuation("\u2581\u2026")


def test_links_above_a_threshold():
    words = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.4], [0.1, 0.2, 0.1]])
    assert threshold_links(words, 0.3) == {(0, 0), (1, 0), (1, 1), (2, 1)}


def test_mutual_links_are_those_of_a_plain_loop():
    generator = np.random.default_rng(2)
    for _ in range(20):
        words = generator.dirichlet(np.ones(5) / 3, size=7).astype(np.float32)
        words[:, 3] = 0  # a source word that nobody looks at
        expected = set()
        for t in range(7):
            products = [
                float(words[t, s]) ** 2 / sum(float(words[u, s]) for u in range(7)) if words[:, s].any() else 0.0
                for s in range(5)
            ]
            expected.add((max(range(5), key=products.__getitem__), t))
        assert mutual_links(words) == expected


def test_alignment_scores_by_hand():
    """3 links predicted; 1 is sure, 2 are possible; there are 2 sure ones."""
    gold = [parse_links("0-0 1-1 2p1")]
    scores = alignment_scores([frozenset({(0, 0), (2, 1), (2, 2)})], gold)
    assert scores.aer == pytest.approx(1 - (1 + 2) / (3 + 2))
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == pytest.approx(1 / 2)
    assert scores.f1 == pytest.approx(4 / 7)
    assert (scores.num_predicted, scores.num_sure, scores.num_possible) == (3, 2, 3)
    sure = alignment_scores([frozenset({(0, 0), (2, 1), (2, 2)})], [gold[0].sure_only()])
    assert sure.aer == pytest.approx(1 - (1 + 1) / (3 + 2))
    assert sure.precision == pytest.approx(1 / 3)


def test_scores_at_the_ends():
    gold = [parse_links("0-0 1-1"), parse_links("0-1 0p0")]
    assert alignment_scores([links.sure for links in gold], gold).aer == 0
    assert alignment_scores([frozenset({(5, 5)}), frozenset()], gold).aer == 1
    nothing = alignment_scores([frozenset()], [parse_links("")])
    assert (nothing.aer, nothing.f1) == (0, 1)
    silent = alignment_scores([frozenset()], [parse_links("0-0")])
    assert (silent.aer, silent.precision, silent.recall, silent.f1) == (1, 1, 0, 0)


def test_alignment_scores_are_those_of_a_plain_loop():
    generator = random.Random(7)
    for _ in range(50):
        predicted, gold = [], []
        hits_sure = hits_possible = size = num_sure = 0
        for _ in range(generator.randint(1, 5)):
            cells = [(s, t) for s in range(5) for t in range(7)]
            guess = {cell for cell in cells if generator.random() < 0.3}
            sure = {cell for cell in cells if generator.random() < 0.2}
            possible = sure | {cell for cell in cells if generator.random() < 0.2}
            for cell in guess:
                hits_sure += cell in sure
                hits_possible += cell in possible
            size += len(guess)
            num_sure += len(sure)
            predicted.append(frozenset(guess))
            gold.append(Links(frozenset(sure), frozenset(possible)))
        scores = alignment_scores(predicted, gold)
        assert scores.aer == pytest.approx(1 - (hits_sure + hits_possible) / (size + num_sure))
        assert scores.precision == pytest.approx(hits_possible / size)
        assert scores.recall == pytest.approx(hits_sure / num_sure)


def test_error_rates_are_those_of_another_library():
    """1,000 random sets of links; nltk has the rate of a pair."""
    from nltk.translate.metrics import alignment_error_rate

    generator = random.Random(11)
    for _ in range(1_000):
        cells = [(s, t) for s in range(generator.randint(1, 7)) for t in range(generator.randint(1, 5))]
        sure = {cell for cell in cells if generator.random() < 0.2}
        possible = sure | {cell for cell in cells if generator.random() < 0.3}
        predicted = {cell for cell in cells if generator.random() < 0.4}
        if predicted or sure:
            expected = alignment_error_rate(sure, predicted, possible)
            found = alignment_scores([frozenset(predicted)], [Links(frozenset(sure), frozenset(possible))]).aer
            assert found == pytest.approx(expected, abs=1e-12)


GOLD = Path("gold.txt")


def test_naacl_links_count_from_1_and_may_join_no_word():
    lines = ["0001 1 1 S", "1 2 3 P", "3 0 2 S", "", " 3\t4 1", "3 2 2 P 0.75", "3 5 0"]
    assert read_gold(lines, 4, GOLD) == ["0-0 1p2", "", "3-0 1p1", ""]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("5 1 1", r"gold\.txt:2: there is no sentence 5; the text has 4"),
        ("0 1 1", r"gold\.txt:2: there is no sentence 0; the text has 4"),
        ("1-1", r"gold\.txt:2: a link must be a sentence, a source word and a target word"),
        ("1 1 1 Q", r"gold\.txt:2: a link must be"),
    ],
)
def test_what_is_no_naacl_link_is_refused(line, message):
    with pytest.raises(DataError, match=message):
        read_gold(["1 1 1 S", line], 4, GOLD)


def test_a_file_that_counts_from_1_is_refused():
    lines = ["1-1 2p3"] * 10
    with pytest.raises(DataError, match=r"gold\.txt: no link has a first word, of 10 pairs; .*count from 1"):
        read_gold([*lines, ""], 11, GOLD)
    assert read_gold(lines[:9], 9, GOLD) == lines[:9]  # too few to tell
    assert read_gold([*lines, "0-4"], 11, GOLD)[-1] == "0-4"


DATA = Path(os.environ.get("NMT_DATA", "../shared/data")) / "alignment/en-fr-hansards447"


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there")
def test_the_hansards():
    text = read_pairs(DATA / "test.en", DATA / "test.fr", DATA / "test.align")
    gold = [parse_links(line) for line in text.links]
    assert (len(gold), sum(len(g.sure) for g in gold), sum(len(g.possible - g.sure) for g in gold)) == (447, 4_038, 13_400)
