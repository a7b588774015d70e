"""How much of the word order a sentence pair's translation changes, and the sentences that a difficulty asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

from nmt.config import Difficulty
from nmt.data.grammar.constructions import Construction, draw
from nmt.data.grammar.sampling import Sampler
from nmt.data.grammar.words import Example, parse_links

DISPLACEMENTS: Mapping[Difficulty, tuple[float, float]] = {
    Difficulty.monotone: (0.0, 0.0),
    Difficulty.mixed: (0.0, math.inf),
    Difficulty.reordered: (1.5, math.inf),
}
"""The least and the greatest displacement of a sentence pair."""
NUM_PROBES = 50
MIN_SHARE = 0.1


def displacement(links: str) -> float:
    """With how many others a source word changes its order, on average: twice the inverted pairs of words, over the words.

    Two words are inverted if the first one's translation comes after the second one's. The inverted pairs are those of Kendall's tau
    distance, which Birch and Osborne ("Reordering metrics for MT", 2011) take of word alignments. Deviations: the place of a word with
    several links is their mean, and a word without any counts for nothing; there is no square root; and the sum is over the words and
    not over all pairs of words, as a part of which the reordering of one clause would seem less in a longer sentence.

    ``links``: a Pharaoh line; sure and possible links count alike.
    """
    places: dict[int, list[int]] = {}
    for i, j, _ in parse_links(links):
        places.setdefault(i, []).append(j)
    means = [sum(places[i]) / len(places[i]) for i in sorted(places)]
    inverted = sum(first > second for first, second in combinations(means, 2))
    return 2 * inverted / len(means) if means else 0.0


def suits(example: Example, difficulty: Difficulty) -> bool:
    low, high = DISPLACEMENTS[difficulty]
    return low <= displacement(example.links) <= high


def suitable(
    constructions: Mapping[Construction, float], sampler: Sampler, difficulty: Difficulty
) -> Mapping[Construction, float]:
    """The constructions of which at least a tenth suits the difficulty, measured on fifty sentence pairs of each."""
    if difficulty is Difficulty.mixed:
        return constructions
    return {
        construction: weight
        for construction, weight in constructions.items()
        if sum(suits(draw(construction, sampler), difficulty) for _ in range(NUM_PROBES)) >= MIN_SHARE * NUM_PROBES
    }
