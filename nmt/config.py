"""Every option of the trainer, as dataclasses with their defaults.

Hydra composes these from ``conf/``; below the commands a configuration is nothing but these objects. :mod:`nmt.conversion` makes them of
plain dictionaries and back, :mod:`nmt.rules` says which values go together. The three import nothing beyond the standard library, so that a
misspelt key is refused before torch is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Device(Enum):
    """Where a model runs; ``auto`` is CUDA where there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(Enum):
    """Number format of the matrix products; ``auto`` is bf16 where the hardware multiplies it, otherwise fp32.

    ``fp16`` is for GPUs that do not multiply bf16; losses are scaled while it trains. Most CPUs are very slow at it. ``int8`` is for
    translating on the CPU with a model that is trained.
    """

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


class DataKind(Enum):
    builtin = "builtin"
    files = "files"


class TextFormat(Enum):
    """How a file holds both sides of a text; ``auto`` goes by its suffix."""

    auto = "auto"
    tsv = "tsv"
    jsonl = "jsonl"
    parquet = "parquet"
    tmx = "tmx"
    po = "po"


class InvalidUtf8(Enum):
    """What becomes of training pairs with bytes that are no UTF-8: they are an error, or they are dropped and counted."""

    error = "error"
    drop = "drop"


class Overlap(Enum):
    """Which training pairs count as known from dev and test: none, those that are there, or those of which a side is there."""

    none = "none"
    pair = "pair"
    side = "side"


class Difficulty(Enum):
    """How much of the word order the sentences of the built-in corpus change: none, all kinds of it, or much of it throughout."""

    monotone = "monotone"
    mixed = "mixed"
    reordered = "reordered"


class ModelKind(Enum):
    bahdanau = "bahdanau"
    conditional_gru = "conditional_gru"
    luong = "luong"
    gnmt = "gnmt"
    transformer = "transformer"


class TokenizerKind(Enum):
    unigram = "unigram"
    bpe = "bpe"
    char = "char"
    word = "word"


class Score(Enum):
    """Compatibility of a query with a key, before the distribution; see :mod:`nmt.attention.scores`."""

    additive = "additive"
    normed_additive = "normed_additive"
    concat = "concat"
    dot = "dot"
    scaled_dot = "scaled_dot"
    learned_scaled_dot = "learned_scaled_dot"
    general = "general"
    location = "location"


class Distribution(Enum):
    """What scores become: softmax; softmax over one position more that has no value, whose logit is learned (sink) or 0 (off_by_one); or
    with exact zeros, alpha-entmax with an alpha of 2 (sparsemax), of 1.5 (entmax15), or learned for each head (entmax)."""

    softmax = "softmax"
    sink = "sink"
    off_by_one = "off_by_one"
    sparsemax = "sparsemax"
    entmax15 = "entmax15"
    entmax = "entmax"


class Direction(Enum):
    """How a recurrent encoder reads: half of its width each way, or all of it forward, or all of it backward (a reversed source)."""

    both = "both"
    forward = "forward"
    backward = "backward"


class RecurrentScope(Enum):
    """Which source positions a recurrent decoder looks at: all (Luong's global), the one that the encoder read last (which is no attention
    at all), a window round the target's own position (local_m) or round one that is predicted (local_p)."""

    full = "full"
    final = "final"
    local_m = "local_m"
    local_p = "local_p"


class Coverage(Enum):
    """What a recurrent decoder remembers of where it has looked: nothing, how much of each word's fertility is used up, or what a recurrent
    network makes of it; see :mod:`nmt.attention.coverage`."""

    none = "none"
    linguistic = "linguistic"
    neural = "neural"


class Position(Enum):
    """How a Transformer knows positions: from vectors that are added to embeddings, sinusoidal or learned; or in its self-attention, by
    turned queries and keys (rotary), or scores that fall with the distance (alibi) or depend on its bucket (buckets, T5's)."""

    sinusoidal = "sinusoidal"
    learned = "learned"
    rotary = "rotary"
    alibi = "alibi"
    buckets = "buckets"


class SelfScope(Enum):
    """Which positions of its sentence a Transformer's self-attention looks at: all, those in a window, or besides those at strides as long
    as it; in a decoder none of what comes later."""

    full = "full"
    window = "window"
    strided = "strided"


class InitialWeights(Enum):
    """How the weights of a recurrent model are drawn: orthogonal and Xavier, which suits Adam, or as the paper did."""

    usual = "usual"
    paper = "paper"


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
    radam = "radam"
    adafactor = "adafactor"
    muon = "muon"
    adagrad = "adagrad"
    adadelta = "adadelta"
    sgd = "sgd"


class ScheduleKind(Enum):
    constant = "constant"
    inverse_sqrt = "inverse_sqrt"
    warmup_stable_decay = "warmup_stable_decay"
    linear = "linear"
    cosine = "cosine"
    exponential = "exponential"
    plateau = "plateau"


class Metric(Enum):
    """What decides which checkpoint is best and when patience ends."""

    bleu = "bleu"
    nll = "nll"


class Weights(Enum):
    """Which weights of a finished run are meant: of the best validation, the newest, the mean of the newest k, or the moving average
    that ``train.ema_decay`` asks for, of the best validation."""

    best = "best"
    latest = "latest"
    average = "average"
    ema = "ema"


class MetricName(Enum):
    """How translations are scored."""

    bleu = "bleu"
    chrf = "chrf"
    chrfpp = "chrfpp"
    ter = "ter"
    bleu_lc_tok = "bleu_lc_tok"


class Attribution(Enum):
    """What says how much each source piece has to do with a target piece: see :mod:`nmt.alignment.attribution`."""

    attention = "attention"
    norms = "norms"
    rollout = "rollout"
    gradient_attention = "gradient_attention"
    input_gradient = "input_gradient"


class LinkMethod(Enum):
    """How word links are read from attention: see :mod:`nmt.alignment.links`."""

    argmax = "argmax"
    mutual = "mutual"
    threshold = "threshold"


class Picture(Enum):
    """The file format of heatmaps."""

    png = "png"
    svg = "svg"


class Symmetrization(Enum):
    """How links of two directions become one alignment: see :mod:`nmt.alignment.symmetrization`."""

    intersection = "intersection"
    union = "union"
    grow_diag = "grow_diag"
    grow_diag_final_and = "grow_diag_final_and"


class LongLines(Enum):
    """What is done to a source line of more than ``max_source_length`` pieces: see :mod:`nmt.decoding.long_lines`."""

    keep = "keep"
    truncate = "truncate"
    split = "split"


class ProgressStyle(Enum):
    """A live bar, one plain line an interval, or the bar only where standard error is a terminal (``auto``)."""

    auto = "auto"
    live = "live"
    plain = "plain"


@dataclass(kw_only=True, slots=True)
class NormalizationConfig:
    """What is done to text before it is cut into pieces, besides what is always done (:mod:`nmt.data.normalization`).

    ``punctuation`` and ``tokenize`` are those of Moses and need the extra ``moses``; what was tokenized is joined again when a model has
    written it. ``lowercase`` cannot be undone.
    """

    punctuation: bool = False
    tokenize: bool = False
    lowercase: bool = False


@dataclass(kw_only=True, slots=True)
class CleaningConfig:
    """Which training pairs are dropped; null and false switch a rule off.

    Lengths are in words; where words are written without blanks between them (Chinese, Thai, ...), a few characters are one. A ratio is
    the longer side's length over the shorter one's. A pair of equal sides is a copy if it is longer than ``max_copy_length``. With
    ``match_digits`` both sides must have the same numbers. ``keep_gold`` lets training pairs be those of ``data.gold_source`` and
    ``data.gold_target``.
    """

    max_length: int | None = 200
    max_characters: int | None = 4_000
    max_ratio: float | None = 9.0
    max_copy_length: int | None = 3
    match_digits: bool = False
    deduplicate: bool = True
    remove_overlap: Overlap = Overlap.pair
    keep_gold: bool = False
    invalid_utf8: InvalidUtf8 = InvalidUtf8.error


@dataclass(kw_only=True, slots=True)
class DataConfig:
    """``direction`` is ``SOURCE-TARGET``, two languages; where the text has them the other way round, it is turned.

    ``processes`` work on much text at a time; null takes as many as there are cores. ``licence`` is that of the text, for the record.
    """

    kind: DataKind
    source_language: str | None = None
    target_language: str | None = None
    direction: str | None = None
    store_dir: str = "outputs/store"
    processes: int | None = None
    licence: str | None = None
    normalization: NormalizationConfig = field(default_factory=NormalizationConfig)
    cleaning: CleaningConfig = field(default_factory=CleaningConfig)


@dataclass(kw_only=True, slots=True)
class BuiltinDataConfig(DataConfig):
    """The built-in English-German corpus; sizes are numbers of sentence pairs, ``difficulty`` is about their word order."""

    kind: DataKind = DataKind.builtin
    licence: str | None = "Apache-2.0"
    train_size: int = 60_000
    dev_size: int = 1_000
    test_size: int = 1_000
    difficulty: Difficulty = Difficulty.mixed


@dataclass(kw_only=True, slots=True)
class CorpusConfig:
    """Where training text lies: in the line-aligned files ``source`` and ``target``, in the one file ``bitext``, or on the hub.

    Files are plain or compressed (gz, bz2, xz, zst). ``bitext`` is TSV, JSON lines, Parquet, TMX or gettext ``.po`` by its suffix, unless
    ``format`` says; ``-`` is standard input, TSV unless ``format`` says. Columns are numbers from 1 in TSV, and otherwise names, which
    default to the languages. ``hub_name`` is a dataset of the hub, or a local folder that ``datasets`` reads; it is used when the files are
    not there.

    ``alignment`` has the word links of the two files, a line a pair, by hand or from a statistical aligner, for
    :attr:`LossConfig.alignment_weight`.

    ``weight`` is how often an epoch has each pair: 2 twice, 0.5 in every other epoch. ``tag`` is written before every source sentence
    and is a piece of its own, such as ``<2de>``; it is given to the model in the same way when it translates.
    """

    source: str | None = None
    target: str | None = None
    bitext: str | None = None
    alignment: str | None = None
    format: TextFormat = TextFormat.auto
    source_column: str | None = None
    target_column: str | None = None
    hub_name: str | None = None
    hub_config: str | None = None
    hub_revision: str | None = None
    weight: float = 1.0
    tag: str | None = None


@dataclass(kw_only=True, slots=True)
class FilesDataConfig(DataConfig):
    """Text of your own: one corpus, described as in :class:`CorpusConfig`, or several ``corpora`` by name, which are mixed.

    Languages default to the suffixes of ``source`` and ``target``. Dev and test text is given as training text is, line-aligned or as
    ``bitext``; where it is not, ``dev_size`` and ``test_size`` pairs are split off the training text with the run's seed.
    ``test_alignment`` has the test text's gold links; ``gold_*`` are pairs besides, aligned by hand or to be aligned at a run's end,
    which are kept out of the training text as dev and test are. ``tag`` stands before dev and test sources too.
    """

    kind: DataKind = DataKind.files
    source: str | None = None
    target: str | None = None
    bitext: str | None = None
    alignment: str | None = None
    format: TextFormat = TextFormat.auto
    source_column: str | None = None
    target_column: str | None = None
    hub_name: str | None = None
    hub_config: str | None = None
    hub_revision: str | None = None
    weight: float = 1.0
    tag: str | None = None
    corpora: dict[str, CorpusConfig] = field(default_factory=dict)
    dev_source: str | None = None
    dev_target: str | None = None
    dev_bitext: str | None = None
    test_source: str | None = None
    test_target: str | None = None
    test_bitext: str | None = None
    test_alignment: str | None = None
    gold_source: str | None = None
    gold_target: str | None = None
    gold_alignment: str | None = None
    dev_size: int = 1_000
    test_size: int = 1_000


@dataclass(kw_only=True, slots=True)
class TokenizerConfig:
    """How text is cut into pieces: learned from the training text, or the SentencePiece ``model`` that a file has.

    One vocabulary for both languages, unless ``joint`` is false; then ``vocab_size`` is the source's, and the target's too where
    ``target_vocab_size`` is null. ``word`` leaves words whole, the rarest are unknown. ``byte_fallback`` writes what has no piece as
    bytes, so that nothing is unknown. With ``hard_limit`` false a text that has fewer pieces makes a smaller vocabulary. ``symbols`` are
    pieces of your own that are never cut; the tags of corpora are such. ``sampling_alpha`` has training text cut anew each time it is
    read, see :class:`nmt.data.subwords.Sampler`; usual are 0.2 for unigram and 0.1 for BPE.
    """

    kind: TokenizerKind = TokenizerKind.unigram
    vocab_size: int = 8_000
    target_vocab_size: int | None = None
    joint: bool = True
    character_coverage: float = 1.0
    byte_fallback: bool = False
    hard_limit: bool = True
    symbols: list[str] = field(default_factory=list)
    model: str | None = None
    target_model: str | None = None
    sampling_alpha: float | None = None


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    kind: ModelKind
    tying: Tying = Tying.three_way


@dataclass(kw_only=True, slots=True)
class RecurrentAttentionConfig:
    """``attention_dim`` is the inner width of the additive scores; ``max_length`` is how many source positions the location score knows.
    Scores are divided by ``temperature``. A local scope reaches ``window`` positions to both sides. The coverage vector has
    ``coverage_dim`` numbers if it is neural; the linguistic one expects at most ``max_fertility`` target pieces of each source piece."""

    score: Score = Score.additive
    attention_dim: int = 256
    max_length: int = 200
    distribution: Distribution = Distribution.softmax
    temperature: float = 1.0
    scope: RecurrentScope = RecurrentScope.full
    window: int = 10
    coverage: Coverage = Coverage.none
    coverage_dim: int = 10
    max_fertility: float = 2.0


@dataclass(kw_only=True, slots=True)
class RecurrentConfig(ModelConfig):
    """What all recurrent wirings share. ``hidden_dim`` is the decoder's width; a direction of the encoder has half of it."""

    embedding_dim: int = 256
    hidden_dim: int = 512
    encoder_layers: int = 1
    embedding_dropout: float = 0.1
    context_dropout: float = 0.0
    output_dropout: float = 0.1
    attention: RecurrentAttentionConfig = field(default_factory=RecurrentAttentionConfig)


@dataclass(kw_only=True, slots=True)
class BahdanauConfig(RecurrentConfig):
    """Bahdanau et al. 2015: GRU, query = previous state, maxout readout of width ``embedding_dim``. ``initial_weights=paper`` draws them
    as appendix B.1 does. The encoder is ``encoder_dim`` wide, as wide as the decoder where that is null; the paper's twice as wide."""

    kind: ModelKind = ModelKind.bahdanau
    encoder_dim: int | None = None
    initial_weights: InitialWeights = InitialWeights.usual


@dataclass(kw_only=True, slots=True)
class ConditionalGruConfig(RecurrentConfig):
    """Nematus (Sennrich et al. 2017): two GRUs a step, query = state between them, tanh readout of width ``embedding_dim``."""

    kind: ModelKind = ModelKind.conditional_gru


@dataclass(kw_only=True, slots=True)
class LuongConfig(RecurrentConfig):
    """Luong et al. 2015: LSTM, query = current state, attentional state of width ``embedding_dim``. ``initial_weights=paper`` draws them
    as section 4.1 does."""

    kind: ModelKind = ModelKind.luong
    encoder_direction: Direction = Direction.both
    initial_weights: InitialWeights = InitialWeights.usual
    decoder_layers: int = 1
    input_feeding: bool = True
    attention: RecurrentAttentionConfig = field(default_factory=lambda: RecurrentAttentionConfig(score=Score.general))


@dataclass(kw_only=True, slots=True)
class GnmtConfig(RecurrentConfig):
    """GNMT (Wu et al. 2016): deep LSTMs with residual connections, query = the decoder's bottom layer, context for those above it, of which
    there is one at least. The encoder has one layer in both directions and above it ``encoder_layers`` - 1 in one. ``layer_dropout`` acts
    on what the layers above the first read."""

    kind: ModelKind = ModelKind.gnmt
    encoder_layers: int = 4
    decoder_layers: int = 4
    layer_dropout: float = 0.1
    attention: RecurrentAttentionConfig = field(default_factory=lambda: RecurrentAttentionConfig(score=Score.normed_additive))


@dataclass(kw_only=True, slots=True)
class StackConfig:
    num_layers: int = 3


@dataclass(kw_only=True, slots=True)
class AttentionConfig:
    """One place of attention in the Transformer. Scores are dot, scaled_dot or learned_scaled_dot, divided by ``temperature``; ``dropout``
    acts on weights, ``head_dropout`` on whole heads. Heads share ``num_kv_heads`` heads of keys and values, 1 in multi-query attention."""

    score: Score = Score.scaled_dot
    distribution: Distribution = Distribution.softmax
    temperature: float = 1.0
    num_kv_heads: int | None = None
    dropout: float = 0.0
    head_dropout: float = 0.0


@dataclass(kw_only=True, slots=True)
class SelfAttentionConfig(AttentionConfig):
    """``window`` is how far a window reaches to each side, or the stride; the first ``num_sinks`` positions are in every window, and the
    first ``num_global`` besides have all positions in theirs. ``linear`` has products of features for weights
    (:mod:`nmt.attention.linear`), which leaves scores, distributions and scopes as they are."""

    scope: SelfScope = SelfScope.full
    window: int = 16
    num_sinks: int = 0
    num_global: int = 0
    linear: bool = False


@dataclass(kw_only=True, slots=True)
class TransformerConfig(ModelConfig):
    """Vaswani et al. 2017. ``dropout`` acts on embeddings and on every sub-layer's output. There are ``max_positions`` learned positions;
    from there on all share the last. ``pruned_heads`` are those that an attention does not have, by its name, such as
    ``decoder.cross.0``; they are counted among ``num_heads`` and have its width."""

    kind: ModelKind = ModelKind.transformer
    model_dim: int = 256
    num_heads: int = 4
    feedforward_dim: int = 1024
    norm: NormPlacement = NormPlacement.pre
    position: Position = Position.sinusoidal
    max_positions: int = 512
    dropout: float = 0.1
    feedforward_dropout: float = 0.0
    encoder: StackConfig = field(default_factory=StackConfig)
    decoder: StackConfig = field(default_factory=StackConfig)
    encoder_self: SelfAttentionConfig = field(default_factory=SelfAttentionConfig)
    decoder_self: SelfAttentionConfig = field(default_factory=SelfAttentionConfig)
    decoder_cross: AttentionConfig = field(default_factory=AttentionConfig)
    pruned_heads: dict[str, list[int]] = field(default_factory=dict)


@dataclass(kw_only=True, slots=True)
class LossConfig:
    """``chunk_size`` is the number of target positions whose logits exist at a time.

    ``alignment_weight`` is that of guided alignment (Garg et al. 2019, who have 0.05): beside translating, the attention that
    :class:`AlignmentConfig` reads learns to follow the word links of the training text.
    """

    label_smoothing: float = 0.1
    chunk_size: int = 512
    alignment_weight: float = 0.0


@dataclass(kw_only=True, slots=True)
class OptimConfig:
    """What all optimisers share. ``weight_decay`` is of matrices only; ``max_grad_norm`` 0 clips nothing.

    The decay is decoupled from the gradient (Loshchilov and Hutter 2019) but for adam, adagrad, adadelta and sgd, where it is added to it.
    """

    kind: OptimKind
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0


@dataclass(kw_only=True, slots=True)
class AdamConfig(OptimConfig):
    """adam, adamw and radam."""

    kind: OptimKind = OptimKind.adam
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-8


@dataclass(kw_only=True, slots=True)
class MuonConfig(AdamConfig):
    """``momentum`` is of matrices; betas and ``eps`` are of Adam, for embeddings, biases and norms."""

    kind: OptimKind = OptimKind.muon
    momentum: float = 0.95


@dataclass(kw_only=True, slots=True)
class AdafactorConfig(OptimConfig):
    """Shazeer and Stern 2018. ``learning_rate`` is relative: an update of a parameter has at most the root mean square
    min(learning rate, 1 / sqrt(t)) times the parameter's own, or 1e-3 where that is less; t counts its updates.

    The second moment decays by 1 - t ** ``beta2_decay``; before it is scaled, an update is clipped to a root mean square of ``max_update``.
    """

    kind: OptimKind = OptimKind.adafactor
    learning_rate: float = 1e-2
    beta2_decay: float = -0.8
    max_update: float = 1.0


@dataclass(kw_only=True, slots=True)
class AdagradConfig(OptimConfig):
    """Duchi et al. 2011."""

    kind: OptimKind = OptimKind.adagrad
    learning_rate: float = 1e-2
    eps: float = 1e-10


@dataclass(kw_only=True, slots=True)
class AdadeltaConfig(OptimConfig):
    """Zeiler 2012, where ``learning_rate`` is 1."""

    kind: OptimKind = OptimKind.adadelta
    learning_rate: float = 1.0
    rho: float = 0.95
    eps: float = 1e-6


@dataclass(kw_only=True, slots=True)
class SgdConfig(OptimConfig):
    """Stochastic gradient descent, with classical momentum or Nesterov's where ``momentum`` is above 0."""

    kind: OptimKind = OptimKind.sgd
    learning_rate: float = 1.0
    momentum: float = 0.0
    nesterov: bool = False


@dataclass(kw_only=True, slots=True)
class ScheduleConfig:
    """How the learning rate goes on after it rose linearly over ``warmup_steps``: ``constant`` and ``inverse_sqrt`` need no more."""

    kind: ScheduleKind = ScheduleKind.inverse_sqrt
    warmup_steps: int = 500


@dataclass(kw_only=True, slots=True)
class StableDecayConfig(ScheduleConfig):
    """``decay_steps`` is the length of the final decay, which ends at ``train.max_steps``."""

    kind: ScheduleKind = ScheduleKind.warmup_stable_decay
    decay_steps: int = 1_000


@dataclass(kw_only=True, slots=True)
class AnnealingConfig(ScheduleConfig):
    """linear and cosine: it falls from the end of the warm-up to ``train.max_steps``, where it is ``final_factor`` of the peak."""

    kind: ScheduleKind = ScheduleKind.cosine
    final_factor: float = 0.0


@dataclass(kw_only=True, slots=True)
class ExponentialConfig(ScheduleConfig):
    """From update ``start`` on, and again every ``every`` updates, it is multiplied by ``rate``, down to ``final_factor`` of the peak."""

    kind: ScheduleKind = ScheduleKind.exponential
    rate: float = 0.5
    start: int = 8_000
    every: int = 1_000
    final_factor: float = 0.0


@dataclass(kw_only=True, slots=True)
class PlateauConfig(ScheduleConfig):
    """It is multiplied by ``rate`` whenever ``patience`` validations more have passed without a better ``train.metric``, down to
    ``final_factor`` of the peak."""

    kind: ScheduleKind = ScheduleKind.plateau
    rate: float = 0.5
    patience: int = 3
    final_factor: float = 0.0


@dataclass(kw_only=True, slots=True)
class TrainConfig:
    """When training stops (the first limit reached wins) and how often it is looked at; all counts are updates but where said.

    ``max_tokens`` bounds the padded positions of either side of a micro-batch; ``microbatches`` of them make an update. ``auto`` finds the
    largest budget that the memory of a GPU allows, when the run begins.
    ``max_time`` is training time over all resumes, in seconds or as ``90s``, ``20m``, ``1h30m``. ``patience`` counts validations
    without a better ``metric``. ``keep_last`` checkpoints stay beside the best; ``average_last`` of them are averaged at the end.
    Checkpoints are written after validations, at the end, and, where ``save_every`` is given, after every so many updates.
    ``profile_updates`` of a copy of the model are made and profiled before training begins.

    With ``ema_decay`` a moving average of the weights is kept (see :mod:`nmt.training.ema`) and validated in their place, so that the best
    checkpoint is the one with the best average; ``evaluation.weights=ema`` uses it afterwards. With ``recompute`` the layers of a
    Transformer keep their inputs alone for the backward pass and compute the rest anew: less memory, a third more work, the same numbers.
    ``freeze`` names modules whose parameters stay as they are, such as ``encoder`` or ``embeddings.source``.
    """

    max_steps: int | None = None
    max_epochs: int | None = None
    max_time: int | str | None = None
    patience: int | None = None
    max_tokens: int | str = 4_096
    microbatches: int = 1
    validate_every: int = 500
    save_every: int | None = None
    log_every: int = 50
    metric: Metric = Metric.bleu
    keep_last: int = 3
    average_last: int = 1
    max_bad_steps: int = 10
    profile_updates: int = 0
    ema_decay: float | None = None
    recompute: bool = False
    freeze: list[str] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class SearchConfig:
    """Beam search; ``beam_size`` 1 is greedy. With ``sample``, hypotheses are drawn instead. Lengths are in pieces; 0 turns a number off.

    Hypotheses are ranked by log-probability / length ** ``length_penalty``, and by how much of the source was attended to, times
    ``coverage_penalty``; the ``num_best`` first are what comes of it. A hypothesis has at least ``min_length`` and at most
    ``max_length_ratio`` * source pieces + ``max_length_offset`` pieces, and no ``no_repeat_ngram`` pieces in a row a second time.
    Samples, ``num_best`` of them, are drawn at a ``temperature`` from the ``top_k`` most probable pieces, and of those from the most
    probable ones that together have a probability of ``top_p``. ``long_lines`` says what is done to a source of more than
    ``max_source_length`` pieces. ``max_sentences`` bounds a batch.
    """

    beam_size: int = 5
    num_best: int = 1
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    min_length: int = 0
    max_length_ratio: float = 2.0
    max_length_offset: int = 10
    no_repeat_ngram: int = 0
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    max_source_length: int = 512
    long_lines: LongLines = LongLines.keep
    max_sentences: int = 64


@dataclass(kw_only=True, slots=True)
class EvaluationConfig:
    """Which weights are judged by which scores (:mod:`nmt.evaluation.metrics`).

    ``bleu_lc_tok`` is BLEU of lower-cased, Moses-tokenised text, for comparison with papers; it needs the extra ``moses``.
    """

    weights: Weights = Weights.best
    metrics: list[MetricName] = field(default_factory=lambda: [MetricName.bleu, MetricName.chrf])


@dataclass(kw_only=True, slots=True)
class AlignmentConfig:
    """What is read of a model and how links are read from that.

    ``attention`` and its ``norms`` are of a decoder layer (negative counts from the top), ``attention`` also of a head (null: their mean);
    other attributions are of all layers. ``threshold`` is the least weight of a link where that is the method. With ``shift`` a target
    word's row is the attention while it is the decoder's input, not while it is predicted (Shift-Att, Chen et al. 2020). ``without_end``
    and ``without_punctuation`` remove the weights that go to the end of the source, and to punctuation from words that are none.

    The first ``num_heatmaps`` pairs are shown, and by the first ``num_erased`` of a run's translations of its test set, those of more than
    100 pieces left out, the report says how far attributions can be trusted. What heads look at, and which sentences are not translated
    whole, is measured on the first ``num_diagnosed`` pairs of the dev set, at every validation and in the report.
    """

    attribution: Attribution = Attribution.attention
    layer: int = -1
    head: int | None = None
    shift: bool = False
    method: LinkMethod = LinkMethod.mutual
    threshold: float = 0.3
    without_end: bool = False
    without_punctuation: bool = False
    num_heatmaps: int = 10
    picture: Picture = Picture.png
    num_erased: int = 20
    num_diagnosed: int = 200


@dataclass(kw_only=True, slots=True)
class TrackingConfig:
    """``num_samples`` dev sentences are shown with their translations and heatmaps. With ``statistics`` the norms of each parameter and of
    its gradient are logged."""

    progress: ProgressStyle = ProgressStyle.auto
    tensorboard: bool = True
    num_samples: int = 4
    statistics: bool = False


@dataclass(kw_only=True, slots=True)
class Config:
    """A whole run. ``name`` is its folder under ``output_dir``. With ``dry_run`` none is made: it is said what one would need.

    ``init_from`` is the folder of another run with the same vocabulary and sizes: training begins with the weights that it is evaluated
    with, and a new optimiser.
    """

    name: str = "run"
    output_dir: str = "outputs"
    seed: int = 1
    device: Device = Device.auto
    precision: Precision = Precision.auto
    threads: int | None = None
    fresh: bool = False
    dry_run: bool = False
    init_from: str | None = None
    data: DataConfig
    model: ModelConfig
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=AdamConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


VARIANTS: dict[type, dict[Enum, type]] = {
    DataConfig: {DataKind.builtin: BuiltinDataConfig, DataKind.files: FilesDataConfig},
    ModelConfig: {
        ModelKind.bahdanau: BahdanauConfig,
        ModelKind.conditional_gru: ConditionalGruConfig,
        ModelKind.luong: LuongConfig,
        ModelKind.gnmt: GnmtConfig,
        ModelKind.transformer: TransformerConfig,
    },
    OptimConfig: {
        OptimKind.adam: AdamConfig,
        OptimKind.adamw: AdamConfig,
        OptimKind.radam: AdamConfig,
        OptimKind.adafactor: AdafactorConfig,
        OptimKind.muon: MuonConfig,
        OptimKind.adagrad: AdagradConfig,
        OptimKind.adadelta: AdadeltaConfig,
        OptimKind.sgd: SgdConfig,
    },
    ScheduleConfig: {
        ScheduleKind.constant: ScheduleConfig,
        ScheduleKind.inverse_sqrt: ScheduleConfig,
        ScheduleKind.warmup_stable_decay: StableDecayConfig,
        ScheduleKind.linear: AnnealingConfig,
        ScheduleKind.cosine: AnnealingConfig,
        ScheduleKind.exponential: ExponentialConfig,
        ScheduleKind.plateau: PlateauConfig,
    },
}
"""The classes that ``kind`` chooses between, by the base class that a field is declared with."""
