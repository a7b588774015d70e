"""Other ways to cut words than the best one, and drawing among them.

SentencePiece draws too, but its draws cannot be repeated: the same seed gives others in another process (0.2.3). Here they follow from the
uniform numbers that are given.
"""

from __future__ import annotations

import math
import random
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nmt.config import TokenizerKind
from nmt.data.normalization import WORD_START
from nmt.data.tokenizer import MAX_KNOWN_WORDS, UNK, Tokenizer

NUM_WAYS = 64
"""Ways to cut a word that are drawn among."""

Uniform = Callable[[int], npt.NDArray[np.floating[Any]]]
"""So many numbers, each at least 0 and below 1."""


class Ways(Protocol):
    """The ways to cut a word."""

    def draw(self, number: float) -> list[int]:
        """Ids of the way that a number, at least 0 and below 1, decides on."""


@dataclass(frozen=True, slots=True)
class BestWays:
    """As ids, with the sums of their probabilities up to each."""

    ids: list[list[int]]
    sums: list[float]

    def draw(self, number: float) -> list[int]:
        return self.ids[min(bisect(self.sums, number), len(self.ids) - 1)]


@dataclass(frozen=True, slots=True)
class DropoutWays:
    """As likely as each other. The word and its place decide what each is, so it can wait until it is asked for: most words are rare."""

    word: str
    cut: Callable[[str, Callable[[], float]], list[int]]
    ids: dict[int, list[int]] = field(default_factory=dict)

    def draw(self, number: float) -> list[int]:
        place = int(number * NUM_WAYS)
        if place not in self.ids:
            self.ids[place] = self.cut(self.word, random.Random(f"{place} {self.word}").random)
        return self.ids[place]


class Sampler:
    """Cuts lines in pieces that are drawn, each word by itself.

    The unigram model draws among the 64 best ways to cut a word, by their probabilities to the power of ``alpha`` (Kudo 2018, section 3.3,
    who draws among the best ways to cut a sentence). BPE leaves out each possible merge with the probability ``alpha`` at each step
    (Provilkov et al. 2020, algorithm 1); the deviation is that a word has 64 such ways, which the word alone decides, and draws are among
    these. A word with an unknown character or a symbol of one's own in it is cut as always.
    """

    def __init__(self, tokenizer: Tokenizer, alpha: float) -> None:
        self._tokenizer, self._alpha = tokenizer, alpha
        vocabulary = range(tokenizer.vocab_size)  # looked up here: by SentencePiece's own calls it takes twice as long
        self._ids = dict(zip(tokenizer.pieces(vocabulary), vocabulary, strict=True))
        self._scores = [tokenizer.score(i) for i in vocabulary]
        self._known: dict[str, Ways] = {}

    def __call__(self, normalized: Sequence[str], uniform: Uniform) -> list[list[int]]:
        """Ids of the drawn pieces of lines that the tokenizer's normalizer has seen; a number a word decides."""
        lines = [line.split() for line in normalized]
        numbers = iter(uniform(sum(map(len, lines))).tolist())
        return [[i for word in line for i in self._ways(word).draw(next(numbers))] for line in lines]

    def _ways(self, word: str) -> Ways:
        if word not in self._known:
            if len(self._known) >= MAX_KNOWN_WORDS:
                self._known.clear()
            unigram = self._tokenizer.kind is TokenizerKind.unigram
            self._known[word] = self._best_ways(word) if unigram else self._ways_of_dropout(word)
        return self._known[word]

    def _best_ways(self, word: str) -> Ways:
        ways = self._tokenizer.best_ways(word, NUM_WAYS)
        if any(UNK in ids for ids in ways):  # which has no probability
            return BestWays(ways[:1], [1.0])
        scores = [sum(self._scores[i] for i in ids) for ids in ways]
        weights = [math.exp(self._alpha * (score - scores[0])) for score in scores]
        total = sum(weights)
        return BestWays(ways, list(accumulate(weight / total for weight in weights)))

    def _ways_of_dropout(self, word: str) -> Ways:
        (always,) = self._tokenizer.encode_normalized([word])
        if UNK in always or self._merged(word, lambda: 1.0) != always:
            return BestWays([always], [1.0])
        return DropoutWays(word, self._merged)

    def _merged(self, word: str, random_number: Callable[[], float]) -> list[int]:
        """Ids after merging, time and again, the pair of neighbours whose union is the best piece, of those that are not left out."""
        symbols = list(WORD_START + word)
        while True:
            unions = [self._ids.get(left + right, UNK) for left, right in pairwise(symbols)]
            possible = [
                (self._scores[union], -i) for i, union in enumerate(unions) if union != UNK and random_number() >= self._alpha
            ]
            if not possible:
                return [self._ids.get(symbol, UNK) for symbol in symbols]
            i = -max(possible)[1]
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
