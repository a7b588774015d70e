"""Several finished runs: on several test sets, beside each other, and in a list."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from nmt.commands import compare, evaluate, train
from nmt.commands import list as listing
from nmt.commands.options import CompareCommand, EvaluateCommand, EvaluationSetConfig, ListCommand
from nmt.config import LuongConfig, MetricName, TrainConfig
from nmt.errors import ConfigError, UserError


@pytest.fixture
def runs(run_config):
    """Two runs that differ by their seed."""
    model = LuongConfig(embedding_dim=13, hidden_dim=14)
    limits = TrainConfig(max_steps=3, max_tokens=256, validate_every=3, log_every=1)
    config = run_config(model, train=limits, name="one")
    paths = []
    for name, seed in (("one", 1), ("two", 2)):
        assert train.main(replace(config, name=name, seed=seed)) == 0
        paths.append(str(Path(config.output_dir) / name))
    return paths


def test_runs_are_evaluated_compared_and_listed(runs, tmp_path, capsys):
    for name, lines in (("a", "eins zwei\ndrei\n"), ("b", "eins zwei drei\ndrei vier\n"), ("c", "eins\ndrei vier\n")):
        (tmp_path / name).write_text(lines)
    sets = {"short": EvaluationSetConfig(source=str(tmp_path / "a"), references=[str(tmp_path / "b"), str(tmp_path / "c")])}
    sets["other"] = EvaluationSetConfig(source=str(tmp_path / "b"), references=[str(tmp_path / "a")])
    for path in runs:
        assert evaluate.main(EvaluateCommand(run=path, sets=sets, metrics=[MetricName.chrf, MetricName.ter])) == 0
        assert sorted(p.name for p in (Path(path) / "evaluation").iterdir()) == ["other", "short"]
    out = capsys.readouterr().out
    assert out.count("short:\nchrf = ") == 2
    assert "nrefs:2" in out

    command = CompareCommand(runs=runs, name="short", trials=20, output=str(tmp_path / "found.json"))
    assert compare.main(command) == 0
    out = capsys.readouterr().out
    assert "p, paired bootstrap" in out
    assert "one, two" in out  # a group of seeds
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["name"] for row in found["comparisons"]] == ["one", "two"] * 2
    assert found["seeds"][0]["names"] == ["one", "two"]

    assert listing.main(ListCommand(output_dir=str(Path(runs[0]).parent), pattern="t*")) == 0
    out = capsys.readouterr().out
    assert "two" in out
    assert "trained" in out
    assert "one" not in out


def test_what_cannot_be_compared_or_listed_says_why(runs, tmp_path):
    with pytest.raises(UserError, match="one has no scores of the test set test; nmt evaluate run="):
        compare.main(CompareCommand(runs=runs))
    with pytest.raises(ConfigError, match="at least two"):
        compare.main(CompareCommand(runs=runs[:1]))
    with pytest.raises(ConfigError, match="there is no"):
        listing.main(ListCommand(output_dir=str(tmp_path / "none")))
    shutil.rmtree(Path(runs[1]) / "checkpoints")
    (Path(runs[1]) / "config.yaml").write_text("odd: 1\n")
    assert listing.main(ListCommand(output_dir=str(Path(runs[0]).parent))) == 0
