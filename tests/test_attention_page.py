"""``docs/attention.md`` is what its script makes, and its map from papers to code leads to classes and tests that exist."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_page_is_what_the_script_writes():
    result = subprocess.run(
        [sys.executable, ROOT / "scripts" / "write_attention.py", "--check"], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
