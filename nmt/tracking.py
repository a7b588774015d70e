"""What a run writes down while it trains, and what a person sees of it."""

from __future__ import annotations

import json
import logging
import math
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from nmt import distributed
from nmt.config import ProgressStyle, TrackingConfig
from nmt.files import read_json_lines, write_text_atomic
from nmt.text import format_time

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.progress import Progress as Bar

log = logging.getLogger(__name__)


LAYOUT = {
    "overview": {
        "loss": ["Multiline", ["train/nll", "dev/nll"]],
        "translation": ["Multiline", ["dev/bleu", "dev/chrf"]],
        "speed, target tokens a second": ["Multiline", ["train/tokens_per_s"]],
        "alignment error rate": ["Multiline", ["dev/aer"]],
    },
    "training": {
        "learning rate": ["Multiline", ["train/learning_rate"]],
        "gradient norm": ["Multiline", ["train/gradient_norm", "train/largest_gradient_norm"]],
        "share of clipped and of skipped updates": ["Multiline", ["train/clipped_updates", "train/skipped_updates"]],
        "shares of real positions, of waiting for data, of the peak": [
            "Multiline",
            ["train/real_positions", "train/data_wait", "train/mfu"],
        ],
    },
}
"""What TensorBoard's page of custom scalars shows side by side."""

LEARNING = ("seed", "precision", "tokenizer", "model", "loss", "optim", "schedule", "train")
"""The groups of settings that TensorBoard's page of hyper-parameters shows."""


class Tracker:
    """``metrics.jsonl`` and TensorBoard event files of a run, in which every step stands once, whatever was killed and resumed.

    What an earlier process wrote about steps after ``resume_step`` is taken back: those steps will be done again. All that was
    written is on its way to the disk when a call returns, so that killing the process loses nothing. Only the main process writes.
    """

    def __init__(self, folder: Path, config: TrackingConfig, resume_step: int) -> None:
        self._file: TextIO | None = None
        self._writer: Any = None
        if not distributed.is_main():
            return
        path = folder / "metrics.jsonl"
        if path.exists():
            records = [record for record in read_json_lines(path) if record["step"] <= resume_step]
            write_text_atomic(path, "".join(json.dumps(record) + "\n" for record in records))
        self._file = path.open("a", encoding="utf-8")
        if config.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=resume_step + 1)
            if not resume_step:
                self._writer.add_custom_scalars(LAYOUT)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Measurements after a step; in the file, numbers that are not finite are null."""
        if not self._file:
            return
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step, **finite}) + "\n")
        self._file.flush()
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()

    def text(self, step: int, name: str, markdown: str) -> None:
        """A text for TensorBoard, which shows Markdown and no HTML."""
        if self._writer:
            self._writer.add_text(name, markdown, step)
            self._writer.flush()

    def figure(self, step: int, name: str, draw: Callable[[], Figure]) -> None:
        """A picture for TensorBoard, which is drawn only if there is one."""
        if self._writer:
            self._writer.add_figure(name, draw(), step)
            self._writer.flush()

    def close(self) -> None:
        if self._file:
            self._file.close()
        if self._writer:
            self._writer.close()


def write_hyperparameters(folder: Path, settings: Mapping[str, Any], scores: Mapping[str, float], step: int) -> None:
    """A row for TensorBoard's page of hyper-parameters: what a finished run learned with, and what came of it.

    ``settings`` are all by their dotted names; those that are null, or in no group of :data:`LEARNING`, are left out. In a folder of its
    own, so that it can be written anew.
    """
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    known = {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in settings.items()
        if name.split(".")[0] in LEARNING and value is not None
    }
    path = folder / "tensorboard" / "final"
    shutil.rmtree(path, ignore_errors=True)
    with SummaryWriter(str(path)) as writer:
        for summary in hparams(known, {f"test/{name}": 0.0 for name in scores}):
            writer.file_writer.add_summary(summary)
        for name, value in scores.items():
            writer.add_scalar(f"test/{name}", value, step)


class Progress:
    """How training goes, on standard error: a live bar with the time left, or one plain line an interval in the log.

    While the bar is there, what other parts log to standard error is printed above it.
    """

    def __init__(self, style: ProgressStyle) -> None:
        self._bar: Bar | None = None
        if style is ProgressStyle.live or (style is ProgressStyle.auto and sys.stderr.isatty()):
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            console = Console(stderr=True, force_terminal=True)
            self._bar = Bar(BarColumn(20), TextColumn("{task.description}", markup=False), TimeElapsedColumn(), console=console)
            self._task = self._bar.add_task("starting", total=None)
        self._moved: list[logging.StreamHandler[Any]] = []
        self._first: tuple[float, float] | None = None

    def __enter__(self) -> Progress:
        if self._bar:
            stderr = sys.stderr
            self._bar.start()  # puts a writer that knows the bar in the place of sys.stderr
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler) and handler.stream is stderr:
                    handler.setStream(sys.stderr)
                    self._moved.append(handler)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()
        for handler in self._moved:
            handler.setStream(sys.stderr)

    def update(self, step: int, fields: Mapping[str, str], fraction: float | None) -> None:
        """Show a step; ``fraction`` is the share that is done of the limit that comes first, where one is known."""
        text = "  ".join([f"step {step}", *(f"{name} {value}" for name, value in fields.items())])
        if (left_s := self._time_left(fraction)) is not None:
            text += f"  left {format_time(left_s)}"
        if self._bar:
            self._bar.update(self._task, description=text, total=None if fraction is None else 1.0, completed=fraction)
        else:
            log.info("%s", text)

    def _time_left(self, fraction: float | None) -> float | None:
        """Seconds to the limit at the pace since the first update, before which a resumed run may have come far already."""
        if fraction is None:
            return None
        now = time.monotonic()
        if self._first is None:
            self._first = now, fraction
        begun, done = self._first
        return (now - begun) / (fraction - done) * (1 - fraction) if fraction > done else None
