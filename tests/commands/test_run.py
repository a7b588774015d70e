"""Whole runs on the copy task: what they leave, how they go on, and what they refuse."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import yaml
from filelock import FileLock

from nmt.alignment.aligner import read_steps
from nmt.commands import align, evaluate, prepare, run, train, translate
from nmt.commands.options import AlignCommand, EvaluateCommand, SearchOverrides, TranslateCommand
from nmt.config import (
    AdamConfig,
    AnnealingConfig,
    EvaluationConfig,
    LuongConfig,
    Precision,
    StableDecayConfig,
    TokenizerConfig,
    TrackingConfig,
    TrainConfig,
    Tying,
    Weights,
)
from nmt.conversion import to_dict
from nmt.errors import ConfigError, UserError
from nmt.run_folder import RunError, RunFolder
from nmt.training.checkpoint import CheckpointError

LIMITS = TrainConfig(max_steps=4, max_tokens=256, validate_every=2, log_every=1)


@pytest.fixture
def small(run_config, family_config):
    """A run of four updates."""
    return run_config(family_config, train=LIMITS, tracking=TrackingConfig(num_samples=1))


def done(capsys):
    line = capsys.readouterr().out.splitlines()[-1]
    word, *fields = line.split(" ")
    assert word == "DONE"
    return dict(field.split("=", 1) for field in fields)


def test_one_command_leaves_everything(small, capsys, caplog):
    caplog.set_level("INFO")
    small = replace(small, alignment=replace(small.alignment, num_erased=1))
    assert run.main(small) == 0
    folder = Path(small.output_dir) / small.name
    fields = done(capsys)
    assert list(fields)[:4] == ["step", "bleu", "chrf", "report"]
    assert fields["step"] == "4"
    assert fields["stop"] == "max_steps"
    expected = ["config.yaml", "status.json", "run.log", "metrics.jsonl", "data.json", "report.html", "tokenizer/tokenizer.model"]
    expected += ["diagnostics/dev/diagnostics.json"]
    assert all((folder / name).stat().st_size > 0 for name in expected)
    assert list((folder / "tensorboard").iterdir())
    assert len((folder / "evaluation/test/hypotheses.txt").read_text().splitlines()) == 7
    arrays = np.load(folder / "alignment/test/attention.npz")
    assert len(arrays) == 7
    assert (folder / "alignment/test/sentence_0000.png").read_bytes().startswith(b"\x89PNG")
    trust = json.loads((folder / "faithfulness/test/faithfulness.json").read_text())
    assert trust["pairs"] == 1
    assert {"attention", "random"} < set(trust["methods"])
    status = json.loads((folder / "status.json").read_text())
    assert status["state"] == "finished"
    assert status["versions"]["torch"]
    assert status["signatures"]["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")
    assert yaml.safe_load((folder / "config.yaml").read_text())["precision"] == "fp32"

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    assert run.main(small) == 0
    assert done(capsys) == fields
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == before

    more = replace(small, train=replace(LIMITS, max_steps=6))
    assert run.main(more) == 0
    assert done(capsys)["step"] == "6"
    assert list(read_steps(folder / "alignment/training")) == [2, 4, 6]
    assert (folder / "alignment/emergence_0000.png").read_bytes().startswith(b"\x89PNG")
    assert "How alignment came about" in (folder / "report.html").read_text()


@pytest.mark.parametrize("family_config", ["luong-general-feeding-1"], ids=str, indirect=True)
def test_pairs_aligned_by_hand_are_scored(small, capsys, tmp_path):
    """All words are linked as possible, so every link that is found is right; with sure links where no sentence has them, none is."""
    sources = Path(small.data.source).read_text().splitlines()[:5]
    links = [" ".join(f"{s}p{t}" for s in range(n) for t in range(n)) for n in (len(line.split()) for line in sources)]
    for name, lines in (("gold.de", sources), ("gold.en", sources), ("gold.align", links)):
        (tmp_path / name).write_text("".join(line + "\n" for line in lines))
    gold = {f"gold_{side}": str(tmp_path / f"gold.{suffix}") for side, suffix in (("source", "de"), ("target", "en"))}
    assert run.main(replace(small, data=replace(small.data, **gold, gold_alignment=str(tmp_path / "gold.align")))) == 0
    fields = done(capsys)
    assert (fields["gold_aer"], fields["gold_aer_sure"]) == ("0.0", "1.0")
    assert "aer" not in fields
    found = (Path(small.output_dir) / small.name / "alignment" / "gold" / "links.txt").read_text().splitlines()
    assert len(found) == 5


def test_changed_settings_are_refused_with_both_values(small):
    assert train.main(small) == 0
    with pytest.raises(ConfigError, match=r"`optim.learning_rate` was 0\.003 and is now 0\.5.*fresh=true"):
        train.main(replace(small, optim=replace(small.optim, learning_rate=0.5)))
    assert train.main(replace(small, tracking=TrackingConfig(tensorboard=False))) == 0


def test_what_failed_before_the_first_checkpoint_can_be_mended(small):
    with pytest.raises(UserError, match="at most"):
        train.main(replace(small, tokenizer=replace(small.tokenizer, vocab_size=8000)))
    with pytest.raises(UserError, match="No such file"):
        train.main(replace(small, data=replace(small.data, source="misspelt.de")))
    assert train.main(small) == 0
    status = RunFolder(Path(small.output_dir) / small.name).status
    assert status["state"] == "trained"
    assert "reason" not in status


@pytest.mark.parametrize("family_config", ["luong-general-feeding-1"], ids=str, indirect=True)
def test_what_failed_and_what_nobody_reads(small, monkeypatch):
    folder = RunFolder(Path(small.output_dir) / small.name)
    with monkeypatch.context() as patch:
        patch.setattr(run, "write_report", Mock(side_effect=OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            run.main(small)
    assert (folder.status["state"], folder.status["reason"]) == ("failed", "OSError: disk full")
    with monkeypatch.context() as patch:
        patch.setattr("builtins.print", Mock(side_effect=BrokenPipeError))
        with pytest.raises(BrokenPipeError):
            run.main(small)
    assert folder.status["state"] == "finished"
    assert "reason" not in folder.status


@pytest.mark.parametrize("family_config", ["luong-general-feeding-1"], ids=str, indirect=True)
@pytest.mark.parametrize(
    ("schedule", "after"),
    [(StableDecayConfig(warmup_steps=5, decay_steps=2), (3, 4)), (AnnealingConfig(warmup_steps=1), (2, 3, 4))],
)
def test_a_decay_that_has_begun_keeps_its_end(small, schedule, after):
    small = replace(small, schedule=schedule, train=replace(LIMITS, validate_every=1, max_steps=4))
    assert train.main(small) == 0
    with pytest.raises(ConfigError, match=r"`train.max_steps` was 4 and is now 6, but the learning rate already falls"):
        train.main(replace(small, train=replace(small.train, max_steps=6)))
    folder = RunFolder(Path(small.output_dir) / small.name)
    for step in after:
        shutil.rmtree(folder.checkpoints.folder / f"step-{step:08d}")
    assert train.main(replace(small, train=replace(small.train, max_steps=6))) == 0


@pytest.mark.parametrize("family_config", ["luong-general-feeding-1"], ids=str, indirect=True)
def test_training_begins_with_the_weights_of_another_run(small, capsys):
    """Those that it is evaluated with; afterwards that run is needed no more. With a learning rate of 0 they stay as they are."""
    averaged = replace(
        small, name="first", train=replace(LIMITS, ema_decay=0.5), evaluation=EvaluationConfig(weights=Weights.ema)
    )
    assert train.main(averaged) == 0
    first = RunFolder(Path(small.output_dir) / "first")
    expected, _ = first.checkpoints.weights(Weights.ema)
    latest, _ = first.checkpoints.weights(Weights.latest)
    assert not all(torch.equal(value, latest[name]) for name, value in expected.items())
    assert evaluate.main(EvaluateCommand(run=str(first.path))) == 0
    assert "bleu = " in capsys.readouterr().out

    second = replace(small, init_from=str(first.path), optim=AdamConfig(learning_rate=0.0), train=replace(LIMITS, max_steps=1))
    for changes, message in (
        (
            {"tokenizer": TokenizerConfig(vocab_size=29)},
            "`init_from` must be a run with the same vocabulary, but in ",
        ),
        (
            {"model": replace(small.model, hidden_dim=18)},
            r"same sizes, but `attention.*weight` is \(14, 14\) in .*/first and \(18, 18\) here, and so on for \d+ more",
        ),
        (
            {"model": replace(small.model, tying=Tying.none)},
            r"`embeddings\.output\.weight` is missing in .*/first and \(30, 13\) here",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            train.main(replace(second, **changes))
    with pytest.raises(RunError, match="nowhere is no run"):
        train.main(replace(second, init_from="nowhere"))
    assert train.main(second) == 0
    shutil.rmtree(first.path)
    assert train.main(replace(second, train=LIMITS)) == 0
    folder = RunFolder(Path(small.output_dir) / small.name)
    assert folder.status["step"] == 4
    weights, _ = folder.checkpoints.weights(Weights.latest)
    assert all(torch.equal(value, expected[name]) for name, value in weights.items())
    with pytest.raises(CheckpointError, match="no moving average of the weights"):
        evaluate.main(EvaluateCommand(run=str(folder.path), weights=Weights.ema))


@pytest.mark.promise(22)
def test_fresh_moves_the_old_run_aside(small, capsys):
    assert train.main(small) == 0
    folder = RunFolder(Path(small.output_dir) / small.name)
    changed = replace(small, seed=2, fresh=True)
    assert train.main(changed) == 0
    assert folder.config().seed == 2
    assert RunFolder(folder.path.with_name("run.1")).config().seed == 1
    assert train.main(replace(changed, fresh=False)) == 0


@pytest.mark.promise(22)
def test_a_second_live_process_is_refused(small):
    folder = Path(small.output_dir) / small.name
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"), pytest.raises(RunError, match="in use by another live process"):
        train.main(small)
    assert train.main(small) == 0


@pytest.mark.promise(16)
def test_changed_data_is_refused(small, tmp_path):
    assert train.main(small) == 0
    for side in ("source", "target"):
        text = Path(getattr(small.data, side)).read_text().splitlines(keepends=True)
        (tmp_path / f"x.{side}").write_text("".join(text[:-1]))
    data = replace(small.data, source=str(tmp_path / "x.source"), target=str(tmp_path / "x.target"))
    folder = RunFolder(Path(small.output_dir) / small.name)
    folder.write_config(replace(small, data=replace(data, source_language="de", target_language="en")))
    with pytest.raises(RunError, match=r"the data of .* changed"):
        train.main(folder.config())
    for main, command in ((evaluate.main, EvaluateCommand), (align.main, AlignCommand)):
        with pytest.raises(RunError, match=r"the data of .* changed"):
            main(command(run=str(folder.path)))


def test_commands_refuse_what_a_run_would(small, tmp_path):
    assert train.main(small) == 0
    path = str(Path(small.output_dir) / small.name)
    for main, command in ((evaluate.main, EvaluateCommand), (align.main, AlignCommand)):
        with pytest.raises(ConfigError, match="`name` must be 1 to 64"):
            main(command(run=path, name="../elsewhere"))
        with pytest.raises(ConfigError, match="`source` and `target` must be given together"):
            main(command(run=path, source="x.de"))
    with pytest.raises(ConfigError, match="`links` only with them"):
        align.main(AlignCommand(run=path, links="gold"))
    for search, message in (
        (SearchOverrides(beam_size=0), "`search.beam_size` must be at least 1"),
        (SearchOverrides(max_sentences=0), "`search.max_sentences` must be at least 1"),
        (SearchOverrides(length_penalty=-1.0), "`search.length_penalty` must be at least 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            translate.main(TranslateCommand(run=path, search=search))


def test_commands_on_a_finished_run(small, capsys, tmp_path, monkeypatch):
    assert train.main(small) == 0
    path = str(Path(small.output_dir) / small.name)
    assert evaluate.main(EvaluateCommand(run=path, search=SearchOverrides(beam_size=1))) == 0
    assert "bleu = " in capsys.readouterr().out

    (tmp_path / "in.de").write_bytes("eins zwei\n\ndrei\u2028vier\n\u00a0\nfuenf".encode())
    command = TranslateCommand(run=path, input=str(tmp_path / "in.de"), output=str(tmp_path / "out.en"))
    assert translate.main(command) == 0
    lines = (tmp_path / "out.en").read_bytes().split(b"\n")
    assert len(lines) == 6
    assert lines[1] == lines[3] == lines[5] == b""

    assert translate.main(replace(command, precision=Precision.int8, output=str(tmp_path / "int8.en"))) == 0
    assert len((tmp_path / "int8.en").read_bytes().split(b"\n")) == 6
    with pytest.raises(ConfigError, match="`precision=int8` is for `nmt translate` and `nmt evaluate`; other commands"):
        align.main(AlignCommand(run=path, precision=Precision.int8))
    with pytest.raises(ConfigError, match="`precision=int8` is for `nmt translate` and `nmt evaluate`; a run"):
        train.main(replace(small, precision=Precision.int8))

    (tmp_path / "in.en").write_text("one two\n\nthree\n\nfive\n")
    (tmp_path / "gold").write_text("0-0 1p1\n\n0-0\n\n0-0\n")
    command = AlignCommand(
        run=path,
        name="mine",
        source=str(tmp_path / "in.de"),
        target=str(tmp_path / "in.en"),
        links=str(tmp_path / "gold"),
        num_heatmaps=1,
    )
    assert align.main(command) == 0
    assert "sure only" in capsys.readouterr().out
    folder = Path(path) / "alignment/mine"
    assert sorted(p.name for p in folder.iterdir()) == [
        "attention.npz",
        "links.txt",
        "scores.json",
        "sentence_0000.png",
        "sentences.jsonl",
    ]


def test_prepare_prints_the_table(small, capsys):
    assert prepare.main(small) == 0
    out = capsys.readouterr().out
    assert "= kept" in out
    assert f"store={small.data.store_dir}" in out


@pytest.mark.promise(1, 9)
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_with_a_checkpoint_and_the_same_command_goes_on(run_config, number, status, tmp_path):
    model = LuongConfig(embedding_dim=13, hidden_dim=14)
    config = run_config(model, train=replace(LIMITS, max_steps=100_000, validate_every=50_000))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(to_dict(config)))
    code = (
        "import sys, yaml; from nmt.config import Config; from nmt.conversion import from_dict; from nmt.commands import train; "
        f"sys.exit(train.main(from_dict(Config, yaml.safe_load(open({str(tmp_path / 'config.yaml')!r})))))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    folder = RunFolder(Path(config.output_dir) / config.name)
    metrics = folder.path / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(timeout=60) == status
    assert folder.status["state"] == "stopped"
    assert folder.status["stop"] == signal.Signals(number).name
    (step,) = folder.checkpoints.steps()
    assert step == folder.status["step"] > 0
    assert train.main(replace(config, train=replace(config.train, max_steps=step + 1))) == 0
    assert folder.status["step"] == step + 1
