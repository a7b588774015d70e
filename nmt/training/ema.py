"""A moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nmt.training.checkpoint import distinct


class EMA:
    """The exponential moving average of a model's weights over its good updates.

    After the t-th of them, with w the weights and a their average, which begins as the weights before the first::

        d = min(decay, (1 + t) / (10 + t))
        a <- d a + (1 - d) w

    so that the first weights are soon forgotten (as TensorFlow's ``ExponentialMovingAverage`` does with ``num_updates``).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._weights = distinct(model.state_dict())
        self.averages = {name: weight.clone() for name, weight in self._weights.items()}
        device = next(iter(self.averages.values())).device
        self.num_updates = torch.zeros((), dtype=torch.float64, device=device)

    @torch.no_grad()
    def update(self, bad: Tensor) -> None:
        """Take the newest weights in, or nothing where ``bad`` is 1 because they are still the same; it does not wait for the device."""
        good = 1 - bad.double()
        self.num_updates += good
        decay = ((1 + self.num_updates) / (10 + self.num_updates)).clamp(max=self.decay)
        rate = good * (1 - decay)
        for name, weight in self._weights.items():
            self.averages[name].lerp_(weight, rate.to(weight.dtype))

    def load(self, averages: Mapping[str, Tensor], num_updates: float) -> None:
        """Go on from what a checkpoint has."""
        for name, average in self.averages.items():
            average.copy_(averages[name])
        self.num_updates.fill_(num_updates)

    @contextmanager
    def in_place_of_weights(self) -> Iterator[None]:
        """Let the model compute with the averages while the block runs."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, weight in self._weights.items():  # one after the other: no second copy of the model is needed
            kept = weight.clone()
            weight.copy_(self.averages[name])
            self.averages[name].copy_(kept)
