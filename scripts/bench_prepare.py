"""Times the preparing of a corpus and measures its memory, in a process of its own.

    python scripts/bench_prepare.py [--pairs 1000000] [--slope 300000 900000] [source target]

Makes a corpus of that many pairs of 8 words on average (Zipfian words of a made-up vocabulary, the same every time; 1 % of the pairs
occur twice and 1 % of the lines have an odd space), or takes the two files that are named, and prepares it. The tokenizer learns in a
process apart, so that neither its time nor its memory counts. Prints one line of JSON; ``pairs_per_minute`` is of cleaning and
encoding: everything but learning the tokenizer. ``bytes_per_pair`` is the slope of the peak memory between the two sizes of
``--slope``, with a tokenizer of 20,000 lines in both.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any

from nmt.config import FilesDataConfig, TokenizerConfig, TokenizerKind
from nmt.data import prepare

WORDS = 60_000
LETTERS = "eeeennniiisssrrraaatttdddhhhuulcgmobwfkzvpüäß"


def make_corpus(folder: Path, pairs: int) -> tuple[Path, Path]:
    """Two files of that many lines; the first lines of a larger corpus are those of a smaller one."""
    paths = folder / "made.en", folder / "made.de"
    for side, path in enumerate(paths):
        numbers = random.Random(side)
        words = ["".join(numbers.choices(LETTERS, k=numbers.randint(2, 11))) for _ in range(WORDS)]
        weights = list(accumulate(1 / (rank + 3) for rank in range(WORDS)))
        with path.open("w", encoding="utf-8") as file:
            for number in range(pairs):
                line = " ".join(numbers.choices(words, cum_weights=weights, k=numbers.randint(4, 12)))
                if number % 100 == side:
                    line = line.replace(" ", "\u00a0 ", 1)
                file.write(f"{line}\n" * (1 + (number % 100 == 50)))
    return paths


def measure(source: Path, target: Path, store_dir: str, kind: str, training_lines: int | None) -> dict[str, Any]:
    """Prepare once; seconds, and the peak memory of the process in bytes."""
    learning_s = 0.0
    learn = prepare.learn_pieces

    def apart(*arguments: Any) -> bytes:
        nonlocal learning_s
        begun = time.perf_counter()
        receiver, sender = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(target=lambda: sender.send_bytes(learn(*arguments)))
        child.start()
        model = receiver.recv_bytes()
        child.join()
        learning_s = time.perf_counter() - begun
        return model

    prepare.learn_pieces = apart
    if training_lines:
        prepare.MAX_TRAINING_LINES = training_lines
    config = FilesDataConfig(source=str(source), target=str(target), store_dir=store_dir)
    begun = time.perf_counter()
    store = prepare.prepare(config, TokenizerConfig(kind=TokenizerKind[kind], vocab_size=8000), seed=1)
    total_s = time.perf_counter() - begun
    report = store.meta["cleaning"]["train"]
    return {
        "pairs": report["read"],
        "kept": report["kept"],
        "cleaning_and_encoding_s": round(total_s - learning_s, 1),
        "learning_s": round(learning_s, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "store": store.path.name,
    }


def in_a_process(*arguments: Any) -> dict[str, Any]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="source and target; without them a corpus is made")
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=[kind.name for kind in TokenizerKind], default="bpe")
    parser.add_argument("--slope", type=int, nargs=2, default=None, metavar=("SMALL", "LARGE"), help="measure bytes a pair too")
    options = parser.parse_args()
    if len(options.files) not in (0, 2):
        parser.error("name a source and a target, or neither")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = options.files or make_corpus(folder, options.pairs)
        result = in_a_process(*files, f"{name}/store", options.kind, None)
        result["pairs_per_minute"] = round(result["pairs"] / result["cleaning_and_encoding_s"] * 60)
        if options.slope:
            runs = [in_a_process(*make_corpus(folder, size), f"{name}/store", options.kind, 20_000) for size in options.slope]
            small, large = runs
            grown = (large["peak_mib"] - small["peak_mib"]) * 2**20
            result |= {"slope_mib": [run["peak_mib"] for run in runs], "slope_pairs": [run["pairs"] for run in runs]}
            result["bytes_per_pair"] = round(grown / (large["pairs"] - small["pairs"]), 1)
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
