"""Numbers do not drift: losses of 50 updates, and what a stored model translates, are what they were (``scripts/write_golden.py``)."""

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch

from nmt.commands import train
from nmt.commands.assemble import build_updater
from nmt.config import (
    AdamConfig,
    BahdanauConfig,
    CleaningConfig,
    ConditionalGruConfig,
    Config,
    Device,
    FilesDataConfig,
    GnmtConfig,
    LuongConfig,
    ModelConfig,
    MuonConfig,
    Precision,
    ScheduleConfig,
    SearchConfig,
    StackConfig,
    TokenizerConfig,
    TrackingConfig,
    TrainConfig,
    TransformerConfig,
)
from nmt.data.prepare import prepare
from nmt.decoding.translator import Translator
from nmt.run_folder import RunFolder, load_run

GOLDEN = Path(__file__).parent / "golden"
UPDATES = 50
DROPOUT = {"embedding_dropout": 0.1, "context_dropout": 0.2, "output_dropout": 0.1}
MODELS: dict[str, ModelConfig] = {
    "bahdanau": BahdanauConfig(embedding_dim=17, hidden_dim=22, **DROPOUT),
    "conditional_gru": ConditionalGruConfig(embedding_dim=17, hidden_dim=22, **DROPOUT),
    "luong": LuongConfig(embedding_dim=17, hidden_dim=22, **DROPOUT),
    "gnmt": GnmtConfig(embedding_dim=17, hidden_dim=22, encoder_layers=3, decoder_layers=3, **DROPOUT),
    "transformer": TransformerConfig(
        model_dim=26, num_heads=2, feedforward_dim=41, encoder=StackConfig(num_layers=2), decoder=StackConfig(num_layers=2)
    ),
}
LINES = ["eins zwei drei", "neun", "acht sieben sechs fuenf vier", "", "null null eins", "drei drei vier unbekannt zwei"]


def configuration(folder: Path, name: str) -> Config:
    """A run that learns to turn lines of number words round."""
    random = Random(7)
    words = ["null", "eins", "zwei", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun"]
    lines = [random.choices(words, k=random.randint(1, 6)) for _ in range(600)]
    (folder / "x.de").write_text("".join(" ".join(line) + "\n" for line in lines))
    (folder / "x.en").write_text("".join(" ".join(reversed(line)) + "\n" for line in lines))
    return Config(
        name=name,
        output_dir=str(folder),
        device=Device.cpu,
        precision=Precision.fp32,
        data=FilesDataConfig(
            source=str(folder / "x.de"),
            target=str(folder / "x.en"),
            dev_size=20,
            test_size=20,
            store_dir=str(folder / "store"),
            cleaning=CleaningConfig(max_copy_length=None),
        ),
        tokenizer=TokenizerConfig(vocab_size=32),
        model=MODELS[name],
        optim=MuonConfig(learning_rate=1e-2) if name == "transformer" else AdamConfig(learning_rate=1e-2),
        schedule=ScheduleConfig(warmup_steps=20),
        train=TrainConfig(max_steps=400, max_tokens=256, microbatches=2, validate_every=400, keep_last=1),
        search=SearchConfig(beam_size=3),
        tracking=TrackingConfig(tensorboard=False, num_samples=1),
    )


@contextmanager
def float64():
    """What differs between processors is then far below what is looked for."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def trace(config: Config) -> list[float]:
    """The unsmoothed nll, in nats a token, of each of the first updates."""
    store = prepare(config.data, config.tokenizer, config.seed)
    with float64():
        update = build_updater(config, store.split("train"), store.tokenizers.vocab_sizes, torch.device("cpu"))
        update.objective.train()
        values, seen = [], (0.0, 0.0)
        for step in range(UPDATES):
            update(step)
            now = float(update.sums.nll), update.sums.tokens
            values.append((now[0] - seen[0]) / (now[1] - seen[1]))
            seen = now
    return values


def translations(run: Path) -> list[str]:
    """What a stored model makes of some lines."""
    config, model, tokenizers = load_run(run, None, torch.device("cpu"))
    translator = Translator(model, tokenizers, config.search, torch.device("cpu"), Precision.fp32)
    return [translation.text for translation in translator.translate(LINES)]


def write() -> None:
    """Make what later code is held to; only for changes that are meant to change numbers."""
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        traces = {name: trace(configuration(folder, name)) for name in MODELS}
        (GOLDEN / "traces.json").write_text(json.dumps(traces, indent=1) + "\n")
        config = configuration(folder, "luong")
        assert train.main(replace(config, name="run")) == 0
        shutil.rmtree(GOLDEN / "run", ignore_errors=True)
        for part in ("tokenizer", "checkpoints"):
            shutil.copytree(folder / "run" / part, GOLDEN / "run" / part)
        data = replace(config.data, source="x.de", target="x.en", store_dir="store")
        RunFolder(GOLDEN / "run").write_config(replace(config, name="run", output_dir="golden", data=data))
        (GOLDEN / "translations.json").write_text(json.dumps(translations(GOLDEN / "run"), indent=1) + "\n")


@pytest.mark.promise(19)
@pytest.mark.parametrize("name", MODELS)
def test_losses_are_what_they_were(tmp_path, name):
    expected = json.loads((GOLDEN / "traces.json").read_text())[name]
    assert trace(configuration(tmp_path, name)) == pytest.approx(expected, rel=1e-6)
    assert expected[-1] < expected[0] - 0.3  # it does learn


@pytest.mark.promise(19)
def test_a_stored_model_translates_as_it_did():
    expected = json.loads((GOLDEN / "translations.json").read_text())
    assert translations(GOLDEN / "run") == expected
    assert expected[3] == ""
    assert expected[0] == "drei zwei eins"
