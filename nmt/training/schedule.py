"""Learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable

from nmt.config import AnnealingConfig, ExponentialConfig, PlateauConfig, ScheduleConfig, ScheduleKind, StableDecayConfig
from nmt.errors import ConfigError

Schedule = Callable[[int], float]
"""Learning rate of an update, as a factor of the peak; updates count from 0."""


class Plateau:
    """Times ``rate`` whenever ``patience`` validations in a row have brought nothing better, and again after as many more.

    The one schedule that is not a function of the step alone: ``reductions``, how often that happened, is kept in checkpoints. It is what
    torch's ``ReduceLROnPlateau`` does with one less ``patience`` and no ``threshold``.
    """

    def __init__(self, config: PlateauConfig) -> None:
        self.config = config
        self.reductions = 0

    def __call__(self, step: int) -> float:
        return min(_rise(self.config, step), max(self.config.final_factor, self.config.rate**self.reductions))

    def observe(self, validations_since_best: int) -> None:
        """Take a validation into account; 0 after one that was better than all before."""
        if validations_since_best and validations_since_best % self.config.patience == 0:
            self.reductions += 1


def build_schedule(config: ScheduleConfig, max_steps: int | None) -> Schedule:
    """The factor of the peak learning rate at each update; all schedules rise linearly over ``warmup_steps`` first.

    ``inverse_sqrt``: sqrt(warmup / step) from there (Vaswani et al. 2017, section 5.3, with the peak given instead of derived from
    the width). ``warmup_stable_decay``: constant, then linearly to 0 over the last ``decay_steps`` before ``max_steps``. ``linear`` and
    ``cosine`` (Loshchilov and Hutter 2017, eq. 5, without restarts): from the end of the warm-up to ``final_factor`` at ``max_steps``.
    ``exponential``: rate ** n at the n-th decay; Luong et al. 2015, who halve it every epoch after 8, have a ``start`` of 8 epochs and one
    epoch for ``every``. ``plateau``: :class:`Plateau`.

    Raises:
        ConfigError: a decay without an end, or without room before it.
    """
    if isinstance(config, PlateauConfig):
        return Plateau(config)
    if isinstance(config, StableDecayConfig) and not (max_steps and 0 < config.decay_steps <= max_steps):
        raise ConfigError(
            "`schedule.kind=warmup_stable_decay` needs `schedule.decay_steps` of at least 1 and at most `train.max_steps`, "
            f"but they are {config.decay_steps} and {max_steps}"
        )
    if isinstance(config, AnnealingConfig) and not (max_steps and config.warmup_steps < max_steps):
        raise ConfigError(
            f"`schedule.kind={config.kind.name}` needs `train.max_steps` above `schedule.warmup_steps`, "
            f"but they are {max_steps} and {config.warmup_steps}"
        )
    return lambda step: min(_rise(config, step), _fall(config, step, max_steps or 0))


def decay_begin(config: ScheduleConfig, max_steps: int) -> int | None:
    """The update with which the learning rate begins to fall towards ``max_steps``, or None where it does not depend on it."""
    match config:
        case StableDecayConfig():
            return max_steps - config.decay_steps
        case AnnealingConfig():
            return config.warmup_steps
    return None


def _rise(config: ScheduleConfig, step: int) -> float:
    return min(1.0, (step + 1) / max(config.warmup_steps, 1))


def _fall(config: ScheduleConfig, step: int, max_steps: int) -> float:
    """The factor without the warm-up, which lies below it at first."""
    match config:
        case StableDecayConfig():
            return max(0.0, max_steps - step) / config.decay_steps
        case AnnealingConfig():
            left = min(1.0, max(0.0, max_steps - step) / (max_steps - config.warmup_steps))
            if config.kind is ScheduleKind.cosine:
                left = (1 - math.cos(math.pi * left)) / 2
            return config.final_factor + (1 - config.final_factor) * left
        case ExponentialConfig():
            decays = max(0, 1 + (step - config.start) // config.every)
            return max(config.final_factor, config.rate**decays)
    return math.sqrt(max(config.warmup_steps, 1) / (step + 1)) if config.kind is ScheduleKind.inverse_sqrt else 1.0
