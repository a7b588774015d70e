"""Time and memory of self-attention by scope and length: ``python scripts/bench_attention.py [--lengths 128 1024 16384] [--causal]``.

Each figure is of a process of its own: one sentence, 4 heads of 64, forward and backward, the best of some passes in milliseconds, and the
peak memory beyond what the process had before, in MiB. Prints one JSON line a scope with a figure for each length and the slopes between
the last two: 1 where it doubles when the length doubles, 2 where it is four times as much. Lengths for which a T x T matrix would not fit
are left out of ``full``.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from nmt.attention.kernels import attend
from nmt.attention.linear import attend_linear
from nmt.attention.plain import Form
from nmt.attention.scopes import Scope, Strided, Window
from nmt.layout import Layout

HEADS, HEAD_DIM, REACH = 4, 64, 64
LENGTHS = [128, 256, 512, 1024, 2048, 4096, 8192, 16384]
LONGEST_FULL = 4096
"""On the CPU, where full attention has T x T scores of each head in memory."""


def scopes(causal: bool) -> dict[str, Scope | None]:
    """By name; None is linear attention."""
    return {
        "full": Scope(causal),
        "window": Window(causal, REACH),
        "window and sinks": Window(causal, REACH, num_sinks=4),
        "window and global": Window(causal, REACH, num_global=16),
        "strided": Strided(causal, REACH),
        "linear": None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--causal", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--one", nargs=2, metavar=("SCOPE", "LENGTH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.one:
        print(json.dumps(measure(arguments.one[0], int(arguments.one[1]), arguments.causal, torch.device(arguments.device))))
        return
    options = ["--device", arguments.device, *(["--causal"] if arguments.causal else [])]
    options += ["--threads", str(arguments.threads)] if arguments.threads else []
    for name in scopes(arguments.causal):
        lengths = [n for n in arguments.lengths if name != "full" or arguments.device != "cpu" or n <= LONGEST_FULL]
        figures = [json.loads(in_process([*options, "--one", name, str(length)])) for length in lengths]
        line: dict[str, object] = {"scope": name, "causal": arguments.causal, "threads": torch.get_num_threads()}
        for what in ("ms", "mib"):
            values = [figure[what] for figure in figures]
            line[what] = dict(zip(lengths, values, strict=True))
            line[f"slope_{what}"] = round(slope(lengths[-2:], values[-2:]), 2) if len(lengths) > 1 else None
        print(json.dumps(line), flush=True)


def in_process(options: list[str]) -> str:
    """What this script prints, run by itself."""
    return subprocess.run([sys.executable, __file__, *options], check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(name: str, length: int, causal: bool, device: torch.device) -> dict[str, float]:
    scope, layout = scopes(causal)[name], Layout.of([length]).to(device)
    torch.manual_seed(1)
    query, key, value = (torch.randn(1, length, HEADS, HEAD_DIM, device=device, requires_grad=True) for _ in range(3))

    def forward() -> Tensor:
        if scope is not None:
            return attend(query, key, value, layout, layout, Form(scope))
        queries, keys, values = (rows.transpose(1, 2) for rows in (query, key, value))
        return attend_linear(queries, keys, values, layout.mask, causal=causal)

    before = peak_mib(device)
    best, begun, passes = math.inf, time.perf_counter(), 0
    while passes < 3 or time.perf_counter() - begun < 0.5:
        best = min(best, timed(lambda: forward().sum().backward(), device))
        passes += 1
    return {"ms": round(1000 * best, 2), "mib": round(peak_mib(device) - before, 1)}


def timed(call: Callable[[], None], device: torch.device) -> float:
    begun = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun


def peak_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def slope(lengths: list[int], values: list[float]) -> float:
    """Of the logarithms."""
    return math.log(max(values[1], 1e-9) / max(values[0], 1e-9)) / math.log(lengths[1] / lengths[0])


if __name__ == "__main__":
    main()
