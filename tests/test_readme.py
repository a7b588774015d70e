"""Every command of the README but the two make targets, in its order, in one folder, on less text and fewer updates."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    for line in block.strip().splitlines()
]
LESS = {
    "files": "data.dev_size=7 data.test_size=5 data.cleaning.max_copy_length=null tokenizer.vocab_size=30 train.max_steps=2 "
    "search.beam_size=2 alignment.num_heatmaps=1 alignment.num_erased=2",
    "builtin": "data.train_size=300 data.dev_size=5 data.test_size=5 tokenizer.vocab_size=400 train.max_steps=2 search.beam_size=2 "
    "search.max_length_ratio=0.5 alignment.num_heatmaps=1 alignment.num_erased=2",
}


@pytest.fixture(scope="module")
def folder(copy_files, tmp_path_factory):
    """A folder with somebody's own two files, and an ``nmt`` on the path."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("de", "en"):
        (folder / f"my.{name}").write_bytes((copy_files / f"x.{name}").read_bytes())
    (folder / "bin").mkdir()
    nmt = folder / "bin/nmt"
    nmt.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nmt "$@"\n')
    nmt.chmod(0o755)
    return folder


def test_the_readme_has_commands():
    assert len(COMMANDS) >= 8
    assert all(command.startswith("nmt ") for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme(folder, command):
    if re.match(r"nmt (run|prepare|train) .*=", command) and "--" not in command:
        command += " " + LESS["files" if "data=files" in command else "builtin"]
    result = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "\r" not in result.stderr
    if command.startswith("nmt run ") and "--" not in command:
        assert result.stdout.splitlines()[-1].startswith("DONE step=2 bleu=")
    if "> out.en" in command:
        lines = [(folder / name).read_bytes().count(b"\n") for name in ("my.de", "out.en")]
        assert lines[0] == lines[1] > 0
