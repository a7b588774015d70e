"""The wheel, in an environment of its own and used from another folder."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.promise(27)
@pytest.mark.long
def test_the_wheel_works_from_another_folder(tmp_path):
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT], check=True, stdout=subprocess.DEVNULL)
    (wheel,) = tmp_path.glob("nmt_trainer-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("nmt/conf/config.yaml", "nmt/data/grammar/lexicon/nouns.tsv", "nmt/report/page.html.jinja"):
        assert name in names
    assert not [name for name in names if name.startswith(("tests", "scripts", "docs"))]

    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", ROOT / "constraints.txt", wheel], check=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    small = ["data.train_size=300", "data.dev_size=5", "data.test_size=5", "tokenizer.vocab_size=400", "model.hidden_dim=16"]
    result = subprocess.run(
        [tmp_path / "venv/bin/nmt", "run", "experiment=quickstart", "debug=tiny", *small],
        cwd=elsewhere,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].startswith("DONE step=4 bleu=")
    assert "\r" not in result.stderr
    assert (elsewhere / "outputs/quickstart/report.html").exists()
