"""What several tests share: one thread, and tiny models of every kind."""

import itertools
import math
from dataclasses import replace
from random import Random

import pytest
import torch
from covering import covering_sets
from shapes import NUM_CHECKS, begin_to_check

from nmt.config import (
    AdamConfig,
    AlignmentConfig,
    AttentionConfig,
    BahdanauConfig,
    CleaningConfig,
    ConditionalGruConfig,
    Config,
    Coverage,
    Direction,
    Distribution,
    FilesDataConfig,
    GnmtConfig,
    LuongConfig,
    NormPlacement,
    Position,
    Precision,
    RecurrentAttentionConfig,
    RecurrentScope,
    ScheduleConfig,
    Score,
    SearchConfig,
    SelfAttentionConfig,
    SelfScope,
    StackConfig,
    TokenizerConfig,
    TrackingConfig,
    TrainConfig,
    TransformerConfig,
    Tying,
)


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _shapes(request):
    begin_to_check(math.inf if request.node.get_closest_marker("long") else NUM_CHECKS)


LUONG_SCORES = (Score.additive, Score.dot, Score.general, Score.concat)


def _variants():
    """Every kind of model in every wiring, with distinct widths; no dropout unless a test asks for it."""
    still = {"embedding_dropout": 0.0, "context_dropout": 0.0, "output_dropout": 0.0}
    for score in (Score.additive, Score.dot, Score.general):
        attention = RecurrentAttentionConfig(score=score, attention_dim=11)
        yield f"bahdanau-{score.name}", BahdanauConfig(embedding_dim=13, hidden_dim=14, attention=attention, **still)
    luong = LuongConfig(embedding_dim=13, hidden_dim=14, **still)
    for score, feeding, layers in itertools.product(LUONG_SCORES, (True, False), (1, 2)):
        yield (
            f"luong-{score.name}-{'feeding' if feeding else 'plain'}-{layers}",
            replace(
                luong,
                encoder_layers=layers,
                decoder_layers=layers,
                input_feeding=feeding,
                attention=RecurrentAttentionConfig(score=score, attention_dim=11),
            ),
        )
    for score in [score for score in Score if score not in LUONG_SCORES]:
        attention = RecurrentAttentionConfig(
            score=score, attention_dim=11, max_length=4, temperature=0.7
        )  # some sentences are longer
        yield f"luong-{score.name}", replace(luong, attention=attention)
    for scope, feeding in itertools.product((RecurrentScope.local_m, RecurrentScope.local_p), (True, False)):
        attention = RecurrentAttentionConfig(score=Score.general, scope=scope, window=2)
        yield (
            f"luong-{scope.name}-{'feeding' if feeding else 'plain'}",
            replace(luong, attention=attention, input_feeding=feeding),
        )
    for scope in (RecurrentScope.local_m, RecurrentScope.local_p):
        attention = RecurrentAttentionConfig(attention_dim=11, scope=scope, window=1)
        yield f"bahdanau-{scope.name}", BahdanauConfig(embedding_dim=13, hidden_dim=14, attention=attention, **still)
    for distribution in [distribution for distribution in Distribution if distribution is not Distribution.softmax]:
        attention = RecurrentAttentionConfig(attention_dim=11, distribution=distribution)
        yield f"bahdanau-{distribution.name}", BahdanauConfig(embedding_dim=13, hidden_dim=14, attention=attention, **still)
    small = {"embedding_dim": 13, "hidden_dim": 14, **still}
    for score in (Score.additive, Score.general):
        attention = RecurrentAttentionConfig(score=score, attention_dim=11)
        yield f"conditional_gru-{score.name}", ConditionalGruConfig(attention=attention, **small)
        yield (
            f"gnmt-{score.name}",
            GnmtConfig(encoder_layers=3, decoder_layers=3, layer_dropout=0.0, attention=attention, **small),
        )
    for kind in (Coverage.linguistic, Coverage.neural):
        attention = RecurrentAttentionConfig(attention_dim=11, coverage=kind, coverage_dim=3)
        for config in (BahdanauConfig, ConditionalGruConfig, LuongConfig):
            made = config(attention=attention, **small)
            yield f"{made.kind.name}-{kind.name}", made
    yield "bahdanau-wide", BahdanauConfig(encoder_dim=18, attention=RecurrentAttentionConfig(attention_dim=11), **small)
    for direction in (Direction.forward, Direction.backward):
        yield f"luong-{direction.name}", replace(luong, encoder_direction=direction)
    final = RecurrentAttentionConfig(score=Score.general, scope=RecurrentScope.final)
    yield "luong-final", replace(luong, encoder_direction=Direction.backward, attention=final)
    normed = RecurrentAttentionConfig(score=Score.normed_additive, attention_dim=11, coverage=Coverage.linguistic)
    yield "luong-linguistic-plain", replace(luong, attention=normed, input_feeding=False)
    yield "gnmt-linguistic", GnmtConfig(encoder_layers=2, decoder_layers=2, layer_dropout=0.0, attention=normed, **small)
    transformer = TransformerConfig(
        model_dim=22,
        num_heads=2,
        feedforward_dim=29,
        dropout=0.0,
        encoder=StackConfig(num_layers=2),
        decoder=StackConfig(num_layers=3),
    )
    for norm, tying in itertools.product(NormPlacement, Tying):
        yield f"transformer-{norm.name}-{tying.name}", replace(transformer, norm=norm, tying=tying)

    def everywhere(**settings):
        own = SelfAttentionConfig(**settings)
        return replace(transformer, encoder_self=own, decoder_self=own, decoder_cross=AttentionConfig(**settings))

    for position in [position for position in Position if position is not Position.sinusoidal]:
        yield f"transformer-{position.name}", replace(transformer, model_dim=24, position=position, max_positions=5)
    scopes = {
        "window": {"scope": SelfScope.window, "window": 1},
        "sinks": {"scope": SelfScope.window, "window": 1, "num_sinks": 2},
        "global": {"scope": SelfScope.window, "window": 1, "num_global": 2},
        "strided": {"scope": SelfScope.strided, "window": 2},
    }
    for name, settings in scopes.items():
        attention = SelfAttentionConfig(**settings)
        yield f"transformer-{name}", replace(transformer, encoder_self=attention, decoder_self=attention)
    linear = SelfAttentionConfig(linear=True)
    yield "transformer-linear", replace(transformer, encoder_self=linear, decoder_self=linear)
    for shared in (1, 2):
        attention = everywhere(num_kv_heads=shared)
        yield f"transformer-kv{shared}", replace(attention, model_dim=24, num_heads=4)
    for score in (Score.dot, Score.learned_scaled_dot):
        yield f"transformer-{score.name}", everywhere(score=score, temperature=0.7)
    for distribution in [distribution for distribution in Distribution if distribution is not Distribution.softmax]:
        yield f"transformer-{distribution.name}", everywhere(distribution=distribution)


VARIANTS = dict(_variants())


def pytest_generate_tests(metafunc):
    """Each variant in turn, and in long tests what pairs of settings make besides."""
    for fixture, kept in (("model_config", ""), ("transformer_config", "transformer")):
        if fixture in metafunc.fixturenames:
            long = "not long" not in metafunc.config.option.markexpr
            configs = {**VARIANTS, **(covering_sets() if long else {})}
            params = [
                pytest.param(config, id=name, marks=[] if name in VARIANTS else pytest.mark.long)
                for name, config in configs.items()
                if name.startswith(kept)
            ]
            metafunc.parametrize(fixture, params)


FAMILIES = [
    "bahdanau-additive",
    "luong-general-feeding-1",
    "transformer-pre-three_way",
    *(pytest.param(name, marks=pytest.mark.long) for name in ("conditional_gru-additive", "gnmt-additive")),
]


@pytest.fixture(params=FAMILIES, ids=str)
def family_config(request):
    """One configuration of each model in turn."""
    return VARIANTS[request.param]


@pytest.fixture
def family_configs():
    """All of them."""
    return [VARIANTS[name] for name in FAMILIES if isinstance(name, str)]


@pytest.fixture(scope="session")
def copy_files(tmp_path_factory):
    """Two files of 400 lines whose target is their source, words of a small vocabulary in random order, and one of their links."""
    folder = tmp_path_factory.mktemp("copy")
    random = Random(7)
    words = ["null", "eins", "zwei", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun"]
    lines = sorted({" ".join(random.choices(words, k=random.randint(2, 6))) for _ in range(460)})[:400]
    random.shuffle(lines)
    for name in ("x.de", "x.en"):
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    links = [" ".join(f"{i}-{i}" for i in range(len(line.split()))) for line in lines]
    (folder / "x.links").write_text("".join(f"{line}\n" for line in links))
    return folder


@pytest.fixture
def guided(copy_files):
    """A function that has the attention of a run's configuration guided by the links of the copy task."""

    def guide(config):
        data = replace(config.data, alignment=str(copy_files / "x.links"))
        return replace(config, data=data, loss=replace(config.loss, alignment_weight=0.1))

    return guide


@pytest.fixture
def run_config(copy_files, tmp_path_factory):
    """A function that gives the configuration of a small whole run on the copy task, with changes laid over it."""
    outputs = tmp_path_factory.mktemp("outputs")

    def make(model, **changes):
        config = Config(
            output_dir=str(outputs),
            data=FilesDataConfig(
                source=str(copy_files / "x.de"),
                target=str(copy_files / "x.en"),
                dev_size=11,
                test_size=7,
                store_dir=str(outputs / "store"),
                cleaning=CleaningConfig(max_copy_length=None),
            ),
            tokenizer=TokenizerConfig(vocab_size=30),
            model=model,
            precision=Precision.fp32,
            optim=AdamConfig(learning_rate=3e-3),
            schedule=ScheduleConfig(warmup_steps=5),
            train=TrainConfig(max_steps=12, max_tokens=256, validate_every=5, log_every=2, keep_last=20),
            search=SearchConfig(beam_size=2),
            alignment=AlignmentConfig(num_heatmaps=1, num_erased=0, num_diagnosed=3),
            tracking=TrackingConfig(tensorboard=False, num_samples=1),
        )
        return replace(config, **changes)

    return make
