"""The three models learn to copy: the whole path below the commands, one seed, seconds each."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from nmt.commands import train
from nmt.config import (
    AdamConfig,
    BahdanauConfig,
    LuongConfig,
    ScheduleConfig,
    StackConfig,
    TokenizerConfig,
    TrainConfig,
    TransformerConfig,
)
from nmt.run_folder import RunFolder, load_run

MODELS = {
    "bahdanau": BahdanauConfig(embedding_dim=48, hidden_dim=64, embedding_dropout=0.0, output_dropout=0.0),
    "luong": LuongConfig(embedding_dim=48, hidden_dim=64, embedding_dropout=0.0, output_dropout=0.0),
    "transformer": TransformerConfig(
        model_dim=64,
        num_heads=4,
        feedforward_dim=128,
        dropout=0.0,
        encoder=StackConfig(num_layers=2),
        decoder=StackConfig(num_layers=2),
    ),
}


@pytest.fixture(scope="module")
def many_lines(tmp_path_factory):
    """Enough different lines that copying must be learned, not lines by heart."""
    folder = tmp_path_factory.mktemp("many")
    random = Random(3)
    text = "".join(" ".join(random.choices("abcdefghij", k=random.randint(2, 8))) + "\n" for _ in range(4000))
    for name in ("x.de", "x.en"):
        (folder / name).write_text(text)
    return folder


@pytest.mark.promise(18)
@pytest.mark.parametrize("name", MODELS)
def test_copying_is_learned(run_config, many_lines, name):
    config = run_config(MODELS[name])
    config = replace(
        config,
        data=replace(config.data, source=str(many_lines / "x.de"), target=str(many_lines / "x.en"), dev_size=100),
        tokenizer=TokenizerConfig(vocab_size=16),
        optim=AdamConfig(learning_rate=5e-3),
        schedule=ScheduleConfig(warmup_steps=40),
        train=TrainConfig(max_steps=400, max_tokens=512, validate_every=400, log_every=100),
    )
    assert train.main(config) == 0
    status = RunFolder(Path(config.output_dir) / config.name).status
    assert status["best"]["bleu"] > 95


def test_weights_of_a_run_come_back(run_config, family_config):
    import torch

    config = run_config(family_config, train=TrainConfig(max_steps=2, max_tokens=512))
    train.main(config)
    path = Path(config.output_dir) / config.name
    _, model, tokenizers = load_run(path, None, torch.device("cpu"))
    assert not model.training
    saved = RunFolder(path).checkpoints.load(2).model
    assert all(any(torch.equal(value, other) for other in saved.values()) for value in model.state_dict().values())
    assert replace(config.tokenizer, vocab_size=tokenizers.source.vocab_size) == config.tokenizer
