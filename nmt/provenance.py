"""What made a result: versions, commit, command, hardware."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from nmt import __version__
from nmt.hardware import describe


def provenance(device: torch.device) -> dict[str, Any]:
    """For ``status.json``; the commit is that of the checkout the package runs from, or null where it was installed."""
    packages = ("torch", "numpy", "sentencepiece", "sacrebleu", "safetensors")
    return {
        "versions": {"nmt": __version__, "python": platform.python_version(), **{name: version(name) for name in packages}},
        "commit": _commit(),
        "command": _command(),
        "hardware": describe(device),
    }


def _command() -> str:
    """The command line as it was typed: ``sys.argv`` has lost its command word by now."""
    words = sys.orig_argv
    program = next((i for i, word in enumerate(words) if Path(word).name == "nmt"), 0)
    return " ".join(["nmt", *words[program + 1 :]])


def _commit() -> str | None:
    """``a1b2c3d``, with ``+changes`` where tracked files differ from it."""
    checkout = Path(__file__).resolve().parent.parent
    if not (checkout / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+changes", "--exclude=*"],
            cwd=checkout,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
