"""Writes ``tests/golden``: losses of 50 updates of every model and a small trained run with its translations, which must not drift.

    python scripts/write_golden.py

Only for changes that are meant to change numbers, and then with the reason in the commit.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.test_golden import write

if __name__ == "__main__":
    write()
