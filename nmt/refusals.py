"""Which settings of a model do not go together, and why: one table, which a test walks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from typing import Any

from nmt.config import (
    Coverage,
    Direction,
    Distribution,
    ModelConfig,
    ModelKind,
    Position,
    RecurrentScope,
    Score,
    SelfScope,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a model by its dotted name, and which of its values are meant."""

    name: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Values of two settings that do not go together; models that lack one of them do not have the rule."""

    first: Setting
    second: Setting
    why: str


def of(name: str, *values: Any) -> Setting:
    """One of these values."""
    return Setting(name, lambda value: value in values)


def but(name: str, *values: Any) -> Setting:
    """Any value but these."""
    return Setting(name, lambda value: value not in values)


ADDITIVE_SCORES = (Score.additive, Score.normed_additive, Score.concat)
"""Those with a hidden layer."""

PLACES = ("encoder_self", "decoder_self", "decoder_cross")
SELF_PLACES = PLACES[:2]

_WINDOW = "the window may lie beyond the positions that it knows"
_ENDS = "its encoder reads in both directions and ends nowhere"
_NO_WEIGHTS = "it acts on weights of single positions, which linear attention does not make"
_NO_SCORES = "it acts on scores, which linear attention does not make"

REFUSALS: tuple[Refusal, ...] = (
    Refusal(of("attention.score", Score.location), but("attention.scope", RecurrentScope.full), _WINDOW),
    Refusal(
        but("attention.coverage", Coverage.none),
        but("attention.score", *ADDITIVE_SCORES),
        "a coverage vector enters the hidden layer of an additive score",
    ),
    Refusal(of("attention.scope", RecurrentScope.final), of("encoder_direction", Direction.both), _ENDS),
    Refusal(of("attention.scope", RecurrentScope.final), but("kind", ModelKind.luong), _ENDS),
    Refusal(of("decoder_layers", 1), of("kind", ModelKind.gnmt), "what is attended to is read by the layers above the first"),
    *(
        Refusal(of(f"{place}.score", score), of("kind", ModelKind.transformer), why)
        for place in PLACES
        for score, why in (
            *(
                (score, "it makes a vector for every pair of positions, in `attention_dim` times the memory")
                for score in ADDITIVE_SCORES
            ),
            (Score.general, "its matrix is already in the projections of queries and keys"),
            (Score.location, "it has no keys that heads could share"),
        )
    ),
    *(
        Refusal(but(f"{place}.{name}", 0), but(f"{place}.scope", SelfScope.window), "it belongs to a window")
        for place in SELF_PLACES
        for name in ("num_sinks", "num_global")
    ),
    *(
        Refusal(but(f"{place}.{name}", usual), of(f"{place}.linear", True), _NO_WEIGHTS)
        for place in SELF_PLACES
        for name, usual in (
            ("score", Score.scaled_dot),
            ("distribution", Distribution.softmax),
            ("temperature", 1.0),
            ("scope", SelfScope.full),
            ("dropout", 0.0),
        )
    ),
    *(
        Refusal(of("position", Position.rotary, Position.alibi, Position.buckets), of(f"{place}.linear", True), _NO_SCORES)
        for place in SELF_PLACES
    ),
)


def refusal(model: ModelConfig) -> str | None:
    """Of the settings of a model, what does not go together and why, the first in the table; None where all does."""
    for rule in REFUSALS:
        first, second = _value(model, rule.first.name), _value(model, rule.second.name)
        if first is not _ABSENT and second is not _ABSENT and rule.first.holds(first) and rule.second.holds(second):
            settings = (f"`model.{s.name}={_shown(value)}`" for s, value in ((rule.first, first), (rule.second, second)))
            return f"{' does not go with '.join(settings)}: {rule.why}"
    return None


def unremovable(heads: Collection[int], num_heads: int, num_kv_heads: int) -> str | None:
    """Why an attention of so many heads cannot lose these; None where it can."""
    if absent := sorted(head for head in heads if not 0 <= head < num_heads):
        return f"there is no head {absent[0]}, only 0 to {num_heads - 1}"
    if len(set(heads)) == num_heads:
        return "at least one head must be left"
    groups = [range(first, first + num_heads // num_kv_heads) for first in range(0, num_heads, num_heads // num_kv_heads)]
    left = {sum(head not in heads for head in group) for group in groups}
    if 1 < num_kv_heads < num_heads and len(left) > 1:
        return f"of heads that share keys equally many must be left in each of the {num_kv_heads} groups"
    return None


_ABSENT = object()


def _value(model: ModelConfig, name: str) -> Any:
    value: Any = model
    for key in name.split("."):
        value = getattr(value, key, _ABSENT)
    return value


def _shown(value: Any) -> str:
    if isinstance(value, Enum):
        return value.name
    return str(value).lower() if isinstance(value, bool) else str(value)
