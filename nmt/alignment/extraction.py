"""Every attention of a model over given pairs: each layer and head, of pieces or of words."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float32

from nmt.alignment.forced import ForcedDecoder, sides
from nmt.alignment.links import word_weights
from nmt.attention.capture import capture
from nmt.files import atomic_file

BEGIN, END = "<s>", "</s>"
BLOCK_PAIRS = 1_024
"""Pairs whose attention is in memory at a time."""

HeadWeights = Float32[npt.NDArray[np.float32], "h _Q _K"]


@dataclass(frozen=True, slots=True)
class SentenceAttention:
    """What a model attends to in a pair.

    Attributes:
        source: pieces or words, and the end of the sentence.
        target_in: what the decoder reads: the beginning of a sentence, and the target.
        target_out: what it then predicts: the target, and its end.
        weights: of each attention by name, (heads, queries, keys), which are its :func:`sides`. Of words they are the sum over a key's
            pieces and the mean over a query's. There are none where a side of the pair is blank.
    """

    source: list[str]
    target_in: list[str]
    target_out: list[str]
    weights: dict[str, HeadWeights]

    def labels(self, name: str) -> tuple[list[str], list[str]]:
        """Queries and keys of an attention."""
        queries, keys = sides(name)
        return getattr(self, queries), getattr(self, keys)


def extract(
    decoder: ForcedDecoder,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    of_words: bool = False,
) -> Iterator[SentenceAttention]:
    """The named attentions (all of them, unless named) of each pair, in the order of the pairs, by one pass of forced decoding: of
    pieces, unless those ``of_words`` are wanted.

    Raises:
        KeyError: a name that the model does not have, with those it has.
    """
    model, tokenizers = decoder.model, decoder.tokenizers
    chosen = list(model.attentions() if names is None else names)
    for first in range(0, len(sources), BLOCK_PAIRS):
        block = slice(first, first + BLOCK_PAIRS)
        pairs = decoder.pairs(sources[block], targets[block])
        weights: list[dict[str, HeadWeights]] = [{} for _ in pairs.source_words]
        for batch in decoder.batches(pairs):
            with torch.inference_mode(), decoder.autocast(), capture(model.attentions(), chosen) as records:
                decoder.decode(batch)
            layouts = {"source": batch.source_layout, "target_in": batch.target_layout, "target_out": batch.target_layout}
            for record in records:
                of_batch = record.weights.float().cpu().numpy()
                queries, keys = (layouts[side] for side in sides(record.name))
                for row, pair in enumerate(batch.sentences):
                    weights[pair][record.name] = of_batch[row, :, : queries.lengths[row], : keys.lengths[row]]
        for pair, found in enumerate(weights):
            source_ids, target_ids = pairs.ids.source[pair], pairs.ids.target[pair]
            if of_words:
                source, target = pairs.source_words[pair], pairs.target_words[pair]
                places = tokenizers.source.word_index(source_ids), tokenizers.target.word_index(target_ids)
                found = {name: _of_words(name, rows, *places) for name, rows in found.items()}
            else:
                source, target = tokenizers.source.pieces(source_ids), tokenizers.target.pieces(target_ids)
            in_order = {name: found[name] for name in chosen if name in found}  # a decoder's layers are computed in turns
            yield SentenceAttention([*source, END], [BEGIN, *target], [*target, END], in_order)


def _of_words(name: str, weights: HeadWeights, of_source: list[int], of_target: list[int]) -> HeadWeights:
    """Weights between pieces, which stand in these words, as weights between words; sentences begin and end with words of their own."""
    places = {
        "source": [*of_source, of_source[-1] + 1],
        "target_in": [0, *(word + 1 for word in of_target)],
        "target_out": [*of_target, of_target[-1] + 1],
    }
    queries, keys = sides(name)
    return word_weights(weights, places[keys], places[queries])


def write_npz(folder: Path, attentions: Iterable[SentenceAttention]) -> int:
    """Write ``attention.npz``, an array (heads, queries, keys) for each attention of each pair (``sentence_0000/decoder.cross.0``, ...),
    and ``sentences.jsonl``, an object a pair with ``source``, ``target_in`` and ``target_out``. Gives the number of pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with (
        atomic_file(folder / "sentences.jsonl") as sentences,
        atomic_file(folder / "attention.npz") as arrays,
        # not compressed: of 1,014 pairs of Multi30k it would be 29 MB instead of 36, in five times the time
        zipfile.ZipFile(arrays, "w") as archive,
    ):
        for attention in attentions:
            sentences.write(_json_line(_labels_of(attention)))
            for name, weights in attention.weights.items():
                with archive.open(f"sentence_{count:04d}/{name}.npy", "w") as entry:
                    np.lib.format.write_array(entry, weights, allow_pickle=False)
            count += 1
    return count


def write_jsonl(folder: Path, attentions: Iterable[SentenceAttention]) -> int:
    """Write ``attention.jsonl``, an object a pair with ``source``, ``target_in``, ``target_out`` and ``weights``: of each attention by name
    heads, queries and keys, rounded to five decimals. Gives the number of pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with atomic_file(folder / "attention.jsonl") as file:
        for attention in attentions:
            weights = {name: np.round(rows.astype(np.float64), 5).tolist() for name, rows in attention.weights.items()}
            file.write(_json_line({**_labels_of(attention), "weights": weights}))
            count += 1
    return count


def _labels_of(attention: SentenceAttention) -> dict[str, Any]:
    return {"source": attention.source, "target_in": attention.target_in, "target_out": attention.target_out}


def _json_line(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()
