"""Models in which every two settings of attention meet with every two of their values, unless those are refused."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from random import Random

from nmt.config import (
    BahdanauConfig,
    ConditionalGruConfig,
    Coverage,
    Direction,
    Distribution,
    GnmtConfig,
    LuongConfig,
    NormPlacement,
    Position,
    RecurrentScope,
    Score,
    SelfScope,
    StackConfig,
    TransformerConfig,
)
from nmt.refusals import PLACES, SELF_PLACES, refusal

STILL = {"embedding_dropout": 0.0, "context_dropout": 0.0, "output_dropout": 0.0}
SIZES = {"embedding_dim": 13, "hidden_dim": 14, **STILL}
RECURRENT = {
    "kind": [
        BahdanauConfig(**SIZES),
        ConditionalGruConfig(**SIZES),
        LuongConfig(**SIZES),
        GnmtConfig(encoder_layers=2, decoder_layers=2, layer_dropout=0.0, **SIZES),
    ],
    "attention.score": list(Score),
    "attention.distribution": list(Distribution),
    "attention.scope": list(RecurrentScope),
    "attention.coverage": list(Coverage),
    "attention.temperature": [1.0, 0.7],
    "encoder_direction": list(Direction),
    "input_feeding": [True, False],
    "decoder_layers": [1, 2],
}
TRANSFORMER = {
    "kind": [
        TransformerConfig(
            model_dim=24,
            num_heads=4,
            feedforward_dim=29,
            max_positions=5,
            dropout=0.0,
            encoder=StackConfig(num_layers=1),
            decoder=StackConfig(num_layers=2),
        )
    ],
    "position": list(Position),
    "norm": list(NormPlacement),
    **{f"{place}.score": [Score.scaled_dot, Score.dot, Score.learned_scaled_dot] for place in PLACES},
    **{f"{place}.distribution": list(Distribution) for place in PLACES},
    **{f"{place}.temperature": [1.0, 0.7] for place in PLACES},
    **{f"{place}.num_kv_heads": [None, 1, 2] for place in PLACES},
    **{f"{place}.scope": list(SelfScope) for place in SELF_PLACES},
    **{f"{place}.linear": [False, True] for place in SELF_PLACES},
    **{f"{place}.num_sinks": [0, 2] for place in SELF_PLACES},
    **{f"{place}.num_global": [0, 1] for place in SELF_PLACES},
}


def with_setting(model, name, value):
    """A model's configuration with another value of a dotted setting, or as it is where it has none of that name."""
    head, _, rest = name.partition(".")
    if not hasattr(model, head):
        return model
    return replace(model, **{head: with_setting(getattr(model, head), rest, value) if rest else value})


def make(row):
    """The configuration that a row of settings describes."""
    model = row["kind"]
    for name, value in row.items():
        if name != "kind":
            model = with_setting(model, name, value)
    window = {"attention.window": 2, "attention.attention_dim": 11, "attention.max_length": 4, "attention.coverage_dim": 3}
    for name, value in {**window, **{f"{place}.window": 1 for place in SELF_PLACES}}.items():
        model = with_setting(model, name, value)
    return model


def has_setting(model, name):
    head, _, rest = name.partition(".")
    return name == "kind" or (hasattr(model, head) and (not rest or has_setting(getattr(model, head), rest)))


@cache
def covering_sets():
    """Of the recurrent models and of the Transformer, by name."""
    sets = {"recurrent": covering_set(RECURRENT), "transformer": covering_set(TRANSFORMER)}
    return {f"{name}-pairs-{i}": config for name, configs in sets.items() for i, config in enumerate(configs)}


def covering_set(axes, draws=400):
    """Configurations that together have every pair of values of two axes that some configuration may have.

    Each is the best of those drawn at random around the first pair that is left; a pair that none of the draws may have is refused.
    """
    random = Random(1)
    chosen, pairs = [], itertools.combinations(axes.items(), 2)
    left = {((a, i), (b, j)) for (a, of_a), (b, of_b) in pairs for i in range(len(of_a)) for j in range(len(of_b))}
    while left:
        first = min(left)
        best, covered = None, set()
        for _ in range(draws):
            places = {
                name: random.randrange(len(values)) if random.random() < 0.6 else 0 for name, values in axes.items()
            } | dict(first)
            row = {name: axes[name][place] for name, place in places.items()}
            if not all(has_setting(row["kind"], name) for name, _ in first) or refusal(make(row)) is not None:
                continue
            present = [(name, place) for name, place in places.items() if has_setting(row["kind"], name)]
            new = left.intersection(itertools.combinations(present, 2))
            if len(new) > len(covered):
                best, covered = row, new
        left -= covered or {first}
        if best is not None:
            chosen.append(make(best))
    return chosen
