"""Where the time of an update goes: by kind of work, and as a trace."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from nmt.training.update import Updater

WARMUP = 3
"""Updates before those that are profiled."""

PRODUCTS = ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::baddbmm")

SCOPES = {"attention": "attention", "dropout": "dropout", "_OutputLoss": "loss", "_OutputLossBackward": "loss", "data": "data"}
"""Kinds of work by the name of what does it: ranges that the code marks, and functions with a name of their own."""

KINDS = ("products", "attention", "dropout", "loss", "optimiser", "data", "other")


def profile_updates(update: Updater, count: int, trace: Path) -> dict[str, float]:
    """Milliseconds of each of :data:`KINDS` in a mean update, of CPU threads or, on CUDA, of the device.

    The loss is the output layer with it; ``products`` are those outside attention and loss; backward work counts where its forward
    work does. ``trace`` becomes a file for chrome://tracing or ui.perfetto.dev.
    """
    update.objective.train()
    for step in range(WARMUP):
        update(step)
    on_device = update.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_device else [])]
    # the first update that the profiler sees pays for the profiler, and is left out
    with profile(activities=activities, schedule=schedule(wait=0, warmup=1, active=count, repeat=1), acc_events=True) as profiler:
        for step in range(WARMUP, WARMUP + 1 + count):
            update(step)
            if on_device:
                torch.cuda.synchronize(update.device)
            profiler.step()
    profiler.export_chrome_trace(str(trace))
    events = [event for event in profiler.events() or [] if str(event.device_type).endswith("CPU")]
    forward = {event.sequence_nr: kind for event in events if event.sequence_nr >= 0 and (kind := _own_kind(event))}
    times: dict[str, float] = defaultdict(float)
    for event in events:
        microseconds = event.self_device_time_total if on_device else event.self_cpu_time_total
        times[_kind(event, forward)] += microseconds / 1000 / count
    return {kind: times[kind] for kind in KINDS}


def format_profile(times: dict[str, float]) -> str:
    """The summary as lines: kind, milliseconds, share."""
    total = sum(times.values())
    rows = [*times.items(), ("an update", total)]
    return "\n".join(f"{name:10} {milliseconds:9.1f} ms {milliseconds / max(total, 1e-9):6.1%}" for name, milliseconds in rows)


def _kind(event: Any, forward: dict[int, str]) -> str:
    """Of the nearest range or function round the event that has one; for backward work, that of the forward call with its number."""
    ancestor = event
    while ancestor is not None:
        if kind := _scope(ancestor.name):
            return kind
        if "evaluate_function" in ancestor.name and (kind := forward.get(ancestor.sequence_nr)):
            return kind
        ancestor = ancestor.cpu_parent
    return "products" if event.name in PRODUCTS else "other"


def _own_kind(event: Any) -> str | None:
    """The kind of a forward event by the ranges round it."""
    ancestor = event
    while ancestor is not None:
        if "evaluate_function" in ancestor.name:
            return None
        if kind := _scope(ancestor.name):
            return kind
        ancestor = ancestor.cpu_parent
    return None


def _scope(name: str) -> str | None:
    return "optimiser" if name.startswith("Optimizer.step") else SCOPES.get(name)
