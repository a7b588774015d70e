"""The page of promises says what the tests prove."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_page_has_every_promise_with_its_tests():
    """``--check`` refuses a page that is not what the marks say, and a promise that no test is marked with."""
    result = subprocess.run(
        [sys.executable, ROOT / "scripts" / "write_promises.py", "--check"], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
