"""The rules that settings must keep, one by one and together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from nmt.config import (
    AlignmentConfig,
    Attribution,
    BahdanauConfig,
    Config,
    FilesDataConfig,
    ModelConfig,
    OptimConfig,
    PlateauConfig,
    Position,
    Precision,
    RecurrentConfig,
    Score,
    SearchConfig,
    SgdConfig,
    TokenizerConfig,
    TokenizerKind,
    TrainConfig,
    TransformerConfig,
    Tying,
    Weights,
)
from nmt.conversion import seconds, suggestion, to_dict
from nmt.errors import ConfigError
from nmt.refusals import PLACES, refusal, unremovable

RANGES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    (("beta1", "beta2", "momentum", "rho"), lambda value: 0 <= value < 1, "at least 0 and below 1"),
    (("learning_rate", "weight_decay", "max_grad_norm", "eps"), lambda value: value >= 0, "at least 0"),
    (("beta2_decay",), lambda value: value <= 0, "at most 0"),
    (("every", "patience", "max_update"), lambda value: value >= 1, "at least 1"),
    (("warmup_steps", "start"), lambda value: value >= 0, "at least 0"),
    (("rate",), lambda value: 0 < value < 1, "above 0 and below 1"),
    (("final_factor",), lambda value: 0 <= value <= 1, "at least 0 and at most 1"),
)
"""What numbers of optimisers and schedules must be, by name."""


DOT_SCORES = (Score.dot, Score.scaled_dot, Score.learned_scaled_dot)
"""Those without a matrix between queries and keys."""

AUTO = "auto"
"""The value of ``train.max_tokens`` that stands for the largest safe one."""


def validate(config: Config) -> None:
    """Check the rules that tie settings together.

    Raises:
        ConfigError: the first rule that is broken.
    """
    validate_name(config.name)
    validate_search(config.search)
    if config.precision is Precision.int8:
        raise ConfigError("`precision=int8` is for `nmt translate` and `nmt evaluate`; a run is trained in fp32, bf16 or fp16")
    _validate_counts(
        {
            "loss.chunk_size": config.loss.chunk_size,
            "data.processes": 1 if config.data.processes is None else config.data.processes,
        }
    )
    if config.loss.alignment_weight < 0:
        raise ConfigError(f"`loss.alignment_weight` must be at least 0, but is {config.loss.alignment_weight}")
    if not 0 <= config.loss.label_smoothing < 1:
        raise ConfigError(f"`loss.label_smoothing` must be at least 0 and below 1, but is {config.loss.label_smoothing}")
    validate_alignment(config.alignment)
    _validate_train(config.train)
    _validate_optim(config.optim)
    _validate_ranges(to_dict(config.schedule), "schedule")
    _validate_model(config.model)
    _validate_tokenizer(config.tokenizer)
    _validate_together(config)


def _validate_guided(config: Config) -> None:
    """What guided alignment asks for."""
    data = config.data
    if isinstance(data, FilesDataConfig) and not (data.alignment or any(part.alignment for part in data.corpora.values())):
        raise ConfigError("`loss.alignment_weight` needs `data.alignment`, a file with the word links of the training text")
    if config.alignment.attribution is not Attribution.attention:
        raise ConfigError("`loss.alignment_weight` guides attention, so `alignment.attribution` must be attention")
    if config.tokenizer.sampling_alpha is not None:
        raise ConfigError("`loss.alignment_weight` guides the attention of pieces, so `tokenizer.sampling_alpha` must be null")
    if config.train.recompute:
        raise ConfigError("`loss.alignment_weight` needs weights of the forward pass, which `train.recompute` does not keep")


def _validate_together(config: Config) -> None:
    """What one part of the settings asks of another."""
    train, model, schedule = config.train, config.model, config.schedule
    if config.loss.alignment_weight:
        _validate_guided(config)
    if config.evaluation.weights is Weights.ema and train.ema_decay is None:
        raise ConfigError("`evaluation.weights=ema` needs `train.ema_decay`, which keeps a moving average of the weights")
    if train.recompute and not isinstance(model, TransformerConfig):
        raise ConfigError(
            f"`train.recompute` is for `model=transformer`, but the model is {model.kind.name}: its layers run through the sentence "
            "step by step, so that none has an input that all the rest could be computed from"
        )
    if isinstance(schedule, PlateauConfig) and train.patience is not None and schedule.patience >= train.patience:
        raise ConfigError(
            f"`schedule.patience` must be below `train.patience` ({train.patience}), which ends training, but is {schedule.patience}"
        )
    if model.tying is Tying.three_way and not config.tokenizer.joint:
        raise ConfigError(
            "`model.tying=three_way` ties source to target embeddings, which `tokenizer.joint=false` does not allow"
        )


def token_budget(train: TrainConfig) -> int:
    """``train.max_tokens`` as the number that it is once a run has begun.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(train.max_tokens, str):
        raise ConfigError(f"`train.max_tokens` must be a number or `{AUTO}`, but is {train.max_tokens!r}")
    return train.max_tokens


def validate_name(name: str) -> None:
    """Check the name of a folder that a run or one of its commands makes.

    Raises:
        ConfigError: it is too long, or could lead elsewhere.
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name) or name.startswith("."):
        raise ConfigError(f"`name` must be 1 to 64 letters, digits, `.`, `_` or `-` and not begin with `.`, but is {name!r}")


def validate_search(search: SearchConfig) -> None:
    """Check the settings of a search.

    Raises:
        ConfigError: the first rule that is broken.
    """
    _validate_counts(
        {
            "search.beam_size": search.beam_size,
            "search.num_best": search.num_best,
            "search.max_source_length": search.max_source_length,
            "search.max_sentences": search.max_sentences,
        }
    )
    for name in ("length_penalty", "coverage_penalty", "min_length", "no_repeat_ngram", "top_k"):
        if getattr(search, name) < 0:
            raise ConfigError(f"`search.{name}` must be at least 0, but is {getattr(search, name)}")
    if search.temperature <= 0:
        raise ConfigError(f"`search.temperature` must be above 0, but is {search.temperature}")
    if not 0 < search.top_p <= 1:
        raise ConfigError(f"`search.top_p` must be above 0 and at most 1, but is {search.top_p}")
    if search.sample:
        if search.coverage_penalty:
            raise ConfigError("`search.coverage_penalty` ranks what a beam has found: with `search.sample` it must be 0")
        return
    if search.num_best > search.beam_size:
        raise ConfigError(f"`search.num_best` must be at most `search.beam_size` ({search.beam_size}), but is {search.num_best}")
    for name, off in (("temperature", 1.0), ("top_k", 0), ("top_p", 1.0)):
        if getattr(search, name) != off:
            raise ConfigError(f"`search.{name}` is for `search.sample=true`, but is {getattr(search, name)}")


def validate_alignment(alignment: AlignmentConfig) -> None:
    """Check the settings of an alignment.

    Raises:
        ConfigError: the threshold is no weight, a number is below 0, or a setting is not one of the attribution's.
    """
    for name in ("num_heatmaps", "num_erased", "num_diagnosed"):
        if getattr(alignment, name) < 0:
            raise ConfigError(f"`alignment.{name}` must be at least 0, but is {getattr(alignment, name)}")
    attribution = alignment.attribution
    if alignment.shift and attribution not in (Attribution.attention, Attribution.norms):
        raise ConfigError(
            f"`alignment.shift` is for attention and its norms; `alignment.attribution={attribution.name}` is about a prediction"
        )
    if alignment.head is not None and attribution is not Attribution.attention:
        raise ConfigError(f"`alignment.head` is for attention; `alignment.attribution={attribution.name}` is about all heads")
    if not 0 < alignment.threshold <= 1:
        raise ConfigError(f"`alignment.threshold` must be above 0 and at most 1, but is {alignment.threshold}")


def _validate_train(train: TrainConfig) -> None:
    at_least_one = {
        "train.max_tokens": 1 if train.max_tokens == AUTO else token_budget(train),
        "train.microbatches": train.microbatches,
        "train.validate_every": train.validate_every,
        "train.save_every": 1 if train.save_every is None else train.save_every,
        "train.log_every": train.log_every,
        "train.keep_last": train.keep_last,
        "train.average_last": train.average_last,
        "train.max_bad_steps": train.max_bad_steps,
    }
    _validate_counts(at_least_one)
    if train.average_last > train.keep_last:
        raise ConfigError(
            f"`train.average_last` must be at most `train.keep_last` ({train.keep_last}), but is {train.average_last}"
        )
    if train.ema_decay is not None and not 0 < train.ema_decay < 1:
        raise ConfigError(f"`train.ema_decay` must be above 0 and below 1, or null, but is {train.ema_decay}")
    seconds(train.max_time)
    if train.max_steps is train.max_epochs is train.max_time is train.patience is None:
        raise ConfigError("training has no end: set `train.max_steps`, `train.max_epochs`, `train.max_time` or `train.patience`")


def _validate_model(model: ModelConfig) -> None:
    _validate_sizes(to_dict(model), "model")
    if isinstance(model, TransformerConfig):
        if model.model_dim % model.num_heads:
            raise ConfigError(
                f"`model.model_dim` must be a multiple of `model.num_heads` ({model.num_heads}), but is {model.model_dim}"
            )
        if model.model_dim % 2:
            raise ConfigError(f"`model.model_dim` must be even (sine and cosine positions), but is {model.model_dim}")
        head_dim = model.model_dim // model.num_heads
        if model.position is Position.rotary and head_dim % 2:
            raise ConfigError(f"`model.position=rotary` turns pairs, but a head has {head_dim} dimensions")
        for place in PLACES:
            shared = getattr(model, place).num_kv_heads
            if shared is not None and model.num_heads % shared:
                raise ConfigError(
                    f"`model.num_heads` ({model.num_heads}) must be a multiple of `model.{place}.num_kv_heads`, which is {shared}"
                )
    if isinstance(model, RecurrentConfig):
        if model.hidden_dim % 2:
            raise ConfigError(f"`model.hidden_dim` must be even (two directions of the encoder), but is {model.hidden_dim}")
        if isinstance(model, BahdanauConfig) and model.encoder_dim is not None:
            if model.encoder_dim % 2:
                raise ConfigError(f"`model.encoder_dim` must be even (two directions of the encoder), but is {model.encoder_dim}")
            if model.encoder_dim != model.hidden_dim and model.attention.score in DOT_SCORES:
                raise ConfigError(
                    f"`model.attention.score={model.attention.score.name}` multiplies states of one width: `model.encoder_dim` must be "
                    f"`model.hidden_dim` ({model.hidden_dim}), but is {model.encoder_dim}"
                )
        if model.attention.max_fertility <= 0:
            raise ConfigError(f"`model.attention.max_fertility` must be above 0, but is {model.attention.max_fertility}")
    if isinstance(model, TransformerConfig):
        _validate_pruned_heads(model)
    if why := refusal(model):
        raise ConfigError(why)


def _validate_pruned_heads(model: TransformerConfig) -> None:
    places = {
        "encoder.self": (model.encoder_self, model.encoder),
        "decoder.self": (model.decoder_self, model.decoder),
        "decoder.cross": (model.decoder_cross, model.decoder),
    }
    attentions = {f"{place}.{i}": attention for place, (attention, stack) in places.items() for i in range(stack.num_layers)}
    for name, heads in model.pruned_heads.items():
        key = f"`model.pruned_heads.{name}`"
        if name not in attentions:
            raise ConfigError(f"{key} is no attention of the model{suggestion(name, attentions)}")
        if why := unremovable(heads, model.num_heads, attentions[name].num_kv_heads or model.num_heads):
            raise ConfigError(f"{key} cannot be {heads}: {why}")


def _validate_tokenizer(tokenizer: TokenizerConfig) -> None:
    if tokenizer.joint and (tokenizer.target_vocab_size or tokenizer.target_model):
        raise ConfigError("`tokenizer.target_vocab_size` and `tokenizer.target_model` need `tokenizer.joint=false`")
    if not tokenizer.joint and bool(tokenizer.model) != bool(tokenizer.target_model):
        raise ConfigError("with `tokenizer.joint=false`, `tokenizer.model` and `tokenizer.target_model` must be given together")
    if tokenizer.sampling_alpha is not None:
        if tokenizer.kind in (TokenizerKind.char, TokenizerKind.word) and not tokenizer.model:
            raise ConfigError(
                f"`tokenizer.sampling_alpha` draws pieces, of which `tokenizer.kind={tokenizer.kind.name}` has no choice"
            )
        if not 0 < tokenizer.sampling_alpha < 1:
            raise ConfigError(f"`tokenizer.sampling_alpha` must be above 0 and below 1, but is {tokenizer.sampling_alpha}")


def _validate_optim(optim: OptimConfig) -> None:
    _validate_ranges(to_dict(optim), "optim")
    if isinstance(optim, SgdConfig) and optim.nesterov and not optim.momentum:
        raise ConfigError("`optim.nesterov` needs `optim.momentum` above 0")


def _validate_ranges(values: Mapping[str, Any], path: str) -> None:
    for name, value in values.items():
        for names, holds, words in RANGES:
            if name in names and not holds(value):
                raise ConfigError(f"`{path}.{name}` must be {words}, but is {value}")


def _validate_counts(counts: Mapping[str, int]) -> None:
    for key, number in counts.items():
        if number < 1:
            raise ConfigError(f"`{key}` must be at least 1, but is {number}")


def _validate_sizes(values: Mapping[str, Any], path: str) -> None:
    """Widths, counts and lengths are at least 1, temperatures above 0, dropout is a probability."""
    for name, value in values.items():
        key = f"{path}.{name}"
        if isinstance(value, Mapping):
            _validate_sizes(value, key)
        elif value is None:
            continue
        elif name.endswith(("_dim", "_layers", "_heads", "max_length", "max_positions", "window")) and value < 1:
            raise ConfigError(f"`{key}` must be at least 1, but is {value}")
        elif name in ("num_sinks", "num_global") and value < 0:
            raise ConfigError(f"`{key}` must be at least 0, but is {value}")
        elif name == "temperature" and value <= 0:
            raise ConfigError(f"`{key}` must be above 0, but is {value}")
        elif name.endswith("dropout") and not 0 <= value < 1:
            raise ConfigError(f"`{key}` must be at least 0 and below 1, but is {value}")
