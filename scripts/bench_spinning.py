"""How long should threads of OpenMP spin? ``python scripts/bench_spinning.py [any option of nmt train] [--rounds 3] [--turns N ...]``.

Prints seconds an update, the median of rounds in turns, for some values of GNU OpenMP's ``GOMP_SPINCOUNT``, of which
300,000 is its own: with the machine to itself, and beside a program that keeps one core busy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nmt.tables import format_table


@contextmanager
def busy_core() -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def seconds_per_update(value: str, words: list[str]) -> float:
    """Of a process of its own, since the library reads the setting when it is loaded."""
    command = [sys.executable, str(Path(__file__).with_name("bench_train.py")), "--updates", "10", "--warmup", "2", *words]
    result = subprocess.run(command, env={**os.environ, "GOMP_SPINCOUNT": value}, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(result.stdout)["seconds_per_update"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", nargs="+", default=["0", "1000", "3000", "10000", "30000", "300000"])
    arguments, words = parser.parse_known_args()
    alone: dict[str, list[float]] = {value: [] for value in arguments.turns}
    beside: dict[str, list[float]] = {value: [] for value in arguments.turns}
    for _ in range(arguments.rounds):
        for value in arguments.turns:
            alone[value].append(seconds_per_update(value, words))
            with busy_core():
                beside[value].append(seconds_per_update(value, words))
    rows = [
        [
            value,
            *(
                f"{statistics.median(times[value]):.3f} ({min(times[value]):.3f} to {max(times[value]):.3f})"
                for times in (alone, beside)
            ),
        ]
        for value in arguments.turns
    ]
    print(format_table(["GOMP_SPINCOUNT", "alone", "beside a busy core"], rows))


if __name__ == "__main__":
    main()
