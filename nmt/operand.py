"""Products of many steps with one matrix, whose gradient in that matrix is made once for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def product_type(tensor: Tensor) -> torch.dtype:
    """The type that a matrix product of this tensor has under autocast, or the tensor's own where it is off."""
    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensor.dtype


Product = Callable[[Tensor], Tensor]
"""Inputs (R, K) or (B, Q, K) to their products with a matrix (M, K), (R, M) or (B, Q, M)."""


class Operand:
    """A matrix (M, K), or one for each of B sentences (B, M, K), that the steps of a recurrence multiply with.

    Calling it computes ``inputs @ matrix.mT`` as a linear layer does, for inputs (R, K) or (B, Q, K). Autograd would make the
    matrix's gradient anew at every step, a small product as large as the matrix, and add them up; here the steps leave what it is
    made of, and one product makes it when all of them went backward. Values and gradients are the same. It is good for one forward
    and one backward pass. Products are in the matrix's type, whatever autocast does.
    """

    def __init__(self, matrix: Float[Tensor, "*B M K"]) -> None:
        self._steps: list[tuple[Tensor, Tensor]] = []
        self.matrix: Tensor = matrix
        if torch.is_grad_enabled() and matrix.requires_grad:
            self.matrix = _Collect.apply(matrix, self._steps)  # type: ignore[no-untyped-call]

    def __call__(self, inputs: Float[Tensor, "*R K"]) -> Float[Tensor, "*R M"]:
        with torch.autocast(inputs.device.type, enabled=False):
            inputs = inputs.to(self.matrix.dtype)
            if not self.matrix.requires_grad:
                return inputs @ self.matrix.mT
            product: Tensor = _Step.apply(inputs, self.matrix, self._steps)  # type: ignore[no-untyped-call]
        return product


class _Collect(torch.autograd.Function):
    """Passes a matrix on; its gradient is that of all products in ``steps``, which have gone backward before it does."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, steps: list[tuple[Tensor, Tensor]]) -> Tensor:
        ctx.steps = steps
        ctx.shared = matrix.ndim == 2
        ctx.set_materialize_grads(False)
        return matrix.view_as(matrix)

    @staticmethod
    def backward(ctx: Any, other_uses: Tensor | None) -> tuple[Tensor | None, None]:
        if not ctx.steps:
            return other_uses, None
        steps = ctx.steps
        if ctx.shared:  # one product over all rows: one for each sentence, summed, took 9 % of an update of Luong's model
            steps = [(inputs.flatten(0, -2), grads.flatten(0, -2)) for inputs, grads in steps]
        inputs, grads = (torch.cat(parts, dim=-2) for parts in zip(*steps, strict=True))
        ctx.steps.clear()
        grad = grads.mT @ inputs
        return grad if other_uses is None else grad + other_uses, None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, matrix: Tensor, steps: list[tuple[Tensor, Tensor]]) -> Tensor:
        ctx.save_for_backward(inputs, matrix)
        ctx.steps = steps
        return inputs @ matrix.mT

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None]:
        inputs, matrix = ctx.saved_tensors
        ctx.steps.append((inputs, grad))
        return grad @ matrix if ctx.needs_input_grad[0] else None, None, None
