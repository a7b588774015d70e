"""Lines in, lines out: normalise, encode, batch by length, search, decode, restore the order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from nmt.config import Precision, SearchConfig
from nmt.data.batching import pad_ids
from nmt.data.cleaning import normalize
from nmt.data.tokenizer import EOS, Tokenizer
from nmt.decoding.search import Hypothesis, search
from nmt.hardware import autocast
from nmt.layout import Layout
from nmt.models.interface import Seq2Seq


@dataclass(frozen=True, slots=True)
class Translation:
    """A translated line; ``score`` is the sum of the log-probabilities of ``ids`` and EOS, 0 for a blank line."""

    text: str
    ids: list[int]
    score: float


@dataclass(slots=True)
class Translator:
    """A model with its tokenizer and the settings of its search."""

    model: Seq2Seq
    tokenizer: Tokenizer
    search: SearchConfig
    device: torch.device
    precision: Precision

    def translate(self, lines: Sequence[str]) -> list[Translation]:
        """The best translation of each line, in the order of the lines; a blank line stays blank.

        A line's translation does not depend on the lines beside it.
        """
        ids = self.tokenizer.encode([normalize(line) for line in lines])
        by_length = sorted((i for i, row in enumerate(ids) if row), key=lambda i: len(ids[i]))
        translations = [Translation("", [], 0.0)] * len(lines)
        was_training = self.model.training
        self.model.eval()
        for begin in range(0, len(by_length), self.search.max_sentences):
            chosen = by_length[begin : begin + self.search.max_sentences]
            best = self._search([ids[i] for i in chosen])
            texts = self.tokenizer.decode([hypothesis.ids for hypothesis in best])
            for i, hypothesis, text in zip(chosen, best, texts, strict=True):
                translations[i] = Translation(text, hypothesis.ids, hypothesis.score)
        self.model.train(was_training)
        return translations

    def _search(self, rows: list[list[int]]) -> list[Hypothesis]:
        layout = Layout.of([len(row) + 1 for row in rows])
        source = pad_ids([[*row, EOS] for row in rows], layout).to(self.device)
        with autocast(self.device, self.precision):
            return [hypotheses[0] for hypotheses in search(self.model, source, layout.to(self.device), self.search)]
