"""One update: micro-batches to gradients to weights."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.profiler import record_function
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from nmt import distributed
from nmt.config import Precision
from nmt.data.batching import Batch, Sentences, make_batch
from nmt.data.plan import BatchPlan, Indices
from nmt.hardware import autocast, count_flops
from nmt.training.checkpoint import Checkpoint
from nmt.training.ema import EMA
from nmt.training.memory import explained
from nmt.training.objective import Objective
from nmt.training.schedule import Plateau, Schedule


def microbatch_seed(seed: int, step: int, microbatch: int) -> int:
    """The seed of the generators before a micro-batch: the first 32 bits of SHA-256 of the three numbers.

    A function of the run alone, so that dropout is the same after a resume; ``microbatch`` counts over all processes.
    """
    return int.from_bytes(hashlib.sha256(f"{seed} {step} {microbatch}".encode()).digest()[:4], "little")


class Updater:
    """Makes the updates of a plan, by number, and adds up in ``sums`` what is to be known of them.

    ``flops_per_position`` is what the products of the first micro-batch cost, forward and backward, by source and target position.
    ``norms`` has the norm of each parameter's gradient and of itself, of the last update that was asked for them.

    The gradient of an update is that of the summed loss of all its micro-batches over all their real target tokens, however many
    processes share them: each makes every ``world_size``-th. An update whose gradient is not finite changes nothing. Norm, losses and the
    finite flag stay on the device, so that nothing waits for it.

    In fp16 losses are scaled, so that small gradients are not rounded to zero, and gradients are scaled back before anything is done with
    them; ``scaler`` halves its factor after an update that is not finite and doubles it after 2,000 that are (torch's ``GradScaler``).
    """

    def __init__(
        self,
        *,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        split: Sentences,
        plan: BatchPlan,
        max_grad_norm: float,
        seed: int,
        device: torch.device,
        precision: Precision,
        packed: bool,
        ema: EMA | None = None,
    ) -> None:
        self.objective, self.optimizer, self.schedule = objective, optimizer, schedule
        self.split, self.plan, self.max_grad_norm, self.seed = split, plan, max_grad_norm, seed
        self.device, self.precision, self.packed, self.ema = device, precision, packed, ema
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision is Precision.fp16)
        self.scaler.scale(torch.zeros((), device=device))  # makes its state, also where a process has no part in the first update
        self.sums = Sums.zero(device)
        self.flops_per_position: float | None = None
        self.norms: dict[str, tuple[Tensor, Tensor]] = {}
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._peaks = [group["lr"] for group in optimizer.param_groups]

    def __call__(self, step: int, *, keep_norms: bool = False) -> None:
        begun = time.monotonic()
        microbatches = self.plan.update(step)
        num_tokens = sum(self.plan.num_tokens(microbatch) for microbatch in microbatches)
        self.sums.data_s += time.monotonic() - begun
        for m in range(distributed.rank(), len(microbatches), distributed.world_size()):
            torch.manual_seed(microbatch_seed(self.seed, step, m))
            made = time.monotonic()
            with record_function("data"):
                batch = self._batch(microbatches[m])
            self.sums.data_s += time.monotonic() - made
            with explained(step, batch, self.plan.max_tokens):
                self.backward(batch, num_tokens)
        self._sum_gradients()
        if keep_norms:
            self.norms = {
                name: (p.grad.norm() / self.scaler.get_scale(), p.detach().norm())
                for name, p in self.objective.model.named_parameters()
                if p.grad is not None
            }
        self._change_weights(step)
        self.sums.busy_s += time.monotonic() - begun

    def _batch(self, sentences: Indices) -> Batch:
        links = self.objective.guide is not None
        return make_batch(self.split, sentences, packed=self.packed, with_links=links).to(self.device)

    def rehearse(self) -> None:
        """Compute the gradients of the micro-batches that need the most memory, and forget them.

        Raises:
            OutOfMemory: there is not enough.
        """
        for microbatch in self.plan.heaviest():
            batch = self._batch(microbatch)
            with explained(0, batch, self.plan.max_tokens):
                self._add_gradient(batch, self.plan.num_tokens(microbatch))
            self.optimizer.zero_grad(set_to_none=True)
        self.sums = Sums.zero(self.device)

    def state_dict(self) -> dict[str, Any]:
        """What later updates depend on besides weights, their averages, the optimiser's state and the step: plain numbers."""
        return {
            "scaler": self.scaler.state_dict(),
            "reductions": self.schedule.reductions if isinstance(self.schedule, Plateau) else 0,
            "averaged_updates": float(self.ema.num_updates) if self.ema else 0.0,
        }

    def resume(self, checkpoint: Checkpoint, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint whose weights the model already has, and from what :meth:`state_dict` gave when it was made."""
        self.optimizer.load_state_dict(checkpoint.optimizer)
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        if isinstance(self.schedule, Plateau):
            self.schedule.reductions = state["reductions"]
        if self.ema:
            assert checkpoint.ema is not None
            self.ema.load(checkpoint.ema, state["averaged_updates"])

    def backward(self, batch: Batch, num_tokens: int) -> None:
        """Add the gradient of a micro-batch of an update that has ``num_tokens`` in all."""
        if self.flops_per_position is None:
            positions = batch.source_layout.num_positions + batch.target_layout.num_positions
            flops = count_flops(lambda: self._add_gradient(batch, num_tokens))
            self.flops_per_position = flops / positions
        else:
            self._add_gradient(batch, num_tokens)

    def _add_gradient(self, batch: Batch, num_tokens: int) -> None:
        with autocast(self.device, self.precision):
            losses = self.objective(batch)
        self.scaler.scale(losses.loss_sum / num_tokens).backward()
        self.sums.loss += losses.loss_sum.detach()
        self.sums.nll += losses.nll_sum
        self.sums.alignment += losses.alignment_sum
        self.sums.tokens += losses.num_tokens
        self.sums.real_positions += batch.source_layout.num_tokens + losses.num_tokens
        self.sums.positions += batch.source_layout.num_positions + batch.target_layout.num_positions
        self.sums.target_positions += batch.target_layout.num_positions

    def _sum_gradients(self) -> None:
        if distributed.world_size() == 1:
            return
        for parameter in self._parameters:  # the last update of an epoch may have no micro-batch for this process
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        distributed.sum_in_place([p.grad for p in self._parameters if p.grad is not None])

    def _change_weights(self, step: int) -> None:
        self.scaler.unscale_(self.optimizer)
        norm = get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        bad = (~torch.isfinite(norm)).float()
        if self.max_grad_norm > 0:
            clip_grads_with_norm_(self._parameters, self.max_grad_norm, norm)
        factor = self.schedule(step)
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        vars(self.optimizer)["found_inf"] = bad  # an attribute that no class of torch declares, and fused optimisers look for
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.update()
        if self.ema:
            self.ema.update(bad)
        self.sums.count_norm(norm.double(), bad, self.max_grad_norm)


SAME_IN_ALL = {"norm", "largest_norm", "clipped", "bad", "bad_in_a_row", "most_bad_in_a_row", "busy_s", "data_s"}
"""Sums that every process has."""


@dataclass(slots=True)
class Sums:
    """Sums over the updates of this process, in float64: those of the device there, the others on the CPU.

    Attributes:
        loss, nll, alignment: over all real target tokens.
        norm, largest_norm: of the gradients of finite updates, before they are clipped.
        clipped: updates whose gradient was clipped.
        bad: updates that were not finite.
        bad_in_a_row, most_bad_in_a_row: how many of them in a row the newest updates are, and the most that there were.
        tokens: real target tokens.
        real_positions, positions: of source and target, without and with padding.
        target_positions: of the target, with padding.
        busy_s, data_s: seconds of all, and of making batches.
    """

    loss: Tensor
    nll: Tensor
    alignment: Tensor
    norm: Tensor
    largest_norm: Tensor
    clipped: Tensor
    bad: Tensor
    bad_in_a_row: Tensor
    most_bad_in_a_row: Tensor
    tokens: float = 0.0
    real_positions: float = 0.0
    positions: float = 0.0
    target_positions: float = 0.0
    busy_s: float = 0.0
    data_s: float = 0.0

    @staticmethod
    def of(values: list[float], device: torch.device) -> Sums:
        """The inverse of :meth:`over_processes`; zero where there are no values."""
        if not values:
            return Sums.zero(device)
        return Sums(*torch.tensor(values[:9], dtype=torch.float64, device=device), *values[9:])

    @staticmethod
    def zero(device: torch.device) -> Sums:
        return Sums(*torch.zeros(9, dtype=torch.float64, device=device))

    def count_norm(self, norm: Tensor, bad: Tensor, max_norm: float) -> None:
        """Count the gradient of an update, clipped at ``max_norm`` where that is not 0; ``bad`` is 1 where it was not finite."""
        finite = torch.where(bad.bool(), 0.0, norm)
        self.norm += finite
        self.largest_norm = torch.maximum(self.largest_norm, finite)
        self.clipped += (finite > max_norm) & (max_norm > 0)
        self.bad += bad
        self.bad_in_a_row = (self.bad_in_a_row + bad) * bad
        self.most_bad_in_a_row = torch.maximum(self.most_bad_in_a_row, self.bad_in_a_row)

    def over_processes(self) -> list[float]:
        """All of them as numbers, summed over the processes, but for what is the same in all of them; waits for the device."""
        same = set() if distributed.is_main() else SAME_IN_ALL
        values = torch.tensor(
            [0.0 if name in same else float(getattr(self, name)) for name in self.__slots__], dtype=torch.float64
        )
        distributed.sum_in_place([values])
        return values.tolist()
