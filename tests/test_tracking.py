"""Metrics, TensorBoard and progress: every step once whatever was killed, and plain text where there is no terminal."""

import json
import logging
import os
import pty
import re
import subprocess
import sys
from unittest.mock import Mock

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nmt import tracking
from nmt.config import ProgressStyle, TrackingConfig
from nmt.files import read_json_lines, write_bytes_atomic, write_json_atomic
from nmt.text import format_time, printable
from nmt.tracking import Progress, Tracker, write_hyperparameters


def points(folder, name="train/loss"):
    accumulator = EventAccumulator(str(folder / "tensorboard"))
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(name)]


PROCESS = """
import os, signal
from pathlib import Path
from nmt.config import TrackingConfig
from nmt.tracking import Tracker
tracker = Tracker(Path({folder!r}), TrackingConfig(), {resume_step})
for step in range({resume_step} + 1, {last} + 1):
    tracker.scalars(step, {{"train/loss": 100.0 * {resume_step} + step}})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.promise(21)
def test_killed_and_resumed_each_step_stands_once(tmp_path):
    """Each process goes on for a while after the checkpoint that the next one resumes from, and is then killed."""
    for resume_step, last in ((0, 5), (3, 8), (6, 11)):
        code = PROCESS.format(folder=str(tmp_path), resume_step=resume_step, last=last)
        assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode == -9
    expected = [(step, float(step)) for step in (1, 2, 3)]
    expected += [(step, 300.0 + step) for step in (4, 5, 6)]
    expected += [(step, 600.0 + step) for step in range(7, 12)]
    assert points(tmp_path) == expected
    records = read_json_lines(tmp_path / "metrics.jsonl")
    assert [(record["step"], record["train/loss"]) for record in records] == expected


def test_a_line_that_a_crash_cut_off_is_dropped(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 4, "train/loss": 1.5}\n{"step": 5, "train/lo\xc3')
    tracker = Tracker(tmp_path, TrackingConfig(tensorboard=False), 5)
    tracker.scalars(6, {"train/loss": 0.5})
    tracker.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"step": 4, "train/loss": 1.5}, {"step": 6, "train/loss": 0.5}]


def test_numbers_that_are_not_finite_are_null(tmp_path):
    tracker = Tracker(tmp_path, TrackingConfig(tensorboard=False), 0)
    tracker.scalars(1, {"a": float("nan"), "b": float("inf"), "c": 0.5})
    line = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(line, parse_constant=lambda name: pytest.fail(name)) == {"step": 1, "a": None, "b": None, "c": 0.5}
    assert not (tmp_path / "tensorboard").exists()
    tracker.text(1, "t", "x")
    tracker.figure(1, "f", Mock(side_effect=AssertionError("drawn for nobody")))
    tracker.close()


def test_texts_and_figures_reach_tensorboard(tmp_path):
    from matplotlib.figure import Figure

    tracker = Tracker(tmp_path, TrackingConfig(), 0)
    tracker.text(3, "samples", "**source** a dog")
    tracker.figure(3, "attention/0", lambda: Figure(figsize=(1, 1)))
    accumulator = EventAccumulator(str(tmp_path / "tensorboard"))  # not closed yet
    accumulator.Reload()
    (text,) = accumulator.Tensors("samples/text_summary")
    assert (text.step, text.tensor_proto.string_val[0]) == (3, b"**source** a dog")
    assert [image.step for image in accumulator.Images("attention/0")] == [3]
    tracker.close()


def test_without_a_terminal_progress_is_a_plain_line(monkeypatch, caplog, capfd):
    clock = iter([100.0, 110.0, 130.0])
    monkeypatch.setattr(tracking.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO), Progress(ProgressStyle.plain) as progress:
        progress.update(50, {"loss": "6.1", "tokens/s": "1,900"}, 0.5)
        progress.update(100, {"loss": "5.2", "tokens/s": "2,000"}, 0.6)
        progress.update(150, {"loss": "4.9", "tokens/s": "2,000"}, 0.9)
        progress.update(200, {"loss": "4.7"}, None)
    assert [record.message for record in caplog.records] == [
        "step 50  loss 6.1  tokens/s 1,900",
        "step 100  loss 5.2  tokens/s 2,000  left 40s",
        "step 150  loss 4.9  tokens/s 2,000  left 07s",
        "step 200  loss 4.7",
    ]
    assert capfd.readouterr() == ("", "")


PROGRAM = """
import logging
from nmt.config import ProgressStyle
from nmt.tracking import Progress
logging.basicConfig(level=logging.INFO, format="%(message)s")
with Progress(ProgressStyle.auto) as progress:
    for step in (1, 2, 3):
        progress.update(step, {"loss": "[red]1.5"}, step / 4)
        logging.info("saved %d [bold]", step)
logging.info("after")
"""


def run_program(stderr):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "100"}
    return subprocess.run([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=stderr, env=environment, check=True)


@pytest.mark.promise(27)
def test_auto_writes_no_escapes_into_a_pipe():
    result = run_program(subprocess.PIPE)
    assert result.stdout == b""
    assert result.stderr.decode().splitlines()[:2] == ["step 1  loss [red]1.5", "saved 1 [bold]"]
    assert not set(result.stderr) & set(b"\r\x1b")


def test_auto_draws_a_bar_on_a_terminal_and_logs_above_it():
    outer, inner = pty.openpty()
    result = run_program(inner)
    os.close(inner)
    shown = os.read(outer, 1 << 20).decode()
    os.close(outer)
    assert result.stdout == b""
    assert "\x1b[" in shown
    assert "step 3  loss [red]1.5" in shown
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "\n").split("\n")
    for line in ("saved 1 [bold]", "saved 3 [bold]", "after"):
        assert sum(shown_line.strip() == line for shown_line in lines) == 1, lines


@pytest.mark.promise(24)
def test_what_acts_is_escaped_and_what_is_read_is_not():
    for text in ("", "a dog", "Straße, „gut“", "我们", "שלום", "नमस्ते", "می\u200cخواهم", "😀", "a\u00a0b", "back\\slash"):
        assert printable(text) == text
    assert printable("a\x1b[2J\r\n\t\0\x7f\x9b") == "a\\x1b[2J\\r\\n\\t\\x00\\x7f\\x9b"
    assert printable("\u2028\u2029\ud800") == "\\u2028\\u2029\\ud800"
    for character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069":
        assert printable(f"a{character}b") == f"a\\u{ord(character):04x}b"


def test_times_as_people_write_them():
    assert [format_time(s) for s in (0, 9.6, 59.4, 61, 3723.2, 360000)] == [
        "00s",
        "10s",
        "59s",
        "1m01s",
        "1h02m03s",
        "100h00m00s",
    ]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "status.json"
    write_json_atomic(path, {"Straße": [1, None, float("inf")]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"Straße": [1, None, float("inf")]}

    def fail(*_):
        assert path.read_text(encoding="utf-8").startswith("{")
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_bytes_atomic(path, b"half")
    assert [found.name for found in tmp_path.iterdir()] == ["status.json"]
    assert json.loads(path.read_text(encoding="utf-8"))["Straße"][0] == 1


def test_tensorboard_opens_on_an_overview_and_has_settings_with_their_scores(tmp_path):
    tracker = Tracker(tmp_path, TrackingConfig(), 0)
    tracker.scalars(3, {"train/nll": 1.5})
    tracker.close()
    for bleu in (30.0, 31.0):  # a run that was given another limit and finished again
        settings = {"optim.learning_rate": 0.1, "train.patience": None, "data.source": "x.de"}
        write_hyperparameters(tmp_path, settings, {"bleu": bleu}, 3)
    accumulator = EventAccumulator(str(tmp_path / "tensorboard"))
    accumulator.Reload()
    assert accumulator.Tags()["tensors"] == ["custom_scalars__config__"]
    content = accumulator.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    assert all(tag in content for tag in (b"train/nll", b"dev/bleu", b"train/tokens_per_s", b"dev/aer"))
    assert points(tmp_path, "train/nll") == [(3, 1.5)]
    accumulator = EventAccumulator(str(tmp_path / "tensorboard/final"))
    accumulator.Reload()
    assert [(event.step, event.value) for event in accumulator.Scalars("test/bleu")] == [(3, 31.0)]
    content = accumulator.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"optim.learning_rate" in content
    assert b"train.patience" not in content
    assert b"data.source" not in content
