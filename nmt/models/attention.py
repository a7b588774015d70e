"""Attention as a configuration names it."""

from __future__ import annotations

from typing import Any

from nmt.attention.coverage import CoverageVector, LinguisticCoverage, NeuralCoverage
from nmt.attention.distributions import SOFTMAX, Distribution, Entmax, SinkSoftmax
from nmt.attention.linear import LinearSelfAttention
from nmt.attention.multihead import CrossAttention, SelfAttention
from nmt.attention.positions import BucketBias, LinearBias, RelativeBias
from nmt.attention.recurrent import RecurrentAttention
from nmt.attention.scopes import Final, LocalMonotonic, LocalPredictive, Scope, Strided, Window
from nmt.attention.scores import (
    AdditiveScore,
    DotScore,
    GeneralScore,
    LocationScore,
    NormedAdditiveScore,
    RecurrentScore,
    ScaledDotScore,
)
from nmt.config import (
    AttentionConfig,
    Coverage,
    Position,
    RecurrentAttentionConfig,
    RecurrentScope,
    Score,
    SelfAttentionConfig,
    SelfScope,
    TransformerConfig,
)
from nmt.config import Distribution as Kind
from nmt.models.layers import init_matrix


def build_distribution(kind: Kind, num_heads: int) -> Distribution:
    """The distribution of so many heads."""
    match kind:
        case Kind.softmax:
            return SOFTMAX
        case Kind.sink | Kind.off_by_one:
            return SinkSoftmax(num_heads, learned=kind is Kind.sink)
        case Kind.sparsemax:
            return Entmax(num_heads, alpha=2.0)
        case Kind.entmax15:
            return Entmax(num_heads, alpha=1.5)
        case Kind.entmax:
            return Entmax(num_heads, alpha=None)


def build_recurrent_attention(
    config: RecurrentAttentionConfig, query_dim: int, value_dim: int, *, backward: bool
) -> RecurrentAttention:
    """Attention of decoder states to encoder states of these widths; ``backward`` is how the encoder read, if it did not read both ways."""
    return RecurrentAttention(
        build_score(config, query_dim, value_dim),
        build_distribution(config.distribution, 1),
        build_scope(config, query_dim, backward=backward),
        config.temperature,
        build_coverage(config, query_dim, value_dim),
    )


def build_score(config: RecurrentAttentionConfig, query_dim: int, value_dim: int) -> RecurrentScore:
    match config.score:
        case Score.additive | Score.concat:
            return AdditiveScore(query_dim, value_dim, config.attention_dim)
        case Score.normed_additive:
            return NormedAdditiveScore(query_dim, value_dim, config.attention_dim)
        case Score.dot:
            return DotScore()
        case Score.scaled_dot | Score.learned_scaled_dot:
            return ScaledDotScore(query_dim, learned=config.score is Score.learned_scaled_dot)
        case Score.general:
            return GeneralScore(query_dim, value_dim)
        case Score.location:
            return LocationScore(query_dim, config.max_length)


def build_scope(config: RecurrentAttentionConfig, query_dim: int, *, backward: bool) -> LocalMonotonic | None:
    match config.scope:
        case RecurrentScope.full:
            return None
        case RecurrentScope.final:
            return Final(backward=backward)
        case RecurrentScope.local_m:
            return LocalMonotonic(config.window)
        case RecurrentScope.local_p:
            return LocalPredictive(query_dim, config.window)


def build_coverage(config: RecurrentAttentionConfig, query_dim: int, value_dim: int) -> CoverageVector | None:
    match config.coverage:
        case Coverage.none:
            return None
        case Coverage.linguistic:
            return LinguisticCoverage(value_dim, config.attention_dim, config.max_fertility)
        case Coverage.neural:
            return NeuralCoverage(query_dim, value_dim, config.attention_dim, config.coverage_dim)


def reset_attention(attention: RecurrentAttention) -> None:
    """Xavier for matrices; v like a row of one. Gains, biases and sinks stay where they begin."""
    for name, parameter in attention.named_parameters():
        if parameter.ndim > 1:
            init_matrix(parameter)
        elif name.endswith(".v"):
            init_matrix(parameter.data[None])


def build_cross_attention(config: AttentionConfig, model: TransformerConfig) -> CrossAttention:
    return CrossAttention(model.model_dim, model.num_heads, **_options(config, model))


def build_self_attention(config: SelfAttentionConfig, model: TransformerConfig, *, causal: bool) -> SelfAttention:
    bias: RelativeBias | None = None
    match model.position:
        case Position.alibi:
            bias = LinearBias(model.num_heads)
        case Position.buckets:
            bias = BucketBias(model.num_heads, causal=causal)
    kind = LinearSelfAttention if config.linear else SelfAttention
    return kind(
        model.model_dim,
        model.num_heads,
        scope=build_self_scope(config, causal=causal),
        rotary=model.position is Position.rotary,
        bias=bias,
        **_options(config, model),
    )


def _options(config: AttentionConfig, model: TransformerConfig) -> dict[str, Any]:
    head_dim = model.model_dim // model.num_heads
    return {
        "dropout_prob": config.dropout,
        "num_kv_heads": config.num_kv_heads,
        "head_dropout": config.head_dropout,
        "gain": (head_dim**0.5 if config.score is Score.dot else 1.0) / config.temperature,
        "learn_gain": config.score is Score.learned_scaled_dot,
        "distribution": build_distribution(config.distribution, model.num_heads),
    }


def build_self_scope(config: SelfAttentionConfig, *, causal: bool) -> Scope:
    match config.scope:
        case SelfScope.full:
            return Scope(causal)
        case SelfScope.window:
            return Window(causal, config.window, config.num_sinks, config.num_global)
        case SelfScope.strided:
            return Strided(causal, config.window)
