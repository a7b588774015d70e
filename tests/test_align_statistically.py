"""Statistical aligners find the links that text was made with, and leave them in files for training."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from nmt.data.links import parse_links

SCRIPT = Path(__file__).parent.parent / "scripts" / "align_statistically.py"


@pytest.fixture
def text(tmp_path):
    """Pairs of which the target has the words of the source, each in its own language, from the last to the first; and their links."""
    random = Random(3)
    pairs = [[random.randrange(31) for _ in range(random.randint(2, 7))] for _ in range(397)]
    files = {
        "x.de": [" ".join(f"d{word}" for word in pair) for pair in pairs],
        "x.en": [" ".join(f"e{word}" for word in reversed(pair)) for pair in pairs],
        "x.links": [" ".join(f"{i}-{len(pair) - 1 - i}" for i in range(len(pair))) for pair in pairs],
    }
    for name, lines in files.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in [*lines, ""]))
    return tmp_path


def start(*words):
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, words)], capture_output=True, text=True, timeout=120)


def test_links_are_written_for_every_line(text):
    result = start("links", text / "x.de", text / "x.en", text / "made")
    assert result.returncode == 0, result.stderr
    made, true = ([parse_links(line).sure for line in (text / name).read_text().split("\n")] for name in ("made", "x.links"))
    assert len(made) == len(true) == 399  # the last pair is blank
    both = sum(len(a & b) for a, b in zip(made, true, strict=True))
    assert both > 0.9 * max(sum(map(len, made)), sum(map(len, true)))


def test_error_rates_of_both_models(text):
    gold = [text / name for name in ("x.de", "x.en", "x.links")]
    result = start("measure", "--train", *gold[:2], "--gold", *gold)
    assert result.returncode == 0, result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["model"] for each in found] == ["fast_align", "hmm"]
    for each in found:
        assert each["pairs"] == 397
        assert set(each["aer"]) == {"forward", "backward", "intersection", "union", "grow_diag", "grow_diag_final_and"}
        assert each["aer"]["intersection"] < 0.2
