"""``nmt train``: prepare, then train until a limit is reached; the same command goes on where an earlier one stopped."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch

from nmt import distributed
from nmt.config import Config, FilesDataConfig, ModelKind, ProgressStyle
from nmt.data.batching import TrainingText
from nmt.data.plan import BatchPlan
from nmt.data.prepare import prepare
from nmt.data.reader import corpora
from nmt.data.sampling import SampledSplit
from nmt.data.store import Store
from nmt.decoding.translator import Translator
from nmt.errors import ConfigError
from nmt.hardware import resolve_device
from nmt.models import build_model
from nmt.models.interface import Seq2Seq
from nmt.provenance import provenance
from nmt.run_folder import RunFolder, load_initial, own
from nmt.text import format_time
from nmt.tracking import Progress, Tracker
from nmt.training.checkpoint import load_weights
from nmt.training.ema import EMA
from nmt.training.freezing import freeze
from nmt.training.objective import Objective
from nmt.training.optim import build_optimizer
from nmt.training.profile import format_profile, profile_updates
from nmt.training.schedule import build_schedule
from nmt.training.trainer import Trainer
from nmt.training.update import Updater
from nmt.validation import Validation

log = logging.getLogger(__name__)


def main(config: Config) -> int:
    with distributed.process_group(resolve_device(config.device)), own(config) as (folder, config):
        status = train(folder, config, distributed.main_first(lambda: prepare(config.data, config.tokenizer, config.seed)))
        if status == 0 and distributed.is_main():
            reached = folder.status
            print(f"TRAINED step={reached['step']} run={folder.path} time={reached['training_time']} stop={reached['stop']}")
    return status


def train(folder: RunFolder, config: Config, store: Store) -> int:
    """Train the model of a run from its newest checkpoint, or from the start, to the first limit; the outcome is in its status.

    Returns the exit status: 0, or 128 + signal where SIGINT or SIGTERM ended training, after a checkpoint.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.train.microbatches % distributed.world_size():
        raise ConfigError(
            f"`train.microbatches` must be a multiple of the number of processes ({distributed.world_size()}), "
            f"which share them, but is {config.train.microbatches}"
        )
    device = resolve_device(config.device)
    folder.keep_data(store)
    folder.update_status(state="training", **provenance(device))
    trainer = build_trainer(folder, config, store, device)
    log.info(
        "%s, %s parameters, %s on %s, %d updates an epoch",
        config.model.kind.name,
        f"{sum(p.numel() for p in trainer.objective.parameters()):,}",
        config.precision.name,
        device.type,
        trainer.update.plan.steps(1),
    )
    if device.type == "cuda":
        trainer.update.rehearse()
    if config.train.profile_updates:
        trace = folder.path / f"profile{distributed.rank() or ''}.json.gz"
        update = build_updater(config, train_split(config, store), store.tokenizers.vocab_sizes, device, mixture(config, store))
        times = profile_updates(update, config.train.profile_updates, trace)
        log.info("where an update goes; its trace is %s\n%s", trace, format_profile(times))
    with _stop_on_signal(trainer), trainer.progress:
        reason = trainer.train()
    trainer.tracker.close()
    state = trainer.state
    folder.update_status(
        state="trained" if reason else "stopped",
        step=state.step,
        stop=reason or signal.Signals(trainer.stop_signal).name,
        training_time=format_time(state.elapsed_s),
        training_s=round(state.elapsed_s, 1),
        best={"step": state.best_step, config.train.metric.name: state.best_score},
    )
    if reason:
        return 0
    log.info("stopped at step %d; the same command goes on from there", state.step)
    return 128 + trainer.stop_signal


def build_trainer(folder: RunFolder, config: Config, store: Store, device: torch.device) -> Trainer:
    """The trainer of a run, resumed from its newest checkpoint where there is one."""
    checkpoint = folder.checkpoints.load_latest()

    def begin(model: Seq2Seq) -> None:
        if checkpoint:
            load_weights(model, checkpoint.model)
            log.info("resuming %s after step %d", folder.path, checkpoint.step)
        elif config.init_from:
            load_initial(model, Path(config.init_from), store.tokenizers)

    vocab_sizes = store.tokenizers.vocab_sizes
    update = build_updater(config, train_split(config, store), vocab_sizes, device, mixture(config, store), begin)
    objective = update.objective
    tracker = Tracker(folder.path, config.tracking, checkpoint.step if checkpoint else 0)
    translator = Translator(objective.model, store.tokenizers, config.search, device, config.precision)
    trainer = Trainer(
        update=update,
        checkpoints=folder.checkpoints,
        validate=Validation(objective, translator, store.split("dev"), tracker, config),
        tracker=tracker,
        progress=Progress(config.tracking.progress if distributed.is_main() else ProgressStyle.plain),
        config=config.train,
    )
    if checkpoint:
        trainer.resume(checkpoint)
    return trainer


def train_split(config: Config, store: Store) -> TrainingText:
    """The training text, its pieces drawn anew each time where that is asked for."""
    alpha = config.tokenizer.sampling_alpha
    return store.split("train") if alpha is None else SampledSplit(store, alpha)


def mixture(config: Config, store: Store) -> list[tuple[int, float]]:
    """The number of pairs and the weight of each corpus of the training text."""
    weights = (
        {name: part.weight for name, part in corpora(config.data).items()} if isinstance(config.data, FilesDataConfig) else {}
    )
    return [(size, weights.get(name, 1.0)) for name, size in store.meta["corpora"].items()]


def build_updater(
    config: Config,
    split: TrainingText,
    vocab_sizes: tuple[int, int],
    device: torch.device,
    corpora: Sequence[tuple[int, float]] = (),
    begin: Callable[[Seq2Seq], None] | None = None,
) -> Updater:
    """A new model, to which ``begin`` may give other weights, and all that its updates need; packed rows where a kernel reads them
    without padding."""
    torch.manual_seed(config.seed)
    model = build_model(config.model, vocab_sizes).to(device)
    if begin:
        begin(model)
    freeze(model, config.train.freeze)
    model.recompute = config.train.recompute
    return Updater(
        objective=Objective(model, config.loss),
        optimizer=build_optimizer(model, config.optim),
        schedule=build_schedule(config.schedule, config.train.max_steps),
        split=split,
        plan=BatchPlan(
            split.source_lengths,
            split.target_lengths,
            max_tokens=config.train.max_tokens,
            microbatches=config.train.microbatches,
            seed=config.seed,
            corpora=corpora,
        ),
        max_grad_norm=config.optim.max_grad_norm,
        seed=config.seed,
        device=device,
        precision=config.precision,
        packed=config.model.kind is ModelKind.transformer and device.type == "cuda",
        ema=EMA(model, config.train.ema_decay) if config.train.ema_decay is not None else None,
    )


@contextmanager
def _stop_on_signal(trainer: Trainer) -> Iterator[None]:
    """While the block runs, SIGINT or SIGTERM asks the trainer to stop after its update; the same one again kills.

    After the other one it goes on stopping, because what starts processes, as torchrun does, may send both.
    """

    def handle(number: int, _: FrameType | None) -> None:
        trainer.stop_signal = trainer.stop_signal or number
        signal.signal(number, signal.SIG_DFL)
        log.info("%s: stopping after this update", signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
