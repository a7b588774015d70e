"""Runs made of others, and runs that are only described."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nmt.commands import assemble, average, evaluate, run, train
from nmt.commands.options import AverageCommand, EvaluateCommand
from nmt.config import LuongConfig, TrainConfig
from nmt.errors import ConfigError
from nmt.run_folder import RunFolder
from nmt.training.memory import OutOfMemory

MODEL = LuongConfig(embedding_dim=13, hidden_dim=14)
LIMITS = TrainConfig(max_steps=6, max_tokens=256, validate_every=6, save_every=2, log_every=1, keep_last=3)


def weights(folder, step):
    return load_file(RunFolder(folder).checkpoints.folder / f"step-{step:08d}" / "model.safetensors")


def test_the_mean_of_checkpoints_and_of_runs_is_a_run(run_config, tmp_path, capsys):
    config = run_config(MODEL, train=LIMITS, name="one")
    folders = []
    for name, seed in (("one", 1), ("two", 2)):
        assert train.main(replace(config, name=name, seed=seed, data=replace(config.data, dev_size=11))) == 0
        folders.append(Path(config.output_dir) / name)
    output = tmp_path / "mean"
    assert average.main(AverageCommand(run=str(folders[0]), last=2, output=str(output))) == 0
    assert "steps [4, 6]" in capsys.readouterr().out
    for key, value in weights(output, 6).items():
        mean = (weights(folders[0], 4)[key].double() + weights(folders[0], 6)[key].double()) / 2
        torch.testing.assert_close(value, mean.float())
    assert evaluate.main(EvaluateCommand(run=str(output))) == 0

    with pytest.raises(ConfigError, match="the tokenizer of the source"):  # another seed has split off other text
        average.main(AverageCommand(runs=[str(folder) for folder in folders], output=str(tmp_path / "both")))
    again = replace(config, name="three", optim=replace(config.optim, learning_rate=1e-3))
    assert train.main(again) == 0
    folders[1] = Path(config.output_dir) / "three"
    assert average.main(AverageCommand(runs=[str(folder) for folder in folders], output=str(tmp_path / "both"))) == 0
    for key, value in weights(tmp_path / "both", 6).items():
        torch.testing.assert_close(value, (weights(folders[0], 6)[key] + weights(folders[1], 6)[key]) / 2)

    with pytest.raises(ConfigError, match="must be a new folder"):
        average.main(AverageCommand(run=str(folders[0]), output=str(output)))
    with pytest.raises(ConfigError, match="either `run`"):
        average.main(AverageCommand(run="x", runs=["y"], output=str(tmp_path / "none")))
    with pytest.raises(ConfigError, match="is averaged and cannot be gone on with"):
        train.main(replace(config, name="mean", output_dir=str(tmp_path)))


@pytest.mark.parametrize("command", [train, run])
def test_a_dry_run_says_what_a_run_would_need_and_makes_none(run_config, family_config, capsys, command):
    config = run_config(family_config, train=replace(LIMITS, max_epochs=2, max_steps=None), dry_run=True)
    assert command.main(config) == 0
    out = capsys.readouterr().out
    for words in (
        "updates an epoch",
        "memory, peak of the trial",
        "a checkpoint, about",
        "target tokens a second",
        "end of training",
    ):
        assert words in out
    assert not (Path(config.output_dir) / config.name).exists()


def test_the_largest_budget_is_found_once_and_kept(run_config, monkeypatch):
    config = run_config(MODEL, train=replace(LIMITS, max_tokens="auto", max_steps=2))
    with pytest.raises(ConfigError, match=r"`train\.max_tokens=auto` measures the memory of a GPU"):
        train.main(config)
    with pytest.raises(ConfigError, match="must be a number or `auto`, but is 'much'"):
        train.main(replace(config, train=replace(config.train, max_tokens="much")))

    class Gpu:
        type = "cuda"

    def rehearse(self):
        if self.plan.max_tokens > 500:
            raise OutOfMemory("as on a small GPU")

    cpu = assemble.build_updater
    monkeypatch.setattr(assemble, "resolve_device", lambda _: Gpu)
    monkeypatch.setattr(assemble, "build_updater", lambda c, s, v, _, *rest: cpu(c, s, v, torch.device("cpu"), *rest))
    monkeypatch.setattr("nmt.training.update.Updater.rehearse", rehearse)
    assert train.main(config) == 0
    folder = RunFolder(Path(config.output_dir) / config.name)
    assert 250 < folder.config().train.max_tokens <= 500
    monkeypatch.setattr("nmt.training.update.Updater.rehearse", None)  # a run that goes on does not look again
    assert train.main(replace(config, train=replace(config.train, max_steps=3))) == 0
