"""Linear layers of models that are not trained any more, in the form that multiplies fastest."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nmt.attention.recurrent import RecurrentAttention

Model = TypeVar("Model", bound=nn.Module)


class FrozenLinear(nn.Linear):
    """A linear layer that shares its weights with another and is not trained."""

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = nn.Parameter(linear.weight.detach(), requires_grad=False)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach(), requires_grad=False)


class OneDnnLinear(FrozenLinear):
    """A float32 linear layer whose product is made by oneDNN, where torch would take MKL.

    On two cores of an AMD EPYC of the fourth generation 320 x 256 x 8,000 takes 7.1 ms instead of 11.1, and 320 x 1,024 x 2,048 7.3 ms
    instead of 10.0.
    """

    def forward(self, inputs: Float[Tensor, "... K"]) -> Float[Tensor, "... M"]:
        outputs: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self.weight, self.bias, "none", [], "")
        return outputs


class Int8Linear(FrozenLinear):
    """A linear layer whose products are of 8-bit integers, added up in 32 bits; ``weight`` holds those of the rows.

    Each row of the weight and each row of the inputs is scaled so that its largest magnitude is 127, and rounded; the products are
    scaled back. The bias stays as it was. (The symmetric scheme of Jacob et al. 2018, by row on both sides, without their training.)
    """

    scale: Tensor  # (M,) of the weight's rows

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        weight, scale = to_int8(self.weight)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_buffer("scale", scale.squeeze(1))

    def forward(self, inputs: Float[Tensor, "... K"]) -> Float[Tensor, "... M"]:
        rows, scale = to_int8(inputs.flatten(0, -2))
        outputs: Tensor = torch._int_mm(rows, self.weight.T) * self.scale
        outputs = outputs.mul_(scale) if self.bias is None else torch.addcmul(self.bias, outputs, scale, out=outputs)
        return outputs.view(*inputs.shape[:-1], -1)


def to_int8(rows: Float[Tensor, "R K"]) -> tuple[Tensor, Float[Tensor, "R 1"]]:
    """Rows as 8-bit integers, and what those are to be multiplied with to be the rows again."""
    scale = rows.abs().amax(1, keepdim=True).clamp_(min=torch.finfo(rows.dtype).tiny * 127) / 127
    return (rows / scale).round_().to(torch.int8), scale


def of_layers(model: Model, kind: type[FrozenLinear]) -> Model:
    """A copy of a model with linear layers of another kind, which shares with it what does not change."""
    model = _sharing_copy(model)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, kind(child))
    return model


def in_16_bits(model: Model, dtype: torch.dtype) -> Model:
    """A copy of a model whose linear layers keep their weights in the type to which autocast would cast them at every call.

    But for those that are outside of autocast: scores of queries are float32.
    """
    model = _sharing_copy(model)
    attentions = [module for module in model.modules() if isinstance(module, RecurrentAttention)]
    outside = {layer for attention in attentions for name, layer in attention.named_modules() if name != "score.key"}
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and layer not in outside:
            layer.weight = nn.Parameter(layer.weight.detach().to(dtype), requires_grad=False)
    return model


def _sharing_copy(model: Model) -> Model:
    return copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})
