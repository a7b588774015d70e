"""What looking costs: ``python scripts/bench_extract.py RUN SOURCE TARGET [--pairs 1000] [--repeats 5] [--attributions]``.

Times, in turns, a forward pass over the pairs as alignment makes it (forced decoding without looking), all attention of all layers and
heads extracted from one, the same written as arrays, and, if asked for, each attribution. Prints one line of JSON: seconds of the
forward pass (median), and the median of the others over it with its range.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from nmt.alignment.aligner import align
from nmt.alignment.extraction import extract, write_npz
from nmt.commands.finished import FinishedRun, load_finished
from nmt.commands.options import RunCommand
from nmt.config import AlignmentConfig, Attribution
from nmt.data.reader import read_pairs
from nmt.startup import tune_process


def main() -> None:
    tune_process()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--pairs", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--attributions", action="store_true")
    arguments = parser.parse_args()
    run = load_finished(RunCommand(run=arguments.run))
    text = read_pairs(Path(arguments.source), Path(arguments.target))
    methods = list(Attribution) if arguments.attributions else []
    works = make_works(run, text.sources[: arguments.pairs], text.targets[: arguments.pairs], methods)
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(arguments.repeats):
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - begin)
    forward = times.pop("forward")
    result: dict[str, object] = {
        "pairs": arguments.pairs,
        "precision": run.precision.name,
        "forward_s": round(statistics.median(forward), 3),
    }
    for name, of_work in times.items():
        ratios = sorted(t / f for t, f in zip(of_work, forward, strict=True))
        result[name] = {
            "forward_passes": round(statistics.median(ratios), 2),
            "range": [round(ratios[0], 2), round(ratios[-1], 2)],
        }
    print(json.dumps(result))


def make_works(
    run: FinishedRun, sources: list[str], targets: list[str], methods: list[Attribution]
) -> dict[str, Callable[[], object]]:
    """What is timed, by name; each begins with lines of text."""
    looked_at = run.decoder, sources, targets

    def forward() -> None:
        for batch in run.decoder.batches(run.decoder.pairs(sources, targets)):
            with torch.inference_mode(), run.decoder.autocast():
                run.decoder.decode(batch)

    def written() -> None:
        with tempfile.TemporaryDirectory() as folder:
            write_npz(Path(folder), extract(*looked_at))

    def attributed(method: Attribution) -> Callable[[], object]:
        return lambda: align(*looked_at, replace(AlignmentConfig(), attribution=method))

    works: dict[str, Callable[[], object]] = {
        "forward": forward,
        "extracted": lambda: list(extract(*looked_at)),
        "written": written,
    }
    return works | {method.name: attributed(method) for method in methods}


if __name__ == "__main__":
    main()
