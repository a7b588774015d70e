"""Writes ``docs/promises.md``: what users may rely on, and the tests that prove it, found by their mark ``@pytest.mark.promise(N)``.

    python scripts/write_promises.py [--check]

Below them stands what ``scripts/torture.py`` last said, from ``docs/torture.txt``. With ``--check`` nothing is written, and the exit status
is 1 where the file is not what it should be. A promise that no test is marked with is refused.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "promises.md"
TORTURE = ROOT / "docs" / "torture.txt"

PROMISES = {
    1: "**Exact resume.** Stopped after any update and gone on with, a run has the losses, rates, batches and weights of one that was "
    "never stopped, bit for bit on the CPU in fp32.",
    2: "**`kill -9` at any moment** loses at most the work since the last checkpoint, and the same command goes on.",
    3: "**A parallel corpus is never misaligned in silence.**",
    4: "**Loading never runs code** from a checkpoint, a configuration, a tokenizer or a store.",
    5: "**A gradient that is not finite**, on any process, never reaches the weights of any.",
    6: "**Several processes** compute the gradient that one process has of the same global batch.",
    7: "**It never hangs**: a process that ends or raises ends the others, with a message that names it.",
    8: "**A damaged checkpoint is noticed** and the one before is used; if none is whole that is an error, never a silent fresh start.",
    9: "**SIGTERM and SIGINT** stop all processes after the same update, with a checkpoint, exit status 143 or 130; a second one kills.",
    10: "**N lines in, N lines out**, in order, an empty one empty, whatever the batch size.",
    11: "**The reported BLEU is sacreBLEU's** on the files that were written, against raw references, with its signature.",
    12: "**Going on with another number of processes** repeats and skips no sentence of the epoch.",
    13: "**A full disk** gives a clear message, leaves old checkpoints as they were and nothing half-written.",
    14: "**Tidying up never deletes** the newest whole or the best checkpoint, even if killed in between.",
    15: "**Every dropped sentence is counted**: kept + dropped = read, and the same input gives the same bytes.",
    16: "**Changed inputs are never served from an old store**, whatever their size and time say.",
    17: "**What is wrong with a tokenizer's settings** is said before training, with the number to set.",
    18: "**Models learn**: copying and reversing, every model, three seeds.",
    19: "**Numbers do not drift**: the losses of 50 updates and a stored model's translations stay as they are.",
    20: "**Overlap of train with dev and test** is reported and removed.",
    21: "**TensorBoard has each step once**, after any number of crashes.",
    22: "**One folder a run**, nothing outside of it, and a run that exists is never overwritten.",
    23: "**A wrong configuration fails within 5 s** with the name of the key; every file of `conf/` runs a step.",
    24: "**No sentence can break** the terminal, the log, the report or a heatmap.",
    25: "**Out of memory** names the batch and the setting to change, and ends all processes together.",
    27: "**It works offline, without a GPU, from the built wheel**, on Python 3.11 to 3.13.",
}
"""By their numbers; 26, exports, is not made."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    tests = find_tests(ROOT / "tests")
    if tests.keys() != PROMISES.keys():
        print(f"no test, or no such promise: {sorted(tests.keys() ^ PROMISES.keys())}", file=sys.stderr)
        return 1
    page = render(tests)
    if not parser.parse_args().check:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    print(f"{PAGE.relative_to(ROOT)} is not what the marks say; python scripts/write_promises.py writes it", file=sys.stderr)
    return 1


def find_tests(folder: Path) -> dict[int, list[str]]:
    """The tests of each promise, as ``path::name``."""
    found = defaultdict(list)
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                for number in _marks(node):
                    found[number].append(f"{path.relative_to(folder.parent)}::{node.name}")
    return found


def _marks(function: ast.FunctionDef) -> list[int]:
    calls = [decorator for decorator in function.decorator_list if isinstance(decorator, ast.Call)]
    marks = [call for call in calls if ast.unparse(call.func) == "pytest.mark.promise"]
    return [ast.literal_eval(argument) for mark in marks for argument in mark.args]


def render(tests: dict[int, list[str]]) -> str:
    """The page."""
    lines = [
        "# Promises",
        "",
        "What users may rely on, each with the tests that prove it: made by `python scripts/write_promises.py` from their marks.",
        "",
    ]
    for number, promise in PROMISES.items():
        lines += [promise.replace("**", f"**{number}. ", 1), "", *(f"- `{test}`" for test in tests[number]), ""]
    lines += ["## Torture", "", "```", TORTURE.read_text(encoding="utf-8").rstrip(), "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
