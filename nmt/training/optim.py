"""Optimisers and learning-rate schedules."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import torch
from torch import nn

from nmt.config import OptimConfig, OptimKind, ScheduleConfig, ScheduleKind
from nmt.errors import ConfigError
from nmt.models.layers import OutputLayer
from nmt.training.muon import Muon

Schedule = Callable[[int], float]
"""Learning rate of an update, as a factor of the peak; updates count from 0."""


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015), AdamW (Loshchilov and Hutter 2019), whose decoupled decay is of matrices only, or :class:`Muon`."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    settings = {"lr": config.learning_rate, "betas": (config.beta1, config.beta2), "eps": config.eps, "fused": True}
    match config.kind:
        case OptimKind.adam:
            return _eager(torch.optim.Adam)(groups, **settings)
        case OptimKind.adamw:
            return _eager(torch.optim.AdamW)(groups, **settings)
        case OptimKind.muon:
            return _eager(Muon)(groups, orthogonal=hidden_matrices(model), momentum=config.momentum, **settings)


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The matrices of a model that are neither embeddings nor the output layer's."""
    ends = [module for module in model.modules() if isinstance(module, nn.Embedding | OutputLayer)]
    tables = {id(parameter) for module in ends for parameter in module.parameters()}
    return [p for p in model.parameters() if p.ndim > 1 and id(p) not in tables]


def _eager(kind: type[torch.optim.Adam]) -> Callable[..., torch.optim.Adam]:
    """The optimiser without the wrappers that torch puts around its methods for ``torch.compile``, which is not used here.

    On their first call they import the compiler, 1.3 to 1.9 s of the start of a run. What they wrap is the same, to the bit.
    """
    names = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), {**methods, "step": torch.no_grad()(inspect.unwrap(kind.step))})


def build_schedule(config: ScheduleConfig, max_steps: int | None) -> Schedule:
    """The factor of the peak learning rate at each update; all schedules rise linearly over ``warmup_steps`` first.

    ``inverse_sqrt``: sqrt(warmup / step) from there (Vaswani et al. 2017, section 5.3, with the peak given instead of derived from
    the width). ``warmup_stable_decay``: constant, then linearly to 0 over the last ``decay_steps`` before ``max_steps``.

    Raises:
        ConfigError: a decay without an end.
    """
    warmup = max(config.warmup_steps, 1)
    if config.kind is ScheduleKind.warmup_stable_decay and not (max_steps and 0 < config.decay_steps <= max_steps):
        raise ConfigError(
            "`schedule.kind=warmup_stable_decay` needs `schedule.decay_steps` of at least 1 and at most `train.max_steps`, "
            f"but they are {config.decay_steps} and {max_steps}"
        )

    def factor(step: int) -> float:
        rise = min(1.0, (step + 1) / warmup)
        match config.kind:
            case ScheduleKind.constant:
                return rise
            case ScheduleKind.inverse_sqrt:
                return min(rise, math.sqrt(warmup / (step + 1)))
            case ScheduleKind.warmup_stable_decay:
                return min(rise, max(0.0, (max_steps or 0) - step) / config.decay_steps)

    return factor
