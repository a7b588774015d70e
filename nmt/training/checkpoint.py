"""Checkpoints that survive a crash at any moment, notice damage, and hold nothing that can run code.

A checkpoint is a folder ``step-00012000`` with ``model.safetensors``, ``training.pt`` (tensors and plain values, read with
``weights_only=True``), ``meta.json``, ``ema.safetensors`` where weights are averaged while they are trained, and ``MANIFEST.json`` (size
and SHA-256 of the others). It is written aside, synced and renamed into place, so a folder of that name is complete; the manifest tells
whether it still is. ``best`` and ``latest`` beside it are one-line files that name a step folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nmt.config import Weights
from nmt.errors import RunFailure
from nmt.files import sync, write_json_atomic, write_text_atomic

log = logging.getLogger(__name__)

MODEL, TRAINING, META, EMA, MANIFEST = "model.safetensors", "training.pt", "meta.json", "ema.safetensors", "MANIFEST.json"


class CheckpointError(RunFailure):
    """No checkpoint, or none that is whole."""


@dataclass(slots=True)
class Checkpoint:
    """A checkpoint read back: weights by name, the optimiser's state, the trainer's counters, and the moving average of the weights."""

    step: int
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    meta: dict[str, Any]
    ema: dict[str, Tensor] | None = None


class Checkpoints:
    """The ``checkpoints/`` folder of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def steps(self) -> list[int]:
        """Steps of all checkpoints, oldest first."""
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*") if path.name[5:].isdigit())

    def save(
        self,
        step: int,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        meta: dict[str, Any],
        *,
        keep_last: int,
        best: int | None,
        ema: dict[str, Tensor] | None = None,
    ) -> None:
        """Write the checkpoint of ``step``, then drop all but the best and the newest ``keep_last`` ones.

        Raises:
            CheckpointError: the disk is full; what was there before is untouched.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob("*.tmp"):
            shutil.rmtree(leftover)
        aside = self.folder / f"step-{step:08d}.tmp"
        try:
            aside.mkdir()
            save_file(distinct(model.state_dict()), aside / MODEL)
            if ema is not None:
                save_file(ema, aside / EMA)
            torch.save(optimizer.state_dict(), aside / TRAINING)
            write_json_atomic(aside / META, {"step": step, **meta})
            write_json_atomic(aside / MANIFEST, {path.name: _fingerprint(path) for path in sorted(aside.iterdir())})
            for path in aside.iterdir():
                sync(path)
            sync(aside)
            whole = self._path(step)
            if whole.exists():  # a damaged one that a resumed run has walked past again
                shutil.rmtree(whole)
            os.rename(aside, whole)
            sync(self.folder)
            write_text_atomic(self.folder / "latest", whole.name + "\n")
            if best is not None:
                write_text_atomic(self.folder / "best", self._path(best).name + "\n")
            self._prune(keep={*self.steps()[-keep_last:], step, best if best is not None else step})
        except (OSError, RuntimeError) as error:
            shutil.rmtree(aside, ignore_errors=True)
            free = shutil.disk_usage(self.folder).free
            raise CheckpointError(
                f"cannot write a checkpoint to {self.folder} ({free >> 20} MiB free): {error}; checkpoints there: {self.steps()}"
            ) from error

    def load_latest(self) -> Checkpoint | None:
        """The newest whole checkpoint, or None where there is none at all.

        Raises:
            CheckpointError: there are some, but none is whole: never a silent fresh start.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self.load(step)
            except CheckpointError as error:
                log.warning("%s; trying the one before", error)
        if steps:
            raise CheckpointError(f"no checkpoint in {self.folder} is whole; `fresh=true` starts again")
        return None

    def load(self, step: int) -> Checkpoint:
        """A checkpoint whose every file matches the manifest.

        Raises:
            CheckpointError: a file is missing or differs.
        """
        path = self._path(step)
        self._verify(path)
        meta = json.loads((path / META).read_text(encoding="utf-8"))
        optimizer = torch.load(path / TRAINING, map_location="cpu", weights_only=True)
        ema = load_file(path / EMA) if (path / EMA).exists() else None
        return Checkpoint(step, load_file(path / MODEL), optimizer, meta, ema)

    def weights(self, which: Weights, average_last: int = 1) -> tuple[dict[str, Tensor], list[int]]:
        """Weights to use a run with, and the steps that they come from.

        Raises:
            CheckpointError: there are none, or they are damaged.
        """
        if not self.steps():
            raise CheckpointError(f"there is no checkpoint in {self.folder}")
        match which:
            case Weights.best:
                steps = [self._best()]
            case Weights.latest:
                steps = self.steps()[-1:]
            case Weights.average:
                steps = self.steps()[-average_last:]
            case Weights.ema:
                step = self._best()
                return self._load_ema(step), [step]
        return average(self._load_model(step) for step in steps), steps

    def _load_model(self, step: int) -> dict[str, Tensor]:
        self._verify(self._path(step))
        return load_file(self._path(step) / MODEL)

    def _load_ema(self, step: int) -> dict[str, Tensor]:
        path = self._path(step)
        self._verify(path)
        if not (path / EMA).exists():
            raise CheckpointError(
                f"{path} has no moving average of the weights: `train.ema_decay` was not set when it was trained"
            )
        return load_file(path / EMA)

    def _verify(self, path: Path) -> None:
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            for name in dict.fromkeys((MODEL, TRAINING, META, *manifest)):
                if manifest[name] != _fingerprint(path / name):
                    raise CheckpointError(f"{path / name} is damaged: it differs from the manifest")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is damaged: {error}") from error

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _best(self) -> int:
        try:
            return int((self.folder / "best").read_text(encoding="utf-8").strip().removeprefix("step-"))
        except FileNotFoundError:
            raise CheckpointError(f"no checkpoint in {self.folder} was validated yet; weights=latest takes the newest") from None

    def _prune(self, keep: set[int]) -> None:
        for step in self.steps():
            if step not in keep:
                # renamed first, so that a crash while deleting leaves no half checkpoint
                doomed = self._path(step).with_suffix(".tmp")
                os.rename(self._path(step), doomed)
                shutil.rmtree(doomed)


def average(models: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The element-wise mean of several models' weights, summed in float64."""
    total: dict[str, Tensor] = {}
    types: dict[str, torch.dtype] = {}
    count = 0
    for model in models:
        count += 1
        for name, value in model.items():
            types[name] = value.dtype
            total[name] = total[name] + value.double() if name in total else value.double()
    return {name: (value / count).to(types[name]) for name, value in total.items()}


def load_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Put weights that :meth:`Checkpoints.weights` gave into a model of the same configuration."""
    names = {value.data_ptr(): name for name, value in distinct(model.state_dict()).items()}
    model.load_state_dict({name: weights[names[value.data_ptr()]] for name, value in model.state_dict().items()})


def distinct(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state without the second names of tied weights, which safetensors refuses."""
    first_names: dict[int, str] = {}
    for name, value in state.items():
        first_names.setdefault(value.data_ptr(), name)
    return {name: state[name] for name in first_names.values()}


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
