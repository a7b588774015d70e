"""How fast does a run train? ``python scripts/bench_train.py [--updates 40] [--warmup 10] [any option of nmt train]``.

Prints one line of JSON. Only updates are timed (batches, forward, backward, clipping, optimiser), not validation or saving. Under
``torchrun`` the processes are timed together; the memory is that of one.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from typing import Any

import torch

from nmt import distributed
from nmt.config import Config
from nmt.hardware import describe, matmul_peak, resolve_device, resolve_precision, set_up_cpu
from nmt.startup import tune_process
from nmt.training.update import Sums, Updater


def measure(update: Updater, updates: int, warmup: int) -> dict[str, Any]:
    """Real and computed positions a second, and the share of the machine's matrix-product peak that real ones account for.

    All processes of a group call it; what they make together is counted.
    """
    device = update.device
    update.objective.train()
    for step in range(warmup + 1):
        update(step)
    update.sums = Sums.zero(device)
    _wait(device)
    distributed.maxima(0.0)  # begin together
    begun = time.perf_counter()
    for step in range(warmup + 1, warmup + 1 + updates):
        update(step)
    _wait(device)
    seconds = time.perf_counter() - begun
    sums = Sums.of(update.sums.over_processes(), torch.device("cpu"))
    peak = matmul_peak(device, update.precision) * distributed.world_size()
    memory = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else _resident_mib()
    return {
        "target_tokens_per_s": round(sums.tokens / seconds, 1),
        "computed_positions_per_s": round(sums.positions / seconds, 1),
        "seconds_per_update": round(seconds / updates, 4),
        "tokens_per_update": round(sums.tokens / updates, 1),
        "real_target": round(sums.tokens / sums.target_positions, 4),
        "real_source": round((sums.real_positions - sums.tokens) / (sums.positions - sums.target_positions), 4),
        "peak_gflops": round(peak / 1e9, 1),
        "share_of_peak": round((update.flops_per_position or 0.0) * sums.real_positions / seconds / peak, 4),
        "data_wait": round(sums.data_s / seconds, 4),
        "loss": round(float(sums.loss / sums.tokens), 4),
        "memory_mib": round(memory),
        "parameters": sum(p.numel() for p in update.objective.parameters()),
        "precision": update.precision.name,
        "torch": torch.__version__,
        **describe(device),
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    tune_process()
    from nmt.cli import conf_dir  # here, so that `measure` needs torch and the package alone
    from nmt.commands.launch import compose

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--warmup", type=int, default=10)
    arguments, overrides = parser.parse_known_args()
    config = compose("train", overrides, conf_dir())
    with distributed.process_group(resolve_device(config.device)):
        measured = _measure_run(config, arguments.updates, arguments.warmup)
    if distributed.is_main():
        print(json.dumps({"work": " ".join(overrides), **measured}))


def _measure_run(config: Config, updates: int, warmup: int) -> dict[str, Any]:
    from nmt.commands.assemble import build_updater
    from nmt.data.prepare import prepare

    set_up_cpu(config.threads)
    device = resolve_device(config.device)
    config.precision = resolve_precision(config.precision, device)
    store = distributed.main_first(lambda: prepare(config.data, config.tokenizer, config.seed))
    return measure(build_updater(config, store.split("train"), store.tokenizers.vocab_sizes, device), updates, warmup)


if __name__ == "__main__":
    main()
