"""``nmt heads``: importance, what leaving heads out costs, and runs without them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nmt.commands import evaluate, heads, train
from nmt.commands.heads import in_full
from nmt.commands.options import EvaluateCommand, HeadsCommand
from nmt.config import LuongConfig, StackConfig, TrainConfig, TransformerConfig
from nmt.errors import ConfigError
from nmt.run_folder import RunFolder, load_run

MODEL = TransformerConfig(
    model_dim=24, num_heads=4, feedforward_dim=29, encoder=StackConfig(num_layers=2), decoder=StackConfig(num_layers=1)
)
CPU = torch.device("cpu")
LIMITS = TrainConfig(max_steps=4, max_tokens=256, validate_every=4, log_every=1)


@pytest.fixture
def run(run_config):
    config = run_config(MODEL, train=LIMITS, name="whole")
    assert train.main(config) == 0
    return config, Path(config.output_dir) / "whole"


def test_a_run_without_some_heads(run, tmp_path, capsys):
    config, folder = run
    output = tmp_path / "pruned"
    assert heads.main(HeadsCommand(run=str(folder), shares=[0.25], prune=0.5, output=str(output))) == 0
    out = capsys.readouterr().out
    assert "encoder.self.1" in out
    assert "a run without 8 heads" in out
    report = json.loads((folder / "heads/dev/importance.json").read_text())
    assert report["pairs"] == 11
    assert list(report["nll_without"]) == ["0", "4"]
    assert (folder / "heads/dev/importance.png").read_bytes().startswith(b"\x89PNG")
    assert evaluate.main(EvaluateCommand(run=str(output))) == 0

    made, model, _ = load_run(output, None, CPU)
    assert sum(map(len, made.model.pruned_heads.values())) == 8
    assert sum(attention.num_heads for attention in model.attentions().values()) == 8
    assert RunFolder(output).status["state"] == "pruned"
    capsys.readouterr()

    again = tmp_path / "again"
    assert heads.main(HeadsCommand(run=str(output), shares=[], prune=0.3, output=str(again))) == 0
    made, model, _ = load_run(again, None, CPU)
    assert sum(map(len, made.model.pruned_heads.values())) == 8 + round(0.3 * 8)
    assert evaluate.main(EvaluateCommand(run=str(again))) == 0

    with pytest.raises(ConfigError, match="is pruned and cannot be gone on with"):
        train.main(made)
    further = replace(made, name="further", output_dir=config.output_dir, init_from=str(again))
    assert train.main(further) == 0


def test_what_is_refused(run, run_config, tmp_path):
    _, folder = run
    for changes, message in (
        ({"shares": [0.0]}, "above 0 and below 1, but is 0"),
        ({"prune": 0.5}, "must be given together"),
        ({"prune": 0.5, "output": str(tmp_path)}, "must be a new folder"),
        ({"source": "x"}, "`source` and `target` must be given together"),
    ):
        with pytest.raises(ConfigError, match=message):
            heads.main(HeadsCommand(run=str(folder), **changes))
    config = run_config(LuongConfig(embedding_dim=13, hidden_dim=14), train=LIMITS, name="luong")
    assert train.main(config) == 0
    with pytest.raises(ConfigError, match="is luong, whose attention has one head"):
        heads.main(HeadsCommand(run=str(Path(config.output_dir) / "luong")))


def test_heads_that_are_gone_keep_their_numbers():
    assert in_full([1, 3], [0, 2], 6) == [0, 4]
    assert in_full([], [2], 4) == [2]
