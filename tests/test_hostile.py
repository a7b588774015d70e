"""Files made to run code when they are read: none of them does."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nmt.data.normalization import PLAIN
from nmt.data.store import Split, Store
from nmt.data.tokenizer import Tokenizer
from nmt.errors import DataError, UserError
from nmt.run_folder import RunFolder

ROOT = Path(__file__).parent.parent


class Payload:
    """Leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def sentinel(tmp_path):
    path = tmp_path / "sentinel"
    pickle.loads(pickle.dumps(Payload(path))).close()  # noqa: S301
    assert path.exists()  # so the payload works
    path.unlink()
    yield path
    assert not path.exists()


@pytest.mark.promise(4)
def test_a_stored_configuration(tmp_path, sentinel):
    for line in (f"name: !!python/object/apply:builtins.open ['{sentinel}', w]", f"name: !!python/name:os.system {sentinel}"):
        (tmp_path / "config.yaml").write_text(line + "\n")
        with pytest.raises(UserError, match=r"config\.yaml"):
            RunFolder(tmp_path).config()
    (tmp_path / "config.yaml").write_text(f"name: x\n_target_: builtins.open\nfile: {sentinel}\nmode: w\n")
    with pytest.raises(UserError, match="`_target_` is not a setting"):
        RunFolder(tmp_path).config()


@pytest.mark.promise(4)
def test_arrays_of_a_store(tmp_path, sentinel):
    for side in ("source", "target"):
        np.save(tmp_path / f"train.{side}.ids.npy", np.array([Payload(sentinel)]), allow_pickle=True)
        np.save(tmp_path / f"train.{side}.offsets.npy", np.array([0, 1]))
    with pytest.raises(DataError, match="damaged"):
        Split(tmp_path, "train")


@pytest.mark.promise(4)
def test_the_description_of_a_store(tmp_path, sentinel):
    (tmp_path / "meta.json").write_bytes(pickle.dumps(Payload(sentinel)))
    with pytest.raises(DataError, match=r"meta\.json"):
        Store(tmp_path, (PLAIN, PLAIN))


@pytest.mark.promise(4)
def test_a_tokenizer(tmp_path, sentinel):
    (tmp_path / "tokenizer.model").write_bytes(pickle.dumps(Payload(sentinel)))
    with pytest.raises(DataError, match=r"tokenizer\.model"):
        Tokenizer.load(tmp_path / "tokenizer.model", PLAIN)


@pytest.mark.promise(4)
@pytest.mark.parametrize("key", ["+model._target_=builtins.open", "+_target_=builtins.open", "hydra/launcher=joblib"])
def test_the_command_line(tmp_path, sentinel, key):
    words = [sys.executable, "-m", "nmt", "prepare", key, f"name={sentinel.name}"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("nmt prepare: ")
