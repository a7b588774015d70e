"""Lines in, lines out: what a model, its tokenizers and a search make of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from nmt.config import Precision, SearchConfig
from nmt.data.batching import pad_ids
from nmt.data.tokenizer import EOS, Tokenizers
from nmt.decoding.search import Hypothesis, search
from nmt.hardware import autocast, resolve_precision
from nmt.layout import Layout
from nmt.models.interface import Seq2Seq
from nmt.models.quantized import quantized


@dataclass(frozen=True, slots=True)
class Translation:
    """A translated line: its text without line breaks, its pieces without EOS, and the sum of their and EOS's log-probabilities."""

    text: str
    ids: list[int]
    score: float


class Translator:
    """A model ready to translate text; ``model`` is on ``device``, and with ``precision`` int8 a copy of the given one."""

    def __init__(
        self, model: Seq2Seq, tokenizers: Tokenizers, search: SearchConfig, device: torch.device, precision: Precision
    ) -> None:
        self.tokenizers, self.search, self.device = tokenizers, search, device
        self.precision = resolve_precision(precision, device)
        self.model = quantized(model) if self.precision is Precision.int8 else model

    def translate(self, lines: Sequence[str]) -> list[Translation]:
        """The best translation of each line, in their order; of a line without words the empty one, with a score of 0.

        Lines are normalised as the training text was.
        """
        sources = self.tokenizers.source.encode(lines)
        worded = [i for i, ids in enumerate(sources) if ids]
        hypotheses = self.search_all([sources[i] for i in worded])
        texts = self.tokenizers.target.decode([hypothesis.ids for hypothesis in hypotheses])
        translations = [Translation("", [], 0.0)] * len(lines)
        for i, text, hypothesis in zip(worded, texts, hypotheses, strict=True):
            translations[i] = Translation(" ".join(text.splitlines()), hypothesis.ids, hypothesis.score)
        return translations

    def search_all(self, sources: Sequence[list[int]]) -> list[Hypothesis]:
        """The best hypothesis of each source, pieces without EOS, in their order.

        Sentences of like length share a batch, the longest ones come first.
        """
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]), reverse=True)
        size = self.search.max_sentences
        best: dict[int, Hypothesis] = {}
        training = self.model.training
        self.model.eval()
        try:
            for batch in (order[begin : begin + size] for begin in range(0, len(order), size)):
                best |= zip(batch, self._search([sources[i] for i in batch]), strict=True)
        finally:
            self.model.train(training)
        return [best[i] for i in range(len(sources))]

    def _search(self, sources: list[list[int]]) -> list[Hypothesis]:
        """The best hypothesis of each of a batch of sources."""
        rows = [[*ids, EOS] for ids in sources]
        layout = Layout.of([len(row) for row in rows])
        source = pad_ids(rows, layout).to(self.device)
        with autocast(self.device, self.precision):
            n_best = search(self.model, source, layout.to(self.device), self.search)
        return [hypotheses[0] for hypotheses in n_best]
