"""Other ways to cut words than the best one, and drawing among them.

SentencePiece draws too, but its draws cannot be repeated: the same seed gives others in another process (0.2.3). Here they follow from the
uniform numbers that are given.
"""

from __future__ import annotations

import math
import random
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from nmt.config import TokenizerKind
from nmt.data.normalization import WORD_START
from nmt.data.tokenizer import MAX_KNOWN_WORDS, UNK, Tokenizer

NUM_WAYS = 64
"""Ways to cut a word that are drawn among."""

Uniform = Callable[[int], npt.NDArray[np.floating[Any]]]
"""So many numbers, each at least 0 and below 1."""


@dataclass(frozen=True, slots=True)
class Ways:
    """Ways to cut a word, as ids, with the sums of their probabilities up to each."""

    ids: list[list[int]]
    sums: list[float]

    def draw(self, number: float) -> list[int]:
        return self.ids[min(bisect(self.sums, number), len(self.ids) - 1)]


class Sampler:
    """Cuts lines in pieces that are drawn, each word by itself.

    The unigram model draws among the 64 best ways to cut a word, by their probabilities to the power of ``alpha`` (Kudo 2018, section 3.3,
    who draws among the best ways to cut a sentence). BPE leaves out each possible merge with the probability ``alpha`` at each step
    (Provilkov et al. 2020, algorithm 1); the deviation is that a word's 64 such ways are drawn once, by the word alone, and later draws
    are among these. A word with an unknown character or a symbol of one's own in it is cut as always.
    """

    def __init__(self, tokenizer: Tokenizer, alpha: float) -> None:
        self._tokenizer, self._alpha = tokenizer, alpha
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
            return Ways(ways[:1], [1.0])
        scores = [sum(map(self._tokenizer.score, ids)) for ids in ways]
        weights = [math.exp(self._alpha * (score - scores[0])) for score in scores]
        total = sum(weights)
        return Ways(ways, list(accumulate(weight / total for weight in weights)))

    def _ways_of_dropout(self, word: str) -> Ways:
        (always,) = self._tokenizer.encode_normalized([word])
        if UNK in always or self._merged(word, lambda: False) != always:
            return Ways([always], [1.0])
        numbers = random.Random(word)
        drawn = [self._merged(word, lambda: numbers.random() < self._alpha) for _ in range(NUM_WAYS)]
        return Ways(drawn, [i / NUM_WAYS for i in range(1, NUM_WAYS + 1)])

    def _merged(self, word: str, left_out: Callable[[], bool]) -> list[int]:
        """Ids after merging, time and again, the pair of neighbours whose union is the best piece, of those that are not left out."""
        symbols = list(WORD_START + word)
        while True:
            pairs = [(i, self._tokenizer.piece_id(symbols[i] + symbols[i + 1])) for i in range(len(symbols) - 1)]
            possible = [(self._tokenizer.score(union), -i) for i, union in pairs if union != UNK and not left_out()]
            if not possible:
                return [self._tokenizer.piece_id(symbol) for symbol in symbols]
            i = -max(possible)[1]
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
