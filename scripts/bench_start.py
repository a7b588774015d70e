"""Times `nmt train` from exec to the first update done, with a prepared corpus and warm file caches.

    python scripts/bench_start.py [--runs 5] [experiment=quickstart ...]

Prepares the corpus in a temporary folder, then starts training in a fresh process and a fresh run's folder each time, reads its log,
and kills it after the first update. Prints one line of JSON: the seconds of every run and their median, up to each line of the log:
`store` (the store was found: imports, settings and hashing the input are behind), `model` (model, optimiser and plan are made) and
`first_update`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

EVENTS = {"data: using the store": "store", " parameters, ": "model", " step 1 ": "first_update"}


def command(name: str, folder: str, overrides: list[str]) -> list[str]:
    places = [f"data.store_dir={folder}/store"]
    if name == "train":
        places += [f"output_dir={folder}", "fresh=true", "train.log_every=1", "tracking.progress=plain"]
    return [sys.executable, "-m", "nmt", name, *overrides, *places]


def start(arguments: list[str]) -> dict[str, float]:
    """Seconds from exec to each event of one run, which ends with the first update."""
    seconds: dict[str, float] = {}
    begun = time.perf_counter()
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr
        lines = []
        for line in process.stderr:
            now = time.perf_counter() - begun
            lines.append(line)
            seconds |= {event: now for words, event in EVENTS.items() if words in line and event not in seconds}
            if "first_update" in seconds:
                break
        process.kill()
    if "first_update" not in seconds:
        sys.exit("".join(lines))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("overrides", nargs="*", default=["experiment=quickstart"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(command("prepare", folder, options.overrides), check=True, stdout=sys.stderr)
        runs = [start(command("train", folder, options.overrides)) for _ in range(options.runs + 1)][1:]  # one to warm the caches
    report = {event: [round(run[event], 2) for run in runs] for event in EVENTS.values()}
    print(json.dumps({"median_s": {event: statistics.median(times) for event, times in report.items()}, "runs_s": report}))


if __name__ == "__main__":
    main()
