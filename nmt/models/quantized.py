"""Linear layers in 8-bit integers, for translating on the CPU."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


class Int8Linear(nn.Linear):
    """A linear layer whose products are of 8-bit integers, added up in 32 bits; ``weight`` holds those of the rows.

    Each row of the weight and each row of the inputs is scaled so that its largest magnitude is 127, and rounded; the products are
    scaled back. The bias stays as it was. (The symmetric scheme of Jacob et al. 2018, by row on both sides, without their training.)
    """

    scale: Tensor  # (M,) of the weight's rows

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight, scale = to_int8(linear.weight.detach())
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_buffer("scale", scale.squeeze(1))
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach(), requires_grad=False)

    def forward(self, inputs: Float[Tensor, "... K"]) -> Float[Tensor, "... M"]:
        rows, scale = to_int8(inputs.flatten(0, -2))
        outputs: Tensor = torch._int_mm(rows, self.weight.T) * self.scale
        outputs = outputs.mul_(scale) if self.bias is None else torch.addcmul(self.bias, outputs, scale, out=outputs)
        return outputs.view(*inputs.shape[:-1], -1)


def to_int8(rows: Float[Tensor, "R K"]) -> tuple[Tensor, Float[Tensor, "R 1"]]:
    """Rows as 8-bit integers, and what those are to be multiplied with to be the rows again."""
    scale = rows.abs().amax(1, keepdim=True).clamp_(min=torch.finfo(rows.dtype).tiny * 127) / 127
    return (rows / scale).round_().to(torch.int8), scale


def quantized(model: Model) -> Model:
    """A copy of a model whose linear layers are :class:`Int8Linear`; embeddings, norms and torch's recurrent layers stay as they are."""
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, Int8Linear(child))
    return model
