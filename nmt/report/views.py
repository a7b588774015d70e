"""All that can be seen of how target words go back to source words, for a person to choose from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32

from nmt.alignment.aligner import align
from nmt.alignment.attribution import cross_attentions
from nmt.alignment.extraction import extract
from nmt.alignment.forced import ForcedDecoder
from nmt.config import AlignmentConfig, Attribution

Views = dict[str, Float32[npt.NDArray[np.float32], "Tw Sw"]]
"""Of a pair, by a name for people; empty where a side is blank."""


def word_views(decoder: ForcedDecoder, sources: Sequence[str], targets: Sequence[str], config: AlignmentConfig) -> list[Views]:
    """Every layer and head of the cross-attention of each pair, between words, and every other attribution.

    Attentions are named as the model names them, the top layer first. Rows are as the model made them, but for what they give to the end
    of the source; of other attributions they are shares. ``norms`` are of the layer that is set.

    Raises:
        ConfigError: the model does not have the layer.
    """
    views: list[Views] = [{} for _ in sources]
    pairs = extract(decoder, sources, targets, names=list(cross_attentions(decoder.model)), of_words=True)
    for found, attention in zip(views, pairs, strict=True):
        for name in reversed(attention.weights):
            heads = attention.weights[name][:, :-1, :-1]  # without the end of the source, and what predicts that of the target
            if len(heads) == 1:
                found[name] = heads[0]
                continue
            found[f"{name}, mean of heads"] = heads.mean(0)
            found |= {f"{name}, head {head}": each for head, each in enumerate(heads)}
    for method in Attribution:
        if method is Attribution.attention:
            continue
        chosen = dataclasses.replace(config, attribution=method, head=None, shift=False)
        for found, alignment in zip(views, align(decoder, sources, targets, chosen), strict=True):
            if found:
                found[method.name.replace("_", " ")] = alignment.weights
    return views
