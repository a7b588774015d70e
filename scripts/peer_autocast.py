"""Runs another toolkit's timing script under bf16 autocast on the CPU, which none of them has an option for.

``python scripts/peer_autocast.py run_fairseq.py [its options]``, with the interpreter of that toolkit's environment; the weights stay
float32, as this project's do with ``precision=bf16``.
"""

import runpy
import sys
from pathlib import Path

import torch


def main() -> None:
    script = Path(sys.argv[1]).resolve()
    sys.argv = [str(script), *sys.argv[2:]]
    sys.path.insert(0, str(script.parent))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main()
