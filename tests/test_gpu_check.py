import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "gpu_check.py"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_its_steps_work_where_the_cpu_stands_in_for_the_gpu():
    result = subprocess.run([sys.executable, SCRIPT, "--device", "cpu"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("ok  ") == 73
    assert '"model": "luong"' in result.stdout
