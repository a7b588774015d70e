"""``dry_run=true``: what a run would need and how long it would take, without making one."""

from __future__ import annotations

import math
import resource
import time
from datetime import datetime, timedelta

import torch

from nmt import distributed
from nmt.commands.assemble import build_updater, mixture, train_split
from nmt.config import Config
from nmt.conversion import seconds
from nmt.data.store import Store
from nmt.errors import ConfigError
from nmt.hardware import resolve_device, resolve_precision, set_up_cpu
from nmt.tables import format_table
from nmt.text import format_time
from nmt.training.update import Updater

NUM_UPDATES = 5
"""Updates that are timed, after one that warms up."""

STATES = 3
"""How many times the size of the weights a checkpoint has, with two moments of Adam; other optimisers have fewer or as many."""


def dry_run(config: Config, store: Store) -> str:
    """Sizes of data and model, memory and speed by a trial on this machine, and when training would end, as a table.

    The trial makes the micro-batches that need the most memory, and some updates. Validations are not in the time.

    Raises:
        ConfigError: under torchrun, whose processes would disturb each other.
        OutOfMemory: the trial fails.
    """
    if distributed.world_size() > 1:
        raise ConfigError("`dry_run=true` tries one process; start it without torchrun")
    set_up_cpu(config.threads)
    device = resolve_device(config.device)
    config.precision = resolve_precision(config.precision, device)
    update = build_updater(config, train_split(config, store), store.tokenizers.vocab_sizes, device, mixture(config, store))
    update.objective.train()
    update.rehearse()
    update(0)
    begun, tokens = time.perf_counter(), update.sums.tokens
    for step in range(1, 1 + NUM_UPDATES):
        update(step)
    tokens = float(update.sums.tokens - tokens)  # waits for the device
    update_s = (time.perf_counter() - begun) / NUM_UPDATES
    parameters = list(update.objective.parameters())
    size = sum(p.numel() for p in parameters)
    splits = store.meta["splits"]
    rows = {
        "training pairs": f"{splits['train']['pairs']:,}",
        "source and target pieces": f"{splits['train']['source_pieces']:,} and {splits['train']['target_pieces']:,}",
        "vocabulary, source and target": "{:,} and {:,}".format(*store.tokenizers.vocab_sizes),
        "parameters": f"{size:,}, {sum(p.numel() for p in parameters if p.requires_grad):,} of them trained",
        "precision and device": f"{config.precision.name} on {device.type}",
        "updates an epoch": f"{update.plan.steps(1):,}",
        "memory, peak of the trial": f"{_peak_mib(device):,.0f} MiB",
        "a checkpoint, about": f"{STATES * 4 * size / 2**20:,.0f} MiB, of which up to {config.train.keep_last + 1} are kept",
        "an update": f"{update_s:.3f} s, {tokens / NUM_UPDATES / update_s:,.0f} target tokens a second",
        **_end(config, update, update_s),
    }
    return format_table(["of the run", config.name], [list(row) for row in rows.items()])


def _end(config: Config, update: Updater, update_s: float) -> dict[str, str]:
    """When training ends, by the limit that comes first; patience apart, which nobody can foresee."""
    train = config.train
    steps = min(
        train.max_steps if train.max_steps is not None else math.inf,
        update.plan.steps(train.max_epochs) if train.max_epochs is not None else math.inf,
        (seconds(train.max_time) or math.inf) / update_s,
    )
    if steps == math.inf:
        return {"end of training": "when patience is over"}
    end = datetime.now() + timedelta(seconds=steps * update_s)
    return {
        "updates in all": f"{round(steps):,}, {update.plan.epochs(round(steps)):.1f} epochs",
        "end of training": f"in {format_time(steps * update_s)} without validations, {end:%A %H:%M}",
    }


def _peak_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
