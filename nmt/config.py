"""Every option of the trainer, as dataclasses, and the rules that they must keep.

Hydra composes these from ``conf/``; below the commands a configuration is nothing but these objects, and what is stored with a
run is the plain dictionary that :func:`to_dict` makes of them. A stored configuration is data: reading it back with
:func:`from_dict` can build nothing but the classes of this file. Imports nothing beyond the standard library, so that a misspelt key
is refused before torch is loaded.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from nmt.errors import UserError


class ConfigError(UserError):
    """A setting that cannot be used; the message names the key, the rule and the value."""


class Device(Enum):
    """Where a model runs; ``auto`` is CUDA where there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(Enum):
    """Number format of the matrix products; ``auto`` is bf16 where the hardware multiplies it, otherwise fp32.

    ``int8`` is for translating on the CPU with a model that is trained.
    """

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    int8 = "int8"


class DataKind(Enum):
    builtin = "builtin"
    files = "files"


class ModelKind(Enum):
    bahdanau = "bahdanau"
    luong = "luong"
    transformer = "transformer"


class TokenizerKind(Enum):
    unigram = "unigram"
    bpe = "bpe"


class Score(Enum):
    """Compatibility of a query with a key, before the distribution."""

    additive = "additive"
    dot = "dot"
    general = "general"
    concat = "concat"


class NormPlacement(Enum):
    pre = "pre"
    post = "post"


class Tying(Enum):
    """Which embedding matrices are one: none, target input with output (2-way), or source too (3-way)."""

    none = "none"
    two_way = "two_way"
    three_way = "three_way"


class OptimKind(Enum):
    adam = "adam"
    adamw = "adamw"
    muon = "muon"


class ScheduleKind(Enum):
    constant = "constant"
    inverse_sqrt = "inverse_sqrt"
    warmup_stable_decay = "warmup_stable_decay"


class Metric(Enum):
    """What decides which checkpoint is best and when patience ends."""

    bleu = "bleu"
    nll = "nll"


class Weights(Enum):
    """Which weights of a finished run are meant: of the best validation, the newest, or the mean of the newest k."""

    best = "best"
    latest = "latest"
    average = "average"


class LinkMethod(Enum):
    """How word links are read from attention: see :mod:`nmt.alignment.links`."""

    argmax = "argmax"
    mutual = "mutual"


class ProgressStyle(Enum):
    """A live bar, one plain line an interval, or the bar only where standard error is a terminal (``auto``)."""

    auto = "auto"
    live = "live"
    plain = "plain"


@dataclass(kw_only=True, slots=True)
class CleaningConfig:
    """Lengths are in whitespace-separated words; a ratio is the longer side's length over the shorter one's."""

    max_length: int = 200
    max_ratio: float = 9.0
    deduplicate: bool = True
    remove_overlap: bool = True


@dataclass(kw_only=True, slots=True)
class DataConfig:
    kind: DataKind
    source_language: str | None = None
    target_language: str | None = None
    store_dir: str = "outputs/store"
    cleaning: CleaningConfig = field(default_factory=CleaningConfig)


@dataclass(kw_only=True, slots=True)
class BuiltinDataConfig(DataConfig):
    """The built-in English-German corpus; sizes are numbers of sentence pairs."""

    kind: DataKind = DataKind.builtin
    train_size: int = 60_000
    dev_size: int = 1_000
    test_size: int = 1_000


@dataclass(kw_only=True, slots=True)
class FilesDataConfig(DataConfig):
    """Line-aligned text files, plain or gzip.

    Languages default to the suffixes of ``source`` and ``target``. Where ``dev_*`` or ``test_*`` are not given, ``dev_size`` and
    ``test_size`` pairs are split off the training text with the run's seed. ``hub_name`` (a dataset of the hub, or a local folder
    that ``datasets`` reads) is used when the files are absent; its columns are named by the languages.
    """

    kind: DataKind = DataKind.files
    source: str | None = None
    target: str | None = None
    dev_source: str | None = None
    dev_target: str | None = None
    test_source: str | None = None
    test_target: str | None = None
    test_alignment: str | None = None
    dev_size: int = 1_000
    test_size: int = 1_000
    hub_name: str | None = None
    hub_revision: str | None = None


@dataclass(kw_only=True, slots=True)
class TokenizerConfig:
    kind: TokenizerKind = TokenizerKind.unigram
    vocab_size: int = 8_000
    character_coverage: float = 1.0


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    kind: ModelKind
    tying: Tying = Tying.three_way


@dataclass(kw_only=True, slots=True)
class RecurrentAttentionConfig:
    """``attention_dim`` is the inner width of the additive and concat scores; dot and general have none."""

    score: Score = Score.additive
    attention_dim: int = 256


@dataclass(kw_only=True, slots=True)
class RecurrentConfig(ModelConfig):
    """What both recurrent wirings share. ``hidden_dim`` is the decoder's width; a direction of the encoder has half of it."""

    embedding_dim: int = 256
    hidden_dim: int = 512
    encoder_layers: int = 1
    embedding_dropout: float = 0.1
    context_dropout: float = 0.0
    output_dropout: float = 0.1
    attention: RecurrentAttentionConfig = field(default_factory=RecurrentAttentionConfig)


@dataclass(kw_only=True, slots=True)
class BahdanauConfig(RecurrentConfig):
    """Bahdanau et al. 2015: GRU, query = previous state, maxout readout of width ``embedding_dim``."""

    kind: ModelKind = ModelKind.bahdanau


@dataclass(kw_only=True, slots=True)
class LuongConfig(RecurrentConfig):
    """Luong et al. 2015: LSTM, query = current state, attentional state of width ``embedding_dim``."""

    kind: ModelKind = ModelKind.luong
    decoder_layers: int = 1
    input_feeding: bool = True
    attention: RecurrentAttentionConfig = field(default_factory=lambda: RecurrentAttentionConfig(score=Score.general))


@dataclass(kw_only=True, slots=True)
class StackConfig:
    num_layers: int = 3


@dataclass(kw_only=True, slots=True)
class AttentionConfig:
    """One place of attention in the Transformer; ``dropout`` acts on its weights."""

    dropout: float = 0.0


@dataclass(kw_only=True, slots=True)
class TransformerConfig(ModelConfig):
    """Vaswani et al. 2017. ``dropout`` acts on embeddings and on every sub-layer's output."""

    kind: ModelKind = ModelKind.transformer
    model_dim: int = 256
    num_heads: int = 4
    feedforward_dim: int = 1024
    norm: NormPlacement = NormPlacement.pre
    dropout: float = 0.1
    feedforward_dropout: float = 0.0
    encoder: StackConfig = field(default_factory=StackConfig)
    decoder: StackConfig = field(default_factory=StackConfig)
    encoder_self: AttentionConfig = field(default_factory=AttentionConfig)
    decoder_self: AttentionConfig = field(default_factory=AttentionConfig)
    decoder_cross: AttentionConfig = field(default_factory=AttentionConfig)


@dataclass(kw_only=True, slots=True)
class LossConfig:
    """``chunk_size`` is the number of target positions whose logits exist at a time."""

    label_smoothing: float = 0.1
    chunk_size: int = 512


@dataclass(kw_only=True, slots=True)
class OptimConfig:
    """``momentum`` is muon's, for matrices; betas and ``eps`` are Adam's, which muon uses for embeddings, biases and norms."""

    kind: OptimKind = OptimKind.adam
    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-8
    momentum: float = 0.95
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0


@dataclass(kw_only=True, slots=True)
class ScheduleConfig:
    """``decay_steps`` is the length of the final decay of ``warmup_stable_decay``, which ends at ``train.max_steps``."""

    kind: ScheduleKind = ScheduleKind.inverse_sqrt
    warmup_steps: int = 500
    decay_steps: int = 0


@dataclass(kw_only=True, slots=True)
class TrainConfig:
    """When training stops (the first limit reached wins) and how often it is looked at; all counts are updates but where said.

    ``max_tokens`` bounds the padded positions of either side of a micro-batch; ``microbatches`` of them make an update.
    ``max_time`` is training time over all resumes, in seconds or as ``90s``, ``20m``, ``1h30m``. ``patience`` counts validations
    without a better ``metric``. ``keep_last`` checkpoints stay beside the best; ``average_last`` of them are averaged at the end.
    Checkpoints are written after validations, at the end, and, where ``save_every`` is given, after every so many updates.
    ``profile_updates`` of a copy of the model are made and profiled before training begins.
    """

    max_steps: int | None = None
    max_epochs: int | None = None
    max_time: int | str | None = None
    patience: int | None = None
    max_tokens: int = 4_096
    microbatches: int = 1
    validate_every: int = 500
    save_every: int | None = None
    log_every: int = 50
    metric: Metric = Metric.bleu
    keep_last: int = 3
    average_last: int = 1
    max_bad_steps: int = 10
    profile_updates: int = 0


@dataclass(kw_only=True, slots=True)
class SearchConfig:
    """Beam search; ``beam_size`` 1 is greedy.

    Hypotheses are ranked by log-probability / length ** ``length_penalty``. A hypothesis has at most
    ``max_length_ratio`` * source pieces + ``max_length_offset`` pieces. ``max_sentences`` bounds a batch.
    """

    beam_size: int = 5
    length_penalty: float = 1.0
    max_length_ratio: float = 2.0
    max_length_offset: int = 10
    max_sentences: int = 64


@dataclass(kw_only=True, slots=True)
class EvaluationConfig:
    """``lc_tok`` adds BLEU of lower-cased, Moses-tokenised text, for comparison with papers; it needs the extra ``moses``."""

    weights: Weights = Weights.best
    lc_tok: bool = False


@dataclass(kw_only=True, slots=True)
class AlignmentConfig:
    """Which attention is read, decoder layer (negative counts from the top) and head (null: their mean), and how links are read
    from it."""

    layer: int = -1
    head: int | None = None
    method: LinkMethod = LinkMethod.mutual
    num_heatmaps: int = 10


@dataclass(kw_only=True, slots=True)
class TrackingConfig:
    progress: ProgressStyle = ProgressStyle.auto
    tensorboard: bool = True
    num_samples: int = 4


@dataclass(kw_only=True, slots=True)
class Config:
    """A whole run. ``name`` is its folder under ``output_dir``."""

    name: str = "run"
    output_dir: str = "outputs"
    seed: int = 1
    device: Device = Device.auto
    precision: Precision = Precision.auto
    threads: int | None = None
    fresh: bool = False
    data: DataConfig
    model: ModelConfig
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


@dataclass(kw_only=True, slots=True)
class SearchOverrides:
    """Settings of the search to use instead of a run's own; null keeps the run's."""

    beam_size: int | None = None
    length_penalty: float | None = None
    max_length_ratio: float | None = None
    max_length_offset: int | None = None
    max_sentences: int | None = None


@dataclass(kw_only=True, slots=True)
class RunCommand:
    """What every command on a finished run takes: the run's folder, and settings laid over those that it was made with."""

    run: str
    weights: Weights | None = None
    device: Device = Device.auto
    precision: Precision | None = None
    threads: int | None = None
    search: SearchOverrides = field(default_factory=SearchOverrides)


@dataclass(kw_only=True, slots=True)
class EvaluateCommand(RunCommand):
    """``source`` and ``target`` name another test set than the run's own; ``name`` is its folder under ``evaluation/``."""

    name: str = "test"
    source: str | None = None
    target: str | None = None


@dataclass(kw_only=True, slots=True)
class TranslateCommand(RunCommand):
    """Standard input and output where no files are named."""

    input: str | None = None
    output: str | None = None


@dataclass(kw_only=True, slots=True)
class AlignCommand(RunCommand):
    """``source``, ``target`` and gold ``links`` name other pairs than the run's test set; ``name`` is their folder under
    ``alignment/``. ``layer``, ``head``, ``method`` and ``num_heatmaps`` stand in for the run's own settings."""

    name: str = "test"
    source: str | None = None
    target: str | None = None
    links: str | None = None
    layer: int | None = None
    head: int | None = None
    method: LinkMethod | None = None
    num_heatmaps: int | None = None


VARIANTS: dict[type, dict[Enum, type]] = {
    DataConfig: {DataKind.builtin: BuiltinDataConfig, DataKind.files: FilesDataConfig},
    ModelConfig: {
        ModelKind.bahdanau: BahdanauConfig,
        ModelKind.luong: LuongConfig,
        ModelKind.transformer: TransformerConfig,
    },
}
"""The classes that ``kind`` chooses between, by the base class that a field is declared with."""

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """The plain dictionary of a configuration: nested dictionaries, numbers, strings; enums by name."""
    result: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            value = to_dict(value)
        elif isinstance(value, Enum):
            value = value.name
        result[f.name] = value
    return result


def from_dict(cls: type[T], values: Mapping[str, Any], path: str = "") -> T:
    """The configuration that a plain dictionary describes; the inverse of :func:`to_dict`.

    Raises:
        ConfigError: an unknown key or choice (with the nearest known one), a missing key, or a value of the wrong type.
    """
    prefix = f"{path}." if path else ""
    if cls in VARIANTS:
        variants = VARIANTS[cls]
        kind = _convert(type(next(iter(variants))), values.get("kind"), f"{prefix}kind")
        cls = variants[kind]
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in names:
            raise ConfigError(f"`{prefix}{key}` is not a setting{suggestion(str(key), names)}")
    try:
        return cls(**{key: _convert(hints[key], value, f"{prefix}{key}") for key, value in values.items()})
    except TypeError as error:
        missing = re.findall(r"'(\w+)'", str(error))
        raise ConfigError(f"missing: {', '.join(f'`{prefix}{name}`' for name in missing)}") from None


def suggestion(word: str, choices: Iterable[str]) -> str:
    """``; did you mean `nearest`?``, or nothing where no choice is near."""
    near = difflib.get_close_matches(word, list(choices), n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _convert(hint: Any, value: Any, key: str) -> Any:
    """``value`` as the type that ``hint`` asks for."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return None
    for option in options:
        if dataclasses.is_dataclass(option):
            if isinstance(value, Mapping):
                return from_dict(typing.cast(type, option), value, key)
        elif isinstance(option, type) and issubclass(option, Enum):
            if isinstance(value, option):
                return value
            names = [member.name for member in option]
            if isinstance(value, str):
                if value in names:
                    return option[value]
                raise ConfigError(f"`{key}` must be one of {', '.join(names)}, but is {value!r}{suggestion(value, names)}")
        elif option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        elif isinstance(value, option) and (option is bool or not isinstance(value, bool)):
            return value
    wanted = " or ".join("null" if option is type(None) else option.__name__ for option in options)
    raise ConfigError(f"`{key}` must be {wanted}, but is {value!r}")


def validate(config: Config) -> None:
    """Check the rules that tie settings together.

    Raises:
        ConfigError: the first rule that is broken.
    """
    train, model = config.train, config.model
    validate_name(config.name)
    validate_search(config.search)
    at_least_one = {
        "train.max_tokens": train.max_tokens,
        "train.microbatches": train.microbatches,
        "train.validate_every": train.validate_every,
        "train.save_every": 1 if train.save_every is None else train.save_every,
        "train.log_every": train.log_every,
        "train.keep_last": train.keep_last,
        "train.average_last": train.average_last,
        "train.max_bad_steps": train.max_bad_steps,
        "loss.chunk_size": config.loss.chunk_size,
    }
    _validate_counts(at_least_one)
    if config.precision is Precision.int8:
        raise ConfigError("`precision=int8` is for `nmt translate` and `nmt evaluate`; a run is trained in fp32 or bf16")
    if not 0 <= config.loss.label_smoothing < 1:
        raise ConfigError(f"`loss.label_smoothing` must be at least 0 and below 1, but is {config.loss.label_smoothing}")
    if train.average_last > train.keep_last:
        raise ConfigError(
            f"`train.average_last` must be at most `train.keep_last` ({train.keep_last}), but is {train.average_last}"
        )
    seconds(train.max_time)
    if train.max_steps is train.max_epochs is train.max_time is train.patience is None:
        raise ConfigError("training has no end: set `train.max_steps`, `train.max_epochs`, `train.max_time` or `train.patience`")
    _validate_sizes(to_dict(model), "model")
    if isinstance(model, TransformerConfig):
        if model.model_dim % model.num_heads:
            raise ConfigError(
                f"`model.model_dim` must be a multiple of `model.num_heads` ({model.num_heads}), but is {model.model_dim}"
            )
        if model.model_dim % 2:
            raise ConfigError(f"`model.model_dim` must be even (sine and cosine positions), but is {model.model_dim}")
    if isinstance(model, RecurrentConfig) and model.hidden_dim % 2:
        raise ConfigError(f"`model.hidden_dim` must be even (two directions of the encoder), but is {model.hidden_dim}")


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
    _validate_counts({"search.beam_size": search.beam_size, "search.max_sentences": search.max_sentences})
    if search.length_penalty < 0:
        raise ConfigError(f"`search.length_penalty` must be at least 0, but is {search.length_penalty}")


def _validate_counts(counts: Mapping[str, int]) -> None:
    for key, number in counts.items():
        if number < 1:
            raise ConfigError(f"`{key}` must be at least 1, but is {number}")


def _validate_sizes(values: Mapping[str, Any], path: str) -> None:
    """Widths and counts are at least 1, dropout is a probability."""
    for name, value in values.items():
        key = f"{path}.{name}"
        if isinstance(value, Mapping):
            _validate_sizes(value, key)
        elif name.endswith(("_dim", "_layers", "num_heads")) and value < 1:
            raise ConfigError(f"`{key}` must be at least 1, but is {value}")
        elif name.endswith("dropout") and not 0 <= value < 1:
            raise ConfigError(f"`{key}` must be at least 0 and below 1, but is {value}")


def seconds(value: int | str | None) -> float | None:
    """``90``, ``"90s"``, ``"20m"``, ``"1h30m"`` as seconds.

    Raises:
        ConfigError: the text is no such time.
    """
    if value is None:
        return None
    if isinstance(value, int):
        return float(value)
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", value.strip())
    if not match or not value.strip():
        raise ConfigError(f"`train.max_time` must be seconds or a time such as 90s, 20m or 1h30m, but is {value!r}")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + rest)
