import json
import os
import re
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from unittest import mock

import pytest
import torch
from hypothesis import given, settings, strategies
from torch import nn

from nmt.config import AdamConfig, Weights
from nmt.training.checkpoint import CheckpointError, Checkpoints, distinct, load_weights
from nmt.training.optim import build_optimizer


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.output = nn.Linear(3, 5)
        self.output.weight = self.embedding.weight


def save(checkpoints, step, value, keep_last=2, best=None, average=None):
    model = Tied()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    optimizer = build_optimizer(model, AdamConfig())
    ema = (
        None
        if average is None
        else {name: torch.full_like(value, average) for name, value in distinct(model.state_dict()).items()}
    )
    checkpoints.save(step, model, optimizer, {"state": {"step": step}}, keep_last=keep_last, best=best, ema=ema)
    return model


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints")


def test_round_trip_with_tied_weights(checkpoints):
    saved = save(checkpoints, 7, 0.3)
    checkpoint = checkpoints.load_latest()
    assert checkpoint.step == 7
    assert checkpoint.meta["state"] == {"step": 7}
    fresh = Tied()
    load_weights(fresh, checkpoint.model)
    assert fresh.output.weight is fresh.embedding.weight
    assert torch.equal(fresh.output.weight, saved.output.weight)
    assert torch.equal(fresh.output.bias, saved.output.bias)


@pytest.mark.promise(14)
def test_the_best_and_the_newest_stay(checkpoints):
    for step in range(1, 7):
        save(checkpoints, step, step, keep_last=2, best=2 if step >= 2 else 1)
    assert checkpoints.steps() == [2, 5, 6]
    assert (checkpoints.folder / "best").read_text() == "step-00000002\n"
    assert (checkpoints.folder / "latest").read_text() == "step-00000006\n"
    assert checkpoints.weights(Weights.best)[1] == [2]
    assert checkpoints.weights(Weights.latest)[1] == [6]


class Killed(BaseException):
    """What no handler of errors sees, as none sees SIGKILL."""


@contextmanager
def killed_after(operations):
    """Ends what runs within at the operation on the file system that follows so many."""
    left = operations

    def counted(operation):
        def call(*arguments, **options):
            nonlocal left
            if not left:
                raise Killed
            left -= 1
            return operation(*arguments, **options)

        return call

    with ExitStack() as stack:
        for name in ("mkdir", "open", "rename", "replace", "rmdir", "unlink"):
            stack.enter_context(mock.patch.object(os, name, counted(getattr(os, name))))
        with suppress(Killed):
            yield


@pytest.mark.promise(2, 14)
@settings(max_examples=60, deadline=None)
@given(
    keep_last=strategies.integers(1, 3),
    saves=strategies.lists(strategies.tuples(strategies.booleans(), strategies.integers(0, 60)), min_size=1, max_size=7),
)
def test_whenever_it_is_killed_the_best_and_the_newest_stay(keep_last, saves):
    """Saves are ended after any number of operations; a new process finds what was there before, or what was being saved."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoints"
        save(Checkpoints(path), 1, 1, keep_last, best=1)
        newest = best = 1
        for step, (improves, operations) in enumerate(saves, start=2):
            better = step if improves else best
            with killed_after(operations):
                save(Checkpoints(path), step, step, keep_last, best=better)
            found = Checkpoints(path)
            loaded = found.load_latest()
            assert loaded.step in (newest, step)
            assert {float(value) for values in loaded.model.values() for value in values.flatten()} == {float(loaded.step)}
            weights, [steps] = found.weights(Weights.best)
            assert steps in (best, better)
            assert {float(value) for values in weights.values() for value in values.flatten()} == {float(steps)}
            newest, best = loaded.step, steps
        save(Checkpoints(path), 9, 9, keep_last, best=best)
        assert not list(path.glob("*.tmp"))
        assert set(Checkpoints(path).steps()[-keep_last:]) | {best} == set(Checkpoints(path).steps())


def test_average_is_the_mean(checkpoints):
    for step, value in ((1, 1.0), (2, 2.0), (3, 6.0)):
        save(checkpoints, step, value, keep_last=3)
    weights, steps = checkpoints.weights(Weights.average, average_last=2)
    assert steps == [2, 3]
    assert {float(v) for value in weights.values() for v in value.flatten()} == {4.0}


def test_the_moving_average_of_the_best_can_be_used(checkpoints):
    save(checkpoints, 1, 1.0, best=1, average=0.5)
    save(checkpoints, 2, 2.0, best=1, average=0.75)
    weights, steps = checkpoints.weights(Weights.ema)
    assert steps == [1]
    model = Tied()
    load_weights(model, weights)
    assert {float(v) for value in model.state_dict().values() for v in value.flatten()} == {0.5}
    assert {float(v) for value in checkpoints.load_latest().ema.values() for v in value.flatten()} == {0.75}
    save(checkpoints, 3, 3.0, best=3)
    with pytest.raises(
        CheckpointError, match=r"step-00000003 has no moving average of the weights: `train.ema_decay` was not set"
    ):
        checkpoints.weights(Weights.ema)
    assert checkpoints.load_latest().ema is None


@pytest.mark.promise(8)
@pytest.mark.parametrize("name", ["model.safetensors", "training.pt", "meta.json", "ema.safetensors", "MANIFEST.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_damage_is_noticed_and_the_one_before_is_used(checkpoints, name, damage, caplog):
    save(checkpoints, 1, 1.0)
    save(checkpoints, 2, 2.0, average=0.5)
    path = checkpoints.folder / "step-00000002" / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
    assert checkpoints.load_latest().step == 1
    assert "step-00000002" in caplog.text


@pytest.mark.promise(8)
def test_nothing_whole_is_an_error_not_a_fresh_start(checkpoints):
    save(checkpoints, 1, 1.0)
    (checkpoints.folder / "step-00000001" / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="fresh=true"):
        checkpoints.load_latest()


def test_no_checkpoint_is_none(checkpoints):
    assert checkpoints.load_latest() is None


@pytest.mark.promise(2, 8)
def test_a_half_written_checkpoint_is_passed_over_and_cleared(checkpoints):
    save(checkpoints, 1, 1.0)
    leftover = checkpoints.folder / "step-00000002.tmp"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    assert checkpoints.load_latest().step == 1
    save(checkpoints, 3, 3.0)
    assert sorted(os.listdir(checkpoints.folder)) == ["latest", "step-00000001", "step-00000003"]


def test_without_a_validation_the_newest_can_be_used(checkpoints):
    save(checkpoints, 1, 1.0)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* was validated yet; weights=latest takes the newest"):
        checkpoints.weights(Weights.best)
    (checkpoints.folder / "latest").unlink()  # a crash before it was written
    assert checkpoints.weights(Weights.latest)[1] == [1]


@pytest.mark.promise(13)
@pytest.mark.parametrize("write", ["save_file", "torch.save", "write_json_atomic", "sync", "os.rename", "write_text_atomic"])
def test_a_full_disk_leaves_the_old_ones(checkpoints, monkeypatch, write):
    save(checkpoints, 1, 1.0)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"nmt.training.checkpoint.{write}", full)
    steps = [1, 2] if write == "write_text_atomic" else [1]  # that one names a checkpoint which is already whole
    with pytest.raises(CheckpointError, match=rf"MiB free.*No space left.*{re.escape(str(steps))}$"):
        save(checkpoints, 2, 2.0)
    assert checkpoints.load_latest().step == steps[-1]
    assert not list(checkpoints.folder.glob("*.tmp"))


@pytest.mark.promise(4)
def test_loading_runs_no_code(checkpoints, tmp_path):
    save(checkpoints, 1, 1.0)
    sentinel = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {sentinel}",)

    folder = checkpoints.folder / "step-00000001"
    torch.save(Evil(), folder / "training.pt")
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    from nmt.training.checkpoint import _fingerprint

    manifest["training.pt"] = _fingerprint(folder / "training.pt")
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        checkpoints.load(1)
    assert not sentinel.exists()
