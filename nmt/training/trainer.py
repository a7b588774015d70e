"""The training loop: update, log, validate, save, stop."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from nmt.config import Metric, Precision, TrainConfig, seconds
from nmt.data.batching import BatchPlan, Indices, make_batch
from nmt.data.store import Split
from nmt.errors import RunFailure
from nmt.hardware import autocast
from nmt.tracking import Progress, Tracker
from nmt.training.checkpoint import Checkpoint, Checkpoints
from nmt.training.objective import Objective
from nmt.training.optim import Schedule

log = logging.getLogger(__name__)

Validate = Callable[[int], dict[str, float]]
"""Measures the model after a step; gives at least ``dev_nll`` and ``dev_bleu``."""


class TrainingError(RunFailure):
    """Training cannot go on; the message says why and at which step."""


@dataclass(slots=True)
class TrainingState:
    """All that a resumed run needs besides weights and optimiser. ``interval`` holds the sums since the last logged step.

    ``step`` counts updates attempted: plan, seed, schedule and logs go by it, and a skipped update is not repeated.
    """

    step: int = 0
    elapsed_s: float = 0.0
    best_score: float | None = None
    best_step: int | None = None
    validated_step: int = 0
    validations_since_best: int = 0
    interval: list[float] = field(default_factory=list)


def microbatch_seed(seed: int, step: int, microbatch: int) -> int:
    """The seed of the generators before a micro-batch: the first 32 bits of SHA-256 of the three numbers.

    A function of the run alone, so that dropout is the same after a resume; ``microbatch`` counts over all processes.
    """
    return int.from_bytes(hashlib.sha256(f"{seed} {step} {microbatch}".encode()).digest()[:4], "little")


class Trainer:
    """Trains an objective on the updates of a plan until a limit is reached.

    The gradient of an update is that of the summed loss of all its micro-batches over all their real target tokens. An update whose
    gradient is not finite changes nothing; ``max_bad_steps`` of them in a row end training. Norm, losses and the finite flag stay
    on the device and are read once a logging interval.
    """

    def __init__(
        self,
        *,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        split: Split,
        plan: BatchPlan,
        checkpoints: Checkpoints,
        validate: Validate,
        tracker: Tracker,
        progress: Progress,
        config: TrainConfig,
        max_grad_norm: float,
        seed: int,
        device: torch.device,
        precision: Precision,
        packed: bool,
    ) -> None:
        self.objective, self.optimizer, self.schedule = objective, optimizer, schedule
        self.split, self.plan, self.checkpoints, self.validate = split, plan, checkpoints, validate
        self.tracker, self.progress, self.config, self.max_grad_norm = tracker, progress, config, max_grad_norm
        self.seed, self.device, self.precision, self.packed = seed, device, precision, packed
        self.state = TrainingState()
        self.max_time_s = seconds(config.max_time)
        self.stop_requested = False
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._peaks = [group["lr"] for group in optimizer.param_groups]
        self._sums = _Sums.zero(device)
        self._bad_in_a_row = torch.zeros((), device=device)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint whose weights the model already has."""
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.state = TrainingState(**checkpoint.meta["state"])
        self._sums = _Sums.of(self.state.interval, self.device)

    def train(self) -> str | None:
        """Train to the first limit and say which one it was; None where :attr:`stop_requested` ended it, after saving.

        Raises:
            TrainingError: too many updates in a row were not finite.
            CheckpointError: a checkpoint could not be written.
        """
        state = self.state
        started = time.monotonic() - state.elapsed_s
        self.objective.train()
        while not (reason := self.stop_reason()):
            if self.stop_requested:
                self._save()
                return None
            begun = time.monotonic()
            self._update(state.step)
            self._sums.busy_s += time.monotonic() - begun
            state.step += 1
            if state.step % self.config.log_every == 0:
                self._log()
            if state.step % self.config.validate_every == 0:
                self._validate_and_save()
            state.elapsed_s = time.monotonic() - started
        if state.validated_step != state.step:
            self._validate_and_save()
        return reason

    def stop_reason(self) -> str | None:
        """The limit that is reached, by name, or None."""
        config, state = self.config, self.state
        if config.max_steps is not None and state.step >= config.max_steps:
            return "max_steps"
        if config.max_epochs is not None and state.step >= config.max_epochs * self.plan.steps_per_epoch:
            return "max_epochs"
        if self.max_time_s is not None and state.elapsed_s >= self.max_time_s:
            return "max_time"
        if config.patience is not None and state.validations_since_best >= config.patience:
            return "patience"
        return None

    def _update(self, step: int) -> None:
        microbatches = self.plan.update(step)
        num_tokens = sum(self.plan.num_tokens(microbatch) for microbatch in microbatches)
        for m, microbatch in enumerate(microbatches):
            torch.manual_seed(microbatch_seed(self.seed, step, m))
            self._backward(microbatch, num_tokens)
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        norm = get_total_norm(gradients)
        bad = (~torch.isfinite(norm)).float()
        if self.max_grad_norm > 0:
            clip_grads_with_norm_(self._parameters, self.max_grad_norm, norm)
        factor = self.schedule(step)
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        self.optimizer.found_inf = bad  # type: ignore[attr-defined]  # the fused kernels skip the update where it is 1
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._bad_in_a_row = (self._bad_in_a_row + bad) * bad
        self._sums.norm += torch.where(bad.bool(), 0.0, norm.double())
        self._sums.bad += bad

    def _backward(self, microbatch: Indices, num_tokens: int) -> None:
        batch = make_batch(self.split, microbatch, packed=self.packed).to(self.device)
        with autocast(self.device, self.precision):
            losses = self.objective(batch)
        (losses.loss_sum / num_tokens).backward()
        self._sums.loss += losses.loss_sum.detach()
        self._sums.nll += losses.nll_sum
        self._sums.tokens += losses.num_tokens
        for layout in (batch.source_layout, batch.target_layout):
            self._sums.real_positions += layout.num_tokens
            self._sums.positions += layout.num_positions

    def _log(self) -> None:
        """Write the means of the interval and begin the next one; the only place that waits for the device."""
        config, step = self.config, self.state.step
        begun = time.monotonic()
        sums = _Sums.of(self._sums.tolist(), torch.device("cpu"))
        sums.busy_s += time.monotonic() - begun
        if self._bad_in_a_row >= config.max_bad_steps:
            raise TrainingError(
                f"step {step}: the gradients of {int(self._bad_in_a_row)} updates in a row were not finite "
                f"(`train.max_bad_steps` is {config.max_bad_steps}); a lower `optim.learning_rate` may help"
            )
        good = max(config.log_every - float(sums.bad), 1.0)
        tokens_per_s = float(sums.tokens / sums.busy_s)
        values = {
            "train/loss": float(sums.loss / sums.tokens),
            "train/nll": float(sums.nll / sums.tokens),
            "train/perplexity": float(torch.exp(sums.nll / sums.tokens)),
            "train/gradient_norm": float(sums.norm) / good,
            "train/skipped_updates": float(sums.bad),
            "train/learning_rate": self.optimizer.param_groups[0]["lr"],
            "train/tokens_per_s": tokens_per_s,
            "train/real_positions": float(sums.real_positions / sums.positions),
            "train/epoch": step / self.plan.steps_per_epoch,
        }
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
        self._sums = _Sums.zero(self.device)

    def _fraction_done(self) -> float | None:
        """How far training is towards the limit that comes first, patience apart, which nobody can foresee."""
        config, state = self.config, self.state
        limits = [
            (state.step, config.max_steps),
            (state.step, config.max_epochs and config.max_epochs * self.plan.steps_per_epoch),
            (state.elapsed_s, self.max_time_s),
        ]
        return max((done / limit for done, limit in limits if limit), default=None)

    def _validate_and_save(self) -> None:
        state = self.state
        self.objective.eval()
        scores = self.validate(state.step)
        self.objective.train()
        self.tracker.scalars(state.step, {name.replace("_", "/", 1): value for name, value in scores.items()})
        score = scores["dev_bleu"] if self.config.metric is Metric.bleu else -scores["dev_nll"]
        state.validated_step = state.step
        state.validations_since_best += 1
        if np.isfinite(score) and (state.best_score is None or score > state.best_score):
            state.best_score, state.best_step, state.validations_since_best = score, state.step, 0
        log.info("step %d: %s", state.step, " ".join(f"{name}={value:.4g}" for name, value in scores.items()))
        self._save()

    def _save(self) -> None:
        state = self.state
        state.interval = self._sums.tolist()
        self.checkpoints.save(
            state.step,
            self.objective.model,
            self.optimizer,
            {"state": asdict(state)},
            keep_last=self.config.keep_last,
            best=state.best_step,
        )


@dataclass(slots=True)
class _Sums:
    """Sums over the updates since the last logged step, in float64 on the device."""

    loss: Tensor
    nll: Tensor
    tokens: Tensor
    real_positions: Tensor
    positions: Tensor
    norm: Tensor
    bad: Tensor
    busy_s: Tensor

    @staticmethod
    def of(values: list[float], device: torch.device) -> _Sums:
        return _Sums(*torch.tensor(values, dtype=torch.float64, device=device).unbind()) if values else _Sums.zero(device)

    @staticmethod
    def zero(device: torch.device) -> _Sums:
        return _Sums(*(torch.zeros((), dtype=torch.float64, device=device) for _ in range(8)))

    def tolist(self) -> list[float]:
        return [float(getattr(self, name)) for name in self.__slots__]
