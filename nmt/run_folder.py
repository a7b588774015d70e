"""A run's folder: all that a later command needs, and the rules by which one run owns it.

``config.yaml`` (the settings, precision resolved), ``status.json`` (state, scores, versions, commit, command, hardware, data),
``run.log``, ``metrics.jsonl``, ``tensorboard/``, ``tokenizer/``, ``data.json`` (the cleaning report), ``checkpoints/``,
``evaluation/``, ``alignment/``, ``report.html``.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout

from nmt import distributed
from nmt.config import Config, Precision, Weights
from nmt.conversion import flat, from_dict, to_dict
from nmt.data.reader import normalizers
from nmt.data.store import Store
from nmt.data.tokenizer import Tokenizers
from nmt.errors import ConfigError, UserError
from nmt.files import write_json_atomic, write_text_atomic
from nmt.hardware import resolve_device, resolve_precision
from nmt.models import build_model
from nmt.models.interface import Seq2Seq
from nmt.rules import AUTO, validate
from nmt.training.checkpoint import Checkpoints, distinct, load_weights
from nmt.training.schedule import decay_begin

log = logging.getLogger(__name__)

FREE_TO_CHANGE = (
    "fresh",
    "dry_run",
    "threads",
    "device",
    "tracking.",
    "alignment.num_heatmaps",
    "alignment.picture",
    "alignment.num_erased",
    "alignment.num_diagnosed",
    "data.store_dir",
    "train.max_steps",
    "train.max_epochs",
    "train.max_time",
    "train.patience",
    "train.keep_last",
    "train.max_bad_steps",
    "train.save_every",
    "train.profile_updates",
    "train.recompute",
)
"""Settings that may differ when a run goes on, because what it has learnt does not depend on them: where, how long, how it is shown.

``train.max_steps`` is not among them once the learning rate falls towards that step.
"""


AVERAGED, PRUNED = "averaged", "pruned"
"""States of runs that were not trained but made of others."""


class RunError(UserError):
    """The run's folder cannot be used this way."""


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path / "checkpoints")
        self.tokenizer_folder = path / "tokenizer"
        self.data_file = path / "data.json"
        self.training_alignments = path / "alignment" / "training"
        self.report_file = path / "report.html"

    @property
    def status(self) -> dict[str, Any]:
        """What ``status.json`` says; empty before a run has begun."""
        try:
            status: dict[str, Any] = json.loads((self.path / "status.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return status

    @property
    def has_begun(self) -> bool:
        """Whether there is anything to go on with; what ended before its first checkpoint leaves nothing that binds the next attempt."""
        return bool(self.checkpoints.steps()) or "step" in self.status

    @property
    def is_in_use(self) -> bool:
        """Whether a live process has it."""
        lock = FileLock(self.path / ".lock")
        try:
            with lock.acquire(blocking=False):
                return False
        except Timeout:
            return True

    def update_status(self, **values: Any) -> None:
        """Set some values. The reason of a failure goes with the state that it explains."""
        if distributed.is_main():
            known = self.status
            if "state" in values:
                known.pop("reason", None)
            write_json_atomic(self.path / "status.json", {**known, **values})

    def is_finished(self, config: Config) -> bool:
        """Whether all stages are done, and training was not given other limits since."""
        status = self.status
        return status.get("state") == "finished" and status.get("limits") == limits(config)

    def config(self) -> Config:
        """The settings that the run was made with.

        Raises:
            RunError: there is no run here, or its settings cannot be read.
        """
        path = self.path / "config.yaml"
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{self.path} is no run: it has no config.yaml") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise RunError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
        if not isinstance(values, dict):
            raise RunError(f"{path} cannot be read: it holds no settings")
        return from_dict(Config, values)

    def write_config(self, config: Config) -> None:
        write_text_atomic(self.path / "config.yaml", yaml.safe_dump(to_dict(config), sort_keys=False))

    def check_data(self, store: Store) -> None:
        """Make sure that a store holds the data that the run was begun on.

        Raises:
            RunError: it holds other data.
        """
        known = self.status.get("data")
        if known is not None and known != store.path.name:
            raise RunError(
                f"the data of {self.path} changed: it was begun on {known}, the same settings now give {store.path.name}; "
                "put the old files back, or train anew (fresh=true moves the old run aside)"
            )

    def keep_data(self, store: Store) -> None:
        """Copy what later commands need of the data: the tokenizers and the cleaning report.

        Raises:
            RunError: the run was begun on other data.
        """
        self.check_data(store)
        if not distributed.is_main():
            return
        store.tokenizers.save(self.tokenizer_folder)
        write_json_atomic(self.data_file, store.meta)
        self.update_status(data=store.path.name)


@contextmanager
def own(config: Config) -> Iterator[tuple[RunFolder, Config]]:
    """Take the folder of a run for this process and those of its group, new or to go on with, and give it with its settings.

    ``precision=auto`` is resolved when a run begins and stays as it was. ``fresh=true`` moves an old folder aside to ``NAME.1``.

    Raises:
        ConfigError: settings that break a rule, or that differ from those the run was begun with.
        RunError: another live process has the folder.
    """
    validate(config)
    path = Path(config.output_dir) / config.name
    folder = RunFolder(path)
    if not distributed.is_main():
        yield folder, distributed.main_first(folder.config)
        return
    while True:
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise RunError(f"{path} is in use by another live process") from None
        if not (config.fresh and (path / "config.yaml").exists()):
            break
        aside = next(free for n in range(1, 10_000) if not (free := path.with_name(f"{path.name}.{n}")).exists())
        os.rename(path, aside)
        lock.release()
        log.info("fresh=true: the old run is now %s", aside)
    try:
        if folder.has_begun:
            config = _agree(folder, config)
        else:
            (path / "status.json").unlink(missing_ok=True)
            config = replace(config, precision=resolve_precision(config.precision, resolve_device(config.device)))
        distributed.main_first(lambda: folder.write_config(replace(config, fresh=False)))
        with _log_file(path / "run.log"):
            try:
                yield folder, config
            except BaseException as error:
                with suppress(OSError):  # the disk may be full, which is then what `error` says
                    folder.update_status(state="failed", reason=f"{type(error).__name__}: {error}")
                raise
    finally:
        lock.release()


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Write the log into a file too, while the block runs."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def load_run(path: Path, weights: Weights | None, device: torch.device) -> tuple[Config, Seq2Seq, Tokenizers]:
    """The settings, model (in eval mode, on the device) and tokenizers of a run.

    Parameters have no gradients: attributions differentiate with respect to other things, and a recurrent model's steps keep less.

    Raises:
        RunError: there is no run, or it has no checkpoint.
        CheckpointError: the checkpoint is damaged.
    """
    folder = RunFolder(path)
    config = folder.config()
    tokenizers = Tokenizers.load(folder.tokenizer_folder, normalizers(config.data))
    model = build_model(config.model, tokenizers.vocab_sizes)
    values, steps = folder.checkpoints.weights(weights or config.evaluation.weights, config.train.average_last)
    load_weights(model, values)
    log.info("%s: weights of step %s", path, ", ".join(map(str, steps)))
    return config, model.to(device).eval().requires_grad_(False), tokenizers


def write_made(
    path: Path, first: RunFolder, config: Config, model: Seq2Seq, *, step: int, state: str, made_of: dict[str, list[int]]
) -> None:
    """A run of weights that were made of others', with the vocabulary of the ``first`` of those; ``made_of`` has their steps by folder."""
    made = RunFolder(path)
    path.mkdir(parents=True)
    evaluation = replace(config.evaluation, weights=Weights.latest)
    made.write_config(replace(config, name=path.name, output_dir=str(path.parent), evaluation=evaluation))
    shutil.copytree(first.tokenizer_folder, made.tokenizer_folder)
    shutil.copyfile(first.data_file, made.data_file)
    made.checkpoints.save(step, model, torch.optim.SGD(model.parameters()), {}, keep_last=1, best=None)
    made.update_status(state=state, step=step, made_of=made_of, data=first.status.get("data"))


def load_initial(model: Seq2Seq, path: Path, tokenizers: Tokenizers) -> None:
    """Give a model the weights that another run is evaluated with.

    Raises:
        ConfigError: that run has another vocabulary, or weights of other names or shapes.
        RunError: there is no run, or it has no checkpoint.
        CheckpointError: the checkpoint is damaged.
    """
    folder = RunFolder(path)
    config = folder.config()
    known = Tokenizers.load(folder.tokenizer_folder, normalizers(config.data))
    if difference := known.difference(tokenizers):
        raise ConfigError(
            f"`init_from` must be a run with the same vocabulary, but in {path} {difference}; `tokenizer.model` can name that one"
        )
    weights, steps = folder.checkpoints.weights(config.evaluation.weights, config.train.average_last)
    shapes = [{name: tuple(value.shape) for name, value in state.items()} for state in (weights, distinct(model.state_dict()))]
    differing = sorted(name for name in shapes[0].keys() | shapes[1].keys() if shapes[0].get(name) != shapes[1].get(name))
    if differing:
        there, here = (shape.get(differing[0], "missing") for shape in shapes)
        raise ConfigError(
            f"`init_from` must be a run with a model of the same sizes, but `{differing[0]}` is {there} in {path} and {here} here"
            + (f", and so on for {len(differing) - 1} more" if len(differing) > 1 else "")
        )
    load_weights(model, weights)
    log.info("beginning with the weights of %s, step %s", path, ", ".join(map(str, steps)))


def limits(config: Config) -> dict[str, Any]:
    """What ends training; other limits make a finished run go on."""
    train = config.train
    return {"max_steps": train.max_steps, "max_epochs": train.max_epochs, "max_time": train.max_time, "patience": train.patience}


def _agree(folder: RunFolder, new: Config) -> Config:
    """The new settings, if they may take over what the run has learnt with the old ones."""
    old, path = folder.config(), folder.path
    if (state := folder.status.get("state")) in (AVERAGED, PRUNED):
        raise ConfigError(f"{path} is {state} and cannot be gone on with; `init_from={path}` begins a run with its weights")
    if new.train.max_tokens == AUTO:
        new = replace(new, train=replace(new.train, max_tokens=old.train.max_tokens))
    if new.precision is Precision.auto:
        new = replace(new, precision=old.precision)
    before, now = flat(to_dict(old)), flat(to_dict(new))
    changed = [
        f"`{key}` was {before.get(key)} and is now {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not key.startswith(FREE_TO_CHANGE)
    ]
    begin = decay_begin(old.schedule, old.train.max_steps or 0)
    if begin is not None and new.train.max_steps != old.train.max_steps and max(folder.checkpoints.steps(), default=0) > begin:
        changed.append(
            f"`train.max_steps` was {old.train.max_steps} and is now {new.train.max_steps}, but the learning rate already falls "
            "towards that step"
        )
    if changed:
        raise ConfigError(
            f"{path} was begun with other settings: {'; '.join(changed)}. "
            "Give the run another `name`, or fresh=true to move the old one aside"
        )
    return new
