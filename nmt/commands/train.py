"""``nmt train``: prepare, then train until a limit is reached; the same command goes on where an earlier one stopped."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from nmt import distributed
from nmt.commands.assemble import build_trainer, build_updater, mixture, resolve_budget, train_split
from nmt.commands.dry_run import dry_run
from nmt.config import Config
from nmt.data.prepare import prepare
from nmt.data.store import Store
from nmt.errors import ConfigError
from nmt.hardware import resolve_device, set_up_cpu
from nmt.provenance import provenance
from nmt.rules import validate
from nmt.run_folder import RunFolder, own
from nmt.text import format_time
from nmt.training.profile import format_profile, profile_updates
from nmt.training.trainer import Trainer

log = logging.getLogger(__name__)


def main(config: Config) -> int:
    if config.dry_run:
        return describe(config)
    with distributed.process_group(resolve_device(config.device)), own(config) as (folder, config):
        status = train(folder, config, distributed.main_first(lambda: prepare(config.data, config.tokenizer, config.seed)))
        line = trained_line(folder) if status == 0 and distributed.is_main() else None
    if line is not None:  # when the run is over, which it is also where nobody reads on
        print(line)
    return status


def trained_line(folder: RunFolder) -> str:
    status = folder.status
    return f"TRAINED step={status['step']} run={folder.path} time={status['training_time']} stop={status['stop']}"


def describe(config: Config) -> int:
    """Say what a run would need, and make none."""
    validate(config)
    print(dry_run(config, prepare(config.data, config.tokenizer, config.seed)))
    return 0


def train(folder: RunFolder, config: Config, store: Store) -> int:
    """Train the model of a run from its newest checkpoint, or from the start, to the first limit; the outcome is in its status.

    Returns the exit status: 0, or 128 + signal where SIGINT or SIGTERM ended training, after a checkpoint.
    """
    set_up_cpu(config.threads)
    if config.train.microbatches % distributed.world_size():
        raise ConfigError(
            f"`train.microbatches` must be a multiple of the number of processes ({distributed.world_size()}), "
            f"which share them, but is {config.train.microbatches}"
        )
    device = resolve_device(config.device)
    folder.keep_data(store)
    config = resolve_budget(folder, config, store)
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
    except distributed.ProcessLost:
        del before[signal.SIGTERM]  # torchrun sends it now, and this process is first to say why it ends
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
