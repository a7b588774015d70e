"""Models for translating alone, whose weights stay as they are."""

from __future__ import annotations

import torch

from nmt.config import Precision
from nmt.hardware import HALVES, onednn_multiplies_faster
from nmt.models.frozen_linear import Int8Linear, Model, OneDnnLinear, in_16_bits, of_layers


def frozen(model: Model, precision: Precision) -> Model:
    """A model in the form that is fastest for translating in this precision, which is not ``auto``: linear layers change alone.

    In bf16 and fp16 they keep their weights in that type, to which autocast would cast them at every step: the same numbers. In int8
    they are :class:`Int8Linear`, and in fp32 :class:`OneDnnLinear` where the processor is faster so. The given model stays as it
    is, and the new one shares with it what does not change.
    """
    if precision in HALVES:
        return in_16_bits(model, HALVES[precision])
    if precision is Precision.int8:
        return of_layers(model, Int8Linear)
    weight = next(model.parameters())
    if weight.device.type == "cpu" and weight.dtype is torch.float32 and onednn_multiplies_faster():
        return of_layers(model, OneDnnLinear)
    return model
