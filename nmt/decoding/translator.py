"""Lines in, lines out: what a model, its tokenizers and a search make of text."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from nmt import distributed
from nmt.config import LongLines, Precision, SearchConfig
from nmt.data.batching import pad_ids
from nmt.data.tokenizer import EOS, Tokenizers
from nmt.decoding.hypotheses import Hypothesis
from nmt.decoding.long_lines import shorten
from nmt.decoding.search import search
from nmt.hardware import autocast, resolve_precision
from nmt.layout import Layout
from nmt.models.interface import Predictor

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Translation:
    """A translated line.

    Attributes:
        text: without line breaks.
        ids: its pieces without EOS.
        score: the sum of their and EOS's log-probabilities.
        rank: the score as translations of one line are compared by it: see :class:`Hypothesis`.
        parts: what was read, and the text that became of it: the line, or parts of the normalised line where it was too long. Their ids
            are joined, their scores added up, and the rank is their mean.
    """

    text: str
    ids: list[int]
    score: float
    rank: float = 0.0
    parts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Source:
    """What the model reads: the ``part``-th part of the ``line``-th line, both from 0, and its pieces."""

    line: int
    part: int
    text: str
    ids: list[int]


LONG_LINES = {
    LongLines.keep: "translated as they are (`search.long_lines` could truncate or split them)",
    LongLines.truncate: "what is beyond is left out",
    LongLines.split: "translated in parts",
}


class Translator:
    """A model ready to translate text; ``model`` is on ``device``. One that is not trained any more translates faster ``frozen``.

    Samples depend on ``seed``, on the number of their line, and on nothing else. Several processes share the sentences and have all the
    translations; each must ask for the same.
    """

    def __init__(
        self,
        model: Predictor,
        tokenizers: Tokenizers,
        search: SearchConfig,
        device: torch.device,
        precision: Precision,
        seed: int = 1,
    ) -> None:
        self.model, self.tokenizers, self.search, self.device, self.seed = model, tokenizers, search, device, seed
        self.precision = resolve_precision(precision, device)

    def translate(self, lines: Sequence[str]) -> list[Translation]:
        """The best translation of each line, in their order; of a line without words the empty one, with a score of 0.

        Lines are normalised as the training text was.
        """
        return [translations[0] for translations in self.n_best(lines)]

    def n_best(self, lines: Sequence[str], prefixes: Sequence[str] | None = None, num_before: int = 0) -> list[list[Translation]]:
        """The ``num_best`` translations of each line, best first, or as many samples; of a line without words the empty one alone.

        A line's prefix is text that its translations begin with, piece by piece: its last word may go on. ``num_before`` lines came
        before these. What is translated of a long line in parts has as its k-th best translation the k-th best ones of all parts.
        """
        sources = self._sources(lines, num_before)
        seeds = [(self.seed, num_before + source.line, source.part) for source in sources]
        found = self.search_all([source.ids for source in sources], self._prefixes(sources, prefixes), seeds)
        texts = iter(self.tokenizers.target.decode([hypothesis.ids for hypotheses in found for hypothesis in hypotheses]))
        parts: list[list[list[Translation]]] = [[] for _ in lines]
        for source, hypotheses in zip(sources, found, strict=True):
            parts[source.line].append([_translation(source, hypothesis, next(texts)) for hypothesis in hypotheses])
        return [[_joined(each) for each in zip(*of_line, strict=False)] or [Translation("", [], 0.0)] for of_line in parts]

    def search_all(
        self,
        sources: Sequence[list[int]],
        prefixes: Sequence[list[int]] | None = None,
        seeds: Sequence[tuple[int, ...]] | None = None,
    ) -> list[list[Hypothesis]]:
        """The ``num_best`` hypotheses of each source, pieces without EOS, in their order; ``prefixes`` and ``seeds`` as for ``search``.

        Sentences of like length share a batch, the longest ones come first.
        """
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]), reverse=True)
        size = self.search.max_sentences
        found: dict[int, list[Hypothesis]] = {}
        training = self.model.training
        self.model.eval()
        try:
            for batch in distributed.share([order[begin : begin + size] for begin in range(0, len(order), size)]):
                results = self._search(_pick(sources, batch), prefixes and _pick(prefixes, batch), seeds and _pick(seeds, batch))
                found |= zip(batch, results, strict=True)
        finally:
            self.model.train(training)
        for part in distributed.gathered(found):
            found |= part
        return [found[i] for i in range(len(sources))]

    def _search(
        self, sources: list[list[int]], prefixes: Sequence[list[int]] | None, seeds: Sequence[tuple[int, ...]] | None
    ) -> list[list[Hypothesis]]:
        """The best hypotheses of each of a batch of sources."""
        rows = [[*ids, EOS] for ids in sources]
        layout = Layout.of([len(row) for row in rows])
        source = pad_ids(rows, layout).to(self.device)
        with autocast(self.device, self.precision):
            found = search(self.model, source, layout.to(self.device), self.search, prefixes=prefixes, seeds=seeds)
        return [hypotheses[: self.search.num_best] for hypotheses in found]

    def _sources(self, lines: Sequence[str], num_before: int) -> list[_Source]:
        """What is translated of lines: nothing of one without words, several parts of one that is split."""
        tokenizer = self.tokenizers.source
        texts = [tokenizer.normalizer(line) for line in lines]
        sources: list[_Source] = []
        too_long: list[int] = []
        for line, (text, ids) in enumerate(zip(texts, tokenizer.encode_normalized(texts), strict=True)):
            if len(ids) > self.search.max_source_length:
                too_long.append(line)
                parts = shorten(text, self.search.max_source_length, self.search.long_lines, self._lengths)
                rows = zip(parts, tokenizer.encode_normalized(parts), strict=True)
                sources += [_Source(line, part, *row) for part, row in enumerate(rows)]
            elif ids:
                sources.append(_Source(line, 0, lines[line], ids))
        if too_long:
            log.warning(
                "%d of %d lines, line %d the first, have more than %d pieces (`search.max_source_length`): %s",
                len(too_long),
                len(lines),
                num_before + too_long[0] + 1,
                self.search.max_source_length,
                LONG_LINES[self.search.long_lines],
            )
        return sources

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self.tokenizers.source.encode_normalized(texts)]

    def _prefixes(self, sources: Sequence[_Source], prefixes: Sequence[str] | None) -> list[list[int]] | None:
        """The pieces that the translation of each source begins with, where a prefix is given to its line; parts go on freely."""
        if prefixes is None:
            return None
        ids = self.tokenizers.target.encode(prefixes)
        return [[] if source.part else ids[source.line] for source in sources]


def _pick(items: Sequence[T], places: Sequence[int]) -> list[T]:
    return [items[i] for i in places]


def _translation(source: _Source, hypothesis: Hypothesis, text: str) -> Translation:
    text = " ".join(text.splitlines())
    return Translation(text, hypothesis.ids, hypothesis.score, hypothesis.rank, ((source.text, text),))


def _joined(parts: Sequence[Translation]) -> Translation:
    """The translation of a line from those of its parts."""
    if len(parts) == 1:
        return parts[0]
    return Translation(
        " ".join(part.text for part in parts),
        [piece for part in parts for piece in part.ids],
        math.fsum(part.score for part in parts),
        math.fsum(part.rank for part in parts) / len(parts),
        tuple(pair for part in parts for pair in part.parts),
    )
