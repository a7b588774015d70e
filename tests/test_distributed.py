"""Several processes under torchrun: they train what one does, end together, and go on together."""

import json
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
import yaml
from safetensors.torch import load_file

from nmt import distributed
from nmt.commands import run, train
from nmt.config import AdamConfig, ModelKind, MuonConfig, TrainConfig
from nmt.conversion import to_dict
from nmt.data.plan import BatchPlan
from nmt.data.prepare import prepare
from nmt.errors import UserError
from nmt.run_folder import RunFolder

PROGRAM = """
import logging, os, sys, torch, yaml
from nmt import distributed
from nmt.commands import run, train
from nmt.commands.launch import _refuse
from nmt.config import Config
from nmt.errors import ConfigError, RunFailure
from nmt.conversion import from_dict
from nmt.training.update import Updater

logging.basicConfig(level="INFO")
path, fault = sys.argv[1:]
make_update, make_gradient, sum_gradients = Updater.__call__, Updater._add_gradient, Updater._sum_gradients

def is_struck(self):
    return self.step == 3 and distributed.rank() == distributed.world_size() - 1

def disturbed(self, step, **options):
    self.step = step
    if is_struck(self) and fault.isdigit() and int(fault):
        os.kill(os.getpid(), int(fault))
    make_update(self, step, **options)

def without_memory(self, *arguments):
    if is_struck(self) and fault == "memory":
        raise torch.OutOfMemoryError("CUDA out of memory")
    make_gradient(self, *arguments)

def not_a_number(self):
    if is_struck(self) and fault == "nan":
        next(p.grad for p in self._parameters if p.grad is not None).view(-1)[0] = float("nan")
    sum_gradients(self)

Updater.__call__, Updater._add_gradient, Updater._sum_gradients = disturbed, without_memory, not_a_number
with open(path) as file:
    config = from_dict(Config, yaml.safe_load(file))
try:
    sys.exit(train.main(config))
except ConfigError as error:
    sys.exit(_refuse("train", error))
except RunFailure as error:
    sys.exit(f"FAILED {error}")
"""
"""Trains; in the fourth update the last process is sent a signal, runs out of memory, or has a gradient that is not a number."""

RECURRENT = [pytest.param(name, marks=pytest.mark.long) for name in ("bahdanau-additive", "luong-general-feeding-1")]


@pytest.fixture
def config(run_config, guided, family_config):
    """Seven updates of up to six micro-batches, with dropout and guided attention."""
    names = ("dropout", "embedding_dropout", "output_dropout")
    model = replace(family_config, **{name: 0.2 for name in names if hasattr(family_config, name)})
    optim = MuonConfig if family_config.kind is ModelKind.transformer else AdamConfig
    # the gradient of a key's bias is 0 but for rounding, which Adam without a large eps would make as large as any other
    config = run_config(
        model,
        optim=optim(learning_rate=3e-3, eps=1e-3),
        train=TrainConfig(max_steps=7, max_tokens=256, microbatches=6, validate_every=7, log_every=2),
    )
    return guided(config)


@pytest.fixture
def torchrun(tmp_path):
    """Train in ``world_size`` processes, with a fault in the last of them (a signal's number, ``memory`` or ``nan``) or with none."""

    def start(config, world_size, fault=0):
        (tmp_path / "program.py").write_text(PROGRAM)
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(to_dict(config)))
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world_size}"]
        return subprocess.run(
            [*command, str(tmp_path / "program.py"), str(tmp_path / "config.yaml"), str(fault)],
            capture_output=True,
            text=True,
            timeout=120,
        )

    return start


def weights(config):
    folder = RunFolder(Path(config.output_dir) / config.name)
    return load_file(folder.checkpoints.folder / "step-00000007" / "model.safetensors")


def metrics(config):
    """Records, without what the clock says."""
    lines = (Path(config.output_dir) / config.name / "metrics.jsonl").read_text().splitlines()
    clock = ("train/tokens_per_s", "train/data_wait", "train/mfu")
    return [{name: value for name, value in json.loads(line).items() if name not in clock} for line in lines]


@pytest.mark.promise(6)
@pytest.mark.parametrize("family_config", ["transformer-pre-three_way", *RECURRENT], ids=str, indirect=True)
def test_processes_train_what_one_does(config, torchrun):
    store = prepare(config.data, config.tokenizer, config.seed)
    lengths = store.split("train").source_lengths, store.split("train").target_lengths
    plan = BatchPlan(*lengths, max_tokens=256, microbatches=6, seed=config.seed)
    updates = [len(plan.update(step)) for step in range(7)]
    assert {6} < set(updates)
    assert min(updates) < 3  # some process has nothing to do then
    assert train.main(config) == 0
    alone = weights(config), metrics(config)
    for world_size in (2, 3):
        group = replace(config, name=f"group{world_size}")
        result = torchrun(group, world_size)
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("TRAINED step=7") == 1
        assert result.stderr.count("updates an epoch") == 1
        assert RunFolder(Path(group.output_dir) / group.name).status["hardware"]["processes"] == world_size
        for name, value in weights(group).items():
            torch.testing.assert_close(value, alone[0][name], rtol=1e-4, atol=1e-5)
        for mine, theirs in zip(metrics(group), alone[1], strict=True):
            assert mine == pytest.approx(theirs, rel=1e-4)


@pytest.mark.promise(2, 7)
@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
@pytest.mark.parametrize("family_config", ["transformer-pre-three_way"], ids=str, indirect=True)
def test_a_group_that_lost_a_process_goes_on_as_if_undisturbed(config, torchrun, number):
    whole, part = replace(config, name="whole"), replace(config, name="part")
    assert torchrun(whole, 2).returncode == 0
    result = torchrun(part, 2, number)
    assert result.returncode != 0
    status = RunFolder(Path(part.output_dir) / part.name).status
    if number is signal.SIGTERM:  # every process stops after the update, and it is saved
        assert (status["state"], status["step"], status["stop"]) == ("stopped", 4, "SIGTERM")
    else:
        assert "process 0 lost the others; one may have ended: " in result.stderr
        assert status["state"] == "failed"
    assert torchrun(part, 2).returncode == 0
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(part).items())
    assert metrics(part) == metrics(whole)


@pytest.mark.parametrize("family_config", ["luong-general-feeding-1"], ids=str, indirect=True)
def test_processes_share_the_whole_run_and_its_evaluation(run_config, family_config, tmp_path):
    """``nmt run`` and ``nmt evaluate``, from the settings of a run of one process: the same translations and scores, once."""
    config = run_config(family_config, train=TrainConfig(max_steps=4, max_tokens=256, microbatches=2, validate_every=4))
    assert run.main(config) == 0
    alone = Path(config.output_dir) / config.name
    group = tmp_path / "outputs" / "group"
    group.mkdir(parents=True)
    settings = replace(config, name="group", output_dir=str(group.parent))
    (group / "config.yaml").write_text(yaml.safe_dump(to_dict(settings)))
    (tmp_path / "program.py").write_text(PROGRAM.replace("train.main(config)", "run.main(config)"))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    options = {"capture_output": True, "text": True, "timeout": 120}
    result = subprocess.run([*launcher, str(tmp_path / "program.py"), str(group / "config.yaml"), "0"], **options)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("DONE step=4") == 1
    result = subprocess.run([*launcher, "-m", "nmt", "evaluate", f"run={group}", "name=again"], cwd=tmp_path, **options)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("bleu = ") == 1
    expected = (alone / "evaluation" / "test" / "hypotheses.txt").read_text()
    assert expected.strip()
    for name in ("test", "again"):
        assert (group / "evaluation" / name / "hypotheses.txt").read_text() == expected


@pytest.mark.long
@pytest.mark.promise(6)
@pytest.mark.parametrize("family_config", ["transformer-pre-three_way"], ids=str, indirect=True)
def test_two_machines_meet(config, tmp_path):
    """Two agents of torchrun, each with two processes, find each other by the command of docs/clusters.md."""
    config = replace(config, train=replace(config.train, microbatches=4))
    alone, group = replace(config, name="alone"), replace(config, name="group")
    assert train.main(alone) == 0
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(to_dict(group)))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "nightly"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "2", *meeting]
    machines = [subprocess.Popen([*command, str(tmp_path / "program.py"), str(tmp_path / "config.yaml"), "0"]) for _ in range(2)]
    assert [machine.wait(timeout=300) for machine in machines] == [0, 0]
    assert RunFolder(Path(group.output_dir) / group.name).status["hardware"]["processes"] == 4
    for name, value in weights(group).items():
        torch.testing.assert_close(value, weights(alone)[name], rtol=1e-4, atol=1e-5)


@pytest.mark.promise(1, 12)
@pytest.mark.parametrize("family_config", ["transformer-pre-three_way"], ids=str, indirect=True)
def test_another_number_of_processes_goes_on_where_the_last_one_stopped(config, torchrun):
    """In the middle of an epoch: a sentence more or less, or another one, would be another gradient."""
    alone = replace(config, name="alone")
    assert train.main(alone) == 0
    assert torchrun(config, 2, signal.SIGTERM).returncode != 0
    folder = RunFolder(Path(config.output_dir) / config.name)
    assert (folder.status["step"], folder.status["hardware"]["processes"]) == (4, 2)
    assert torchrun(config, 3).returncode == 0
    assert folder.status["hardware"]["processes"] == 3
    for name, value in weights(config).items():
        torch.testing.assert_close(value, weights(alone)[name], rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(metrics(config), metrics(alone), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)


@pytest.mark.promise(5)
@pytest.mark.parametrize("family_config", ["transformer-pre-three_way"], ids=str, indirect=True)
def test_a_gradient_that_is_not_a_number_in_one_process_changes_nothing_in_any(config, torchrun):
    final = []
    for world_size in (1, 2):
        run = replace(config, name=f"run{world_size}")
        result = torchrun(run, world_size, "nan")
        assert result.returncode == 0, result.stderr
        final.append(weights(run))
        assert sum(record.get("train/skipped_updates", 0) for record in metrics(run)) == 0.5  # one of two in an interval
    assert all(torch.isfinite(value).all() for value in final[0].values())
    torch.testing.assert_close(final[1], final[0], rtol=1e-4, atol=1e-6)


@pytest.mark.promise(7, 25)
@pytest.mark.parametrize("family_config", ["transformer-pre-three_way"], ids=str, indirect=True)
def test_a_process_without_memory_ends_all_and_names_the_batch(config, torchrun):
    result = torchrun(config, 2, "memory")
    assert result.returncode != 0
    assert "FAILED process 1: out of memory in update 3, with " in result.stderr
    assert "lower `train.max_tokens` (now 256)" in result.stderr
    # torchrun may end the other process before it can say that it lost this one, but not before it is written down
    assert "process 0 lost the others" in RunFolder(Path(config.output_dir) / config.name).status["reason"]


@pytest.mark.promise(7)
@pytest.mark.parametrize("family_config", ["transformer-pre-three_way"], ids=str, indirect=True)
def test_unequal_work_is_refused_once(config, torchrun):
    result = torchrun(replace(config, train=replace(config.train, microbatches=3)), 2)
    assert result.returncode != 0
    message = "`train.microbatches` must be a multiple of the number of processes (2), which share them, but is 3"
    assert result.stderr.count(message) == 1


@pytest.mark.promise(9)
@pytest.mark.parametrize("family_config", ["luong-general-feeding-1"], ids=str, indirect=True)
def test_the_command_line_under_torchrun(config, tmp_path):
    """Stopped by a signal to torchrun itself, then gone on with."""
    values = {"output_dir": config.output_dir, "data": "files", "model": "luong", "tracking.tensorboard": "false"}
    values |= {f"data.{name}": getattr(config.data, name) for name in ("source", "target", "dev_size", "test_size", "store_dir")}
    values |= {
        "data.cleaning.max_copy_length": "null",
        "tokenizer.vocab_size": 30,
        "model.embedding_dim": 13,
        "model.hidden_dim": 14,
        "train.max_epochs": "null",
    }
    values |= {"train.max_tokens": 256, "train.microbatches": 2, "train.log_every": 1, "train.validate_every": 50_000}
    words = [f"{name}={value}" for name, value in values.items()]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "nmt", "train", *words]
    folder = RunFolder(Path(config.output_dir) / "run")
    metrics = folder.path / "metrics.jsonl"
    process = subprocess.Popen([*command, "train.max_steps=100000"], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) != 0
    assert (folder.status["state"], folder.status["stop"]) == ("stopped", "SIGTERM")
    step = folder.status["step"]
    assert step == folder.checkpoints.steps()[-1] > 0
    again = subprocess.run([*command, f"train.max_steps={step + 2}"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(f"TRAINED step={step + 2} ")


def test_a_process_that_ends_before_all_have_met_is_told_of(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("RANK", "1")
    lost = torch.distributed.DistNetworkError("Connection reset by peer\nat frame 1")
    monkeypatch.setattr(torch.distributed, "init_process_group", Mock(side_effect=lost))
    with (
        pytest.raises(distributed.ProcessLost, match=r"process 1 lost the others; one may have ended: Connection reset by peer$"),
        distributed.process_group(torch.device("cpu")),
    ):
        pass


def test_sigterm_does_not_end_a_process_that_lost_the_others_before_it_says_so():
    trainer, before = SimpleNamespace(stop_signal=0), {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(distributed.ProcessLost), train._stop_on_signal(trainer):
            raise distributed.ProcessLost("process 0 lost the others")
        assert signal.getsignal(signal.SIGINT) is before[signal.SIGINT]
        signal.raise_signal(signal.SIGTERM)
        assert trainer.stop_signal == signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before[signal.SIGTERM])


def test_more_processes_than_gpus_are_refused(monkeypatch):
    for name, value in (("TORCHELASTIC_RUN_ID", "none"), ("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with (
        pytest.raises(UserError, match="2 processes need as many GPUs, but there are 1"),
        distributed.process_group(torch.device("cuda")),
    ):
        pass


def test_one_process_is_a_group_of_its_own():
    with distributed.process_group(torch.device("cpu")):
        assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
        assert distributed.maxima(3.0, -1.0) == [3.0, -1.0]
        assert distributed.main_first(lambda: 5) == 5
        assert distributed.from_main(lambda: 5.0) == 5.0
        values = torch.tensor([1.0, 2.0])
        distributed.sum_in_place([values])
        assert values.tolist() == [1.0, 2.0]
