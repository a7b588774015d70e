"""The training loop: update, log, validate, save, stop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from nmt import distributed
from nmt.config import Metric, TrainConfig
from nmt.conversion import seconds
from nmt.errors import RunFailure
from nmt.hardware import matmul_peak
from nmt.tracking import Progress, Tracker
from nmt.training.checkpoint import Checkpoint, Checkpoints
from nmt.training.objective import Objective
from nmt.training.schedule import Plateau
from nmt.training.update import Sums, Updater

log = logging.getLogger(__name__)

Validate = Callable[[int], dict[str, float]]
"""Measures the model after a step; gives at least ``dev_nll`` and ``dev_bleu``."""


class TrainingError(RunFailure):
    """Training cannot go on; the message says why and at which step."""


@dataclass(slots=True)
class TrainingState:
    """All that a resumed run needs besides weights, their averages and the optimiser. ``interval`` holds the sums since the last logged
    step, ``update`` what the :class:`Updater` says of itself.

    ``step`` counts updates attempted: plan, seed, schedule and logs go by it, and a skipped update is not repeated.
    """

    step: int = 0
    elapsed_s: float = 0.0
    best_score: float | None = None
    best_step: int | None = None
    validated_step: int = 0
    validations_since_best: int = 0
    interval: list[float] = field(default_factory=list)
    update: dict[str, Any] = field(default_factory=dict)


class Trainer:
    """Makes updates until a limit is reached; logs, validates and saves on the way.

    ``max_bad_steps`` updates in a row whose gradient is not finite end training. Sums are read once a logging interval. ``stop_signal`` is
    set from outside, by number, to end training after an update. All processes agree on time and signal before every update; the main
    one logs, validates and saves.
    """

    def __init__(
        self,
        *,
        update: Updater,
        checkpoints: Checkpoints,
        validate: Validate,
        tracker: Tracker,
        progress: Progress,
        config: TrainConfig,
        statistics: bool = False,
    ) -> None:
        self.update, self.checkpoints, self.validate = update, checkpoints, validate
        self.tracker, self.progress, self.config, self.statistics = tracker, progress, config, statistics
        self.state = TrainingState()
        self.max_time_s = seconds(config.max_time)
        self.stop_signal = 0
        self._saved_step = 0
        self._peak: float | None = None
        self._started = 0.0

    @property
    def objective(self) -> Objective:
        return self.update.objective

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint whose weights the model already has."""
        self.state = TrainingState(**checkpoint.meta["state"])
        self._saved_step = self.state.step
        self.update.resume(checkpoint, self.state.update)
        self.update.sums = Sums.of(self.state.interval if distributed.is_main() else [], self.update.device)

    def train(self) -> str | None:
        """Train to the first limit and say which one it was; None where :attr:`stop_signal` ended it, after saving.

        Raises:
            TrainingError: too many updates in a row were not finite.
            CheckpointError: a checkpoint could not be written.
        """
        state = self.state
        self._started = time.monotonic() - state.elapsed_s
        self.objective.train()
        while True:
            stop_signal = self._agree()
            if reason := self.stop_reason():
                break
            if stop_signal:
                self.stop_signal = stop_signal
                self._save()
                return None
            # only now that it goes on: a checkpoint between the last update and its validation would have it validated and logged again
            if self.config.save_every and state.step % self.config.save_every == 0 and state.step != self._saved_step:
                self._save()
            self.update(state.step, keep_norms=self.statistics and (state.step + 1) % self.config.log_every == 0)
            state.step += 1
            if state.step % self.config.log_every == 0:
                self._log()
            if state.step % self.config.validate_every == 0:
                self._validate_and_save()
        if state.validated_step != state.step:
            self._validate_and_save()
        return reason

    def _agree(self) -> int:
        """Agree with the other processes on the time that training took, and on the signal that any of them was sent."""
        self.state.elapsed_s, stop_signal = distributed.maxima(time.monotonic() - self._started, self.stop_signal)
        return int(stop_signal)

    def stop_reason(self) -> str | None:
        """The limit that is reached, by name, or None."""
        config, state = self.config, self.state
        if config.max_steps is not None and state.step >= config.max_steps:
            return "max_steps"
        if config.max_epochs is not None and state.step >= self.update.plan.steps(config.max_epochs):
            return "max_epochs"
        if self.max_time_s is not None and state.elapsed_s >= self.max_time_s:
            return "max_time"
        if config.patience is not None and state.validations_since_best >= config.patience:
            return "patience"
        return None

    def _log(self) -> None:
        """Write the means of the interval and begin the next one; the only place that waits for the device."""
        config, step = self.config, self.state.step
        begun = time.monotonic()
        sums = Sums.of(self.update.sums.over_processes(), torch.device("cpu"))
        self.update.sums = replace(Sums.zero(self.update.device), bad_in_a_row=self.update.sums.bad_in_a_row)
        sums.busy_s += time.monotonic() - begun
        if sums.most_bad_in_a_row >= config.max_bad_steps:
            raise TrainingError(
                f"step {step}: the gradients of {int(sums.most_bad_in_a_row)} updates in a row were not finite "
                f"(`train.max_bad_steps` is {config.max_bad_steps}); a lower `optim.learning_rate` may help"
            )
        if self._peak is None:
            self._peak = matmul_peak(self.update.device, self.update.precision) * distributed.world_size()
        if not distributed.is_main():
            return
        good = max(config.log_every - float(sums.bad), 1.0)
        tokens_per_s = sums.tokens / sums.busy_s
        values = {
            "train/loss": float(sums.loss / sums.tokens),
            "train/nll": float(sums.nll / sums.tokens),
            "train/perplexity": float(torch.exp(sums.nll / sums.tokens)),
            "train/gradient_norm": float(sums.norm) / good,
            "train/largest_gradient_norm": float(sums.largest_norm),
            "train/clipped_updates": float(sums.clipped) / config.log_every,
            "train/skipped_updates": float(sums.bad) / config.log_every,
            "train/learning_rate": self.update.optimizer.param_groups[0]["lr"],
            "train/tokens_per_s": tokens_per_s,
            "train/real_positions": sums.real_positions / sums.positions,
            "train/data_wait": sums.data_s / sums.busy_s,
            "train/mfu": (self.update.flops_per_position or 0.0) * sums.real_positions / sums.busy_s / self._peak,
            "train/epoch": self.update.plan.epochs(step),
        }
        if self.update.objective.guide:
            values["train/alignment_loss"] = float(sums.alignment / sums.tokens)
        if self.update.scaler.is_enabled():
            values["train/loss_scale"] = self.update.scaler.get_scale()
        for name, (gradient, weight) in self.update.norms.items():
            values |= {f"gradients/{name}": float(gradient), f"weights/{name}": float(weight)}
        self.tracker.scalars(step, values)
        self.progress.update(
            step,
            {
                "epoch": f"{values['train/epoch']:.2f}",
                "loss": f"{values['train/loss']:.3f}",
                "ppl": f"{values['train/perplexity']:.2f}",
                "lr": f"{values['train/learning_rate']:.2e}",
                "norm": f"{values['train/gradient_norm']:.2f}",
                "tokens/s": f"{tokens_per_s:,.0f}",
            },
            self._fraction_done(),
        )

    def _fraction_done(self) -> float | None:
        """How far training is towards the limit that comes first, patience apart, which nobody can foresee."""
        config, state = self.config, self.state
        limits = [
            (state.step, config.max_steps),
            (state.step, config.max_epochs and self.update.plan.steps(config.max_epochs)),
            (state.elapsed_s, self.max_time_s),
        ]
        return max((done / limit for done, limit in limits if limit), default=None)

    def _validate_and_save(self) -> None:
        state = self.state
        score = self._score()
        score = distributed.from_main(lambda: score)  # where they differ by rounding, all go by one
        state.validated_step = state.step
        state.validations_since_best += 1
        if np.isfinite(score) and (state.best_score is None or score > state.best_score):
            state.best_score, state.best_step, state.validations_since_best = score, state.step, 0
        if isinstance(self.update.schedule, Plateau):
            self.update.schedule.observe(state.validations_since_best)
        self._agree()
        self._save()

    def _score(self) -> float:
        """Validate, with the average of the weights where there is one, write the scores down, and give the one that decides which
        checkpoint is the best."""
        step, ema = self.state.step, self.update.ema
        self.objective.eval()
        with ema.in_place_of_weights() if ema else nullcontext():
            scores = self.validate(step)
        self.objective.train()
        self.tracker.scalars(step, {name.replace("_", "/", 1): value for name, value in scores.items()})
        log.info("step %d: %s", step, " ".join(f"{name}={value:.4g}" for name, value in scores.items()))
        return scores["dev_bleu"] if self.config.metric is Metric.bleu else -scores["dev_nll"]

    def _save(self) -> None:
        state = self.state
        state.interval = self.update.sums.over_processes()
        state.update = self.update.state_dict()
        self._saved_step = state.step
        if not distributed.is_main():
            return
        self.checkpoints.save(
            state.step,
            self.objective.model,
            self.update.optimizer,
            {"state": asdict(state)},
            keep_last=self.config.keep_last,
            best=state.best_step,
            ema=self.update.ema.averages if self.update.ema else None,
        )
