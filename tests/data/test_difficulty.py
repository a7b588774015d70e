"""How much of the word order the built-in corpus changes, by difficulty."""

import random
from itertools import combinations
from statistics import mean

import pytest

from nmt.config import BuiltinDataConfig, Difficulty
from nmt.data.grammar.constructions import CONSTRUCTIONS
from nmt.data.grammar.difficulty import displacement, suitable
from nmt.data.grammar.lexicon import load_lexicon
from nmt.data.grammar.sampling import Sampler
from nmt.data.links import parse_links
from nmt.data.reader import read_corpus


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ("", 0),
        ("0-0 1-1 2p2", 0),
        ("0-1 1-0", 1),  # both change their order with one other
        ("0-2 1-0 2-1", 4 / 3),  # the first with two others, each of these with the first
        ("0-2 1-1 2-0", 2),  # all of them with two others
        ("0-0 1-1 1-5 2-2 3-3", 2 * 1 / 4),  # a separable verb is at 3 in the mean, after 2 and beside 3
        ("0p0 0p1 1p0 1p1", 0),  # all to all is at one place
        ("1-0 3-1", 0),  # words without link count for nothing
    ],
)
def test_displacement_by_hand(links, expected):
    assert displacement(links) == pytest.approx(expected)


def crossings(line):
    """The part of all pairs of sure links that cross."""
    pairs = list(combinations(parse_links(line).sure, 2))
    return sum((s - u) * (t - v) < 0 for (s, t), (u, v) in pairs) / len(pairs)


def test_reordering_rises_with_the_difficulty():
    configs = {
        difficulty: BuiltinDataConfig(train_size=150, dev_size=1, test_size=1, difficulty=difficulty) for difficulty in Difficulty
    }
    links = {difficulty: read_corpus(config)["train"].links for difficulty, config in configs.items()}
    displaced = {difficulty: mean(map(displacement, lines)) for difficulty, lines in links.items()}
    assert displaced[Difficulty.monotone] == 0
    assert 0.8 < displaced[Difficulty.mixed] < 1.7
    assert displaced[Difficulty.reordered] > 2
    crossed = {difficulty: mean(map(crossings, lines)) for difficulty, lines in links.items()}
    assert crossed[Difficulty.monotone] < 0.01
    assert crossed[Difficulty.monotone] + 0.08 < crossed[Difficulty.mixed] < crossed[Difficulty.reordered] - 0.05


def test_constructions_are_chosen_by_what_they_measure():
    monotone, reordered = {"description", "existence", "comparison"}, {"modal_passive", "passive", "leading_clause"}
    weights = {construction: 1.0 for construction in CONSTRUCTIONS if construction.__name__ in monotone | reordered}
    chosen = {}
    for difficulty in Difficulty:
        suited = suitable(weights, Sampler(load_lexicon(), random.Random(3)), difficulty)
        chosen[difficulty] = {construction.__name__ for construction in suited}
    assert chosen == {
        Difficulty.monotone: monotone,
        Difficulty.mixed: monotone | reordered,
        Difficulty.reordered: reordered,
    }
