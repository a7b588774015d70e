"""How far attributions can be trusted: what a target word's probability does when the source words that they name are erased.

DeYoung et al. 2020, "ERASER: a benchmark to evaluate rationalized NLP models", section 4: comprehensiveness and sufficiency.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from nmt.alignment.attribution import raw_attribution
from nmt.alignment.forced import ForcedDecoder, ForcedPairs
from nmt.alignment.links import word_weights
from nmt.config import AlignmentConfig, Attribution
from nmt.data.batching import IdPairs, make_batch
from nmt.decoding.scorer import Scorer
from nmt.files import write_json_atomic

Array = npt.NDArray[Any]
Words = frozenset[int]
"""Source words, by their places."""

RANDOM, ERASURE = "random", "erasure"
"""What attributions are compared with: words in random order, and in the order of what erasing each by itself does (Li, Monroe and Jurafsky
2016), which names the best single word."""


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """Means over target words, by how many source words are named.

    Attributes:
        comprehensiveness: p(word) - p(word | source without the named ones): the more, the more the word came from them.
        sufficiency: p(word) - p(word | source of the named ones alone): the less, the less it came from others.
    """

    comprehensiveness: dict[int, float]
    sufficiency: dict[int, float]


class Erasures:
    """Probabilities of the target words of pairs, given the target words before and some of the source words.

    A source word is erased with all its pieces; the others stay in their order.
    """

    def __init__(self, pairs: ForcedPairs, scorer: Scorer) -> None:
        self.pairs, self.scorer = pairs, scorer
        self.source_words = [scorer.tokenizers.source.word_index(ids) for ids in pairs.ids.source]
        self.target_words = [scorer.tokenizers.target.word_index(ids) for ids in pairs.ids.target]
        self._known: dict[tuple[int, Words], Array] = {}

    def everything(self, pair: int) -> Words:
        return frozenset(self.source_words[pair])

    def compute(self, wanted: Iterable[tuple[int, Words]]) -> None:
        """Make the model read all these at once: a pair, and the source words that are kept."""
        new = [key for key in dict.fromkeys(wanted) if key not in self._known]
        sources = [
            [piece for piece, word in zip(self.pairs.ids.source[i], self.source_words[i], strict=True) if word in kept]
            for i, kept in new
        ]
        ids = IdPairs(sources, [self.pairs.ids.target[i] for i, _ in new])
        for bucket in ids.buckets(self.scorer.max_tokens):
            batch = make_batch(ids, bucket)
            parts = self.scorer.score_batch(batch).split(batch.target_layout.lengths.tolist())
            for place, part in zip(bucket, parts, strict=True):
                pair = new[place][0]
                log_probs = np.zeros(self.target_words[pair][-1] + 1)
                np.add.at(log_probs, self.target_words[pair], part[:-1].double().numpy())  # without EOS
                self._known[new[place]] = np.exp(log_probs)

    def loss(self, pair: int, kept: Words) -> Array:
        """How much the probability of each target word falls if only these source words are kept, which was computed."""
        difference: Array = self._known[pair, self.everything(pair)] - self._known[pair, kept]
        return difference


Named = list[tuple[int, int, Words]]
"""Pair, target word, and the source words that are named for it."""


def faithfulness(
    decoder: ForcedDecoder,
    sources: Sequence[str],
    targets: Sequence[str],
    config: AlignmentConfig,
    *,
    counts: Sequence[int] = (1, 2, 3),
    seed: int = 1,
) -> dict[str, Faithfulness]:
    """Of every attribution by its name, and of :data:`ERASURE` and :data:`RANDOM`, the most comprehensive first.

    Layer and head of attention are those that are set.

    Pairs with a blank side are left out; where ``counts`` words are to be named a pair counts if it has more of them. Nothing where no
    pair has two source words.

    Raises:
        ConfigError: the model does not have the layer or head.
    """
    pairs = decoder.pairs(sources, targets)
    scorer = Scorer(decoder.model, decoder.tokenizers, decoder.device, decoder.precision, max_tokens=decoder.max_tokens)
    erasures = Erasures(pairs, scorer)
    chosen = [pair for pair in pairs.filled.tolist() if len(erasures.everything(pair)) > 1]
    if not chosen:
        return {}
    singles = {pair: [erasures.everything(pair) - {s} for s in sorted(erasures.everything(pair))] for pair in chosen}
    erasures.compute((pair, kept) for pair in chosen for kept in (erasures.everything(pair), *singles[pair]))
    scores = _word_scores(decoder, erasures, config)
    scores[ERASURE] = {pair: np.stack([erasures.loss(pair, kept) for kept in singles[pair]], 1) for pair in chosen}
    generator = np.random.default_rng(seed)
    scores[RANDOM] = {pair: generator.random(scores[ERASURE][pair].shape) for pair in chosen}
    found = {}
    for name, of_pairs in scores.items():
        named = {count: _heaviest({pair: of_pairs[pair] for pair in chosen}, count) for count in counts}
        found[name] = _measure(erasures, {count: rows for count, rows in named.items() if rows})
    return dict(sorted(found.items(), key=lambda item: -next(iter(item[1].comprehensiveness.values()))))


def _word_scores(
    decoder: ForcedDecoder, erasures: Erasures, config: AlignmentConfig
) -> dict[str, dict[int, Float[Array, "Tw Sw"]]]:
    """What each attribution says of the words of each pair, in its own units."""
    scores: dict[str, dict[int, Array]] = {method.name: {} for method in Attribution}
    for batch in decoder.batches(erasures.pairs):
        for method in Attribution:
            head = config.head if method is Attribution.attention else None
            with decoder.autocast():
                found = raw_attribution(decoder.model, batch, replace(config, attribution=method, head=head)).cpu().numpy()
            for pair, sentence in zip(batch.sentences, found, strict=True):
                source, target = erasures.source_words[pair], erasures.target_words[pair]
                scores[method.name][int(pair)] = word_weights(sentence[: len(target), : len(source)], source, target)
    return scores


def _heaviest(scores: dict[int, Float[Array, "Tw Sw"]], count: int) -> Named:
    """The source words with the highest scores for each target word, of the pairs that have more than so many."""
    return [
        (pair, t, frozenset(np.argsort(-row, kind="stable")[:count].tolist()))
        for pair, of_words in scores.items()
        for t, row in enumerate(of_words)
        if count < len(row)
    ]


def _measure(erasures: Erasures, named: dict[int, Named]) -> Faithfulness:
    def mean_loss(rows: Named) -> float:
        erasures.compute((pair, kept) for pair, _, kept in rows)
        return float(np.mean([erasures.loss(pair, kept)[t] for pair, t, kept in rows]))

    def others(rows: Named) -> Named:
        return [(pair, t, erasures.everything(pair) - top) for pair, t, top in rows]

    return Faithfulness(
        {count: mean_loss(others(rows)) for count, rows in named.items()},
        {count: mean_loss(rows) for count, rows in named.items()},
    )


def write_faithfulness(folder: Path, found: Mapping[str, Faithfulness], num_pairs: int) -> None:
    """Write ``faithfulness.json``: the number of ``pairs``, and both measures of all ``methods``, by how many words were named."""
    folder.mkdir(parents=True, exist_ok=True)
    measures = {name: asdict(of_method) for name, of_method in found.items()}
    write_json_atomic(folder / "faithfulness.json", {"pairs": num_pairs, "methods": measures})
