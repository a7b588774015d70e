"""What several tests share: one thread, and tiny models of every kind."""

import itertools
from dataclasses import replace
from random import Random

import pytest
import torch

from nmt.config import (
    AdamConfig,
    BahdanauConfig,
    CleaningConfig,
    Config,
    FilesDataConfig,
    LuongConfig,
    NormPlacement,
    Precision,
    RecurrentAttentionConfig,
    ScheduleConfig,
    Score,
    SearchConfig,
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


def _variants():
    """Every kind of model in every wiring, with distinct widths; no dropout unless a test asks for it."""
    still = {"embedding_dropout": 0.0, "context_dropout": 0.0, "output_dropout": 0.0}
    for score in (Score.additive, Score.dot, Score.general):
        attention = RecurrentAttentionConfig(score=score, attention_dim=11)
        yield f"bahdanau-{score.name}", BahdanauConfig(embedding_dim=13, hidden_dim=14, attention=attention, **still)
    for score, feeding, layers in itertools.product(Score, (True, False), (1, 2)):
        yield (
            f"luong-{score.name}-{'feeding' if feeding else 'plain'}-{layers}",
            LuongConfig(
                embedding_dim=13,
                hidden_dim=14,
                encoder_layers=layers,
                decoder_layers=layers,
                input_feeding=feeding,
                attention=RecurrentAttentionConfig(score=score, attention_dim=11),
                **still,
            ),
        )
    for norm, tying in itertools.product(NormPlacement, Tying):
        yield (
            f"transformer-{norm.name}-{tying.name}",
            TransformerConfig(
                model_dim=22,
                num_heads=2,
                feedforward_dim=29,
                norm=norm,
                tying=tying,
                dropout=0.0,
                encoder=StackConfig(num_layers=2),
                decoder=StackConfig(num_layers=3),
            ),
        )


VARIANTS = dict(_variants())


@pytest.fixture(params=VARIANTS, ids=str)
def model_config(request):
    """The configuration of each variant in turn."""
    return VARIANTS[request.param]


@pytest.fixture(params=[name for name in VARIANTS if name.startswith("transformer")], ids=str)
def transformer_config(request):
    """The configuration of each Transformer, the only model that reads packed rows, in turn."""
    return VARIANTS[request.param]


FAMILIES = ["bahdanau-additive", "luong-general-feeding-1", "transformer-pre-three_way"]


@pytest.fixture(params=FAMILIES, ids=str)
def family_config(request):
    """One configuration of each of the three models."""
    return VARIANTS[request.param]


@pytest.fixture
def family_configs():
    """All of them."""
    return [VARIANTS[name] for name in FAMILIES]


@pytest.fixture(scope="session")
def copy_files(tmp_path_factory):
    """Two files of 400 lines whose target is their source: words of a small vocabulary in random order."""
    folder = tmp_path_factory.mktemp("copy")
    random = Random(7)
    words = ["null", "eins", "zwei", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun"]
    lines = sorted({" ".join(random.choices(words, k=random.randint(2, 6))) for _ in range(460)})[:400]
    random.shuffle(lines)
    for name in ("x.de", "x.en"):
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return folder


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
            tracking=TrackingConfig(tensorboard=False, num_samples=1),
        )
        return replace(config, **changes)

    return make
