"""Output layer and cross-entropy in one, in chunks."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nmt.operand import product_type


def output_loss(
    hidden: Float[Tensor, "N D"],
    weight: Float[Tensor, "V D"],
    bias: Float[Tensor, " V"] | None,
    target: Int[Tensor, " N"],
    *,
    label_smoothing: float,
    chunk_size: int,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Summed label-smoothed cross-entropy of ``hidden @ weight.T + bias`` and, without gradient, the unsmoothed nll.

    Label smoothing is PyTorch's: mass ``label_smoothing / V`` over all V classes, the rest on the target. The logits of
    ``chunk_size`` rows exist at a time, and their gradient is made while they do, so neither pass holds (N, V) numbers.
    Products run in autocast's type where it is on; the softmax and the sums are float32.
    """
    loss, nll = _OutputLoss.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, target, label_smoothing, chunk_size, product_type(hidden), torch.is_grad_enabled()
    )
    return loss, nll


class _OutputLoss(torch.autograd.Function):
    """With p = softmax(logits), e the target as a one-hot row and s the smoothing, the gradient of the loss in the logits is
    p - (1 - s) e - s / V. Its last term is the same for all classes, so that it is given to the sums, not to (C, V) numbers."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        label_smoothing: float,
        chunk_size: int,
        product_type: torch.dtype,
        with_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        sum_type = torch.promote_types(hidden.dtype, torch.float32)
        loss_sum = torch.zeros((), dtype=sum_type, device=hidden.device)
        nll_sum = torch.zeros_like(loss_sum)
        grad_hidden = torch.empty_like(hidden) if with_gradient else None
        grad_weight = torch.zeros_like(weight, dtype=sum_type) if with_gradient else None
        grad_bias = torch.zeros(len(weight), dtype=sum_type, device=hidden.device) if with_gradient else None
        smooth_mass = label_smoothing / len(weight)
        with torch.autocast(hidden.device.type, enabled=False):
            product_weight = weight.to(product_type)
            weight_sum = product_weight.sum(0, dtype=sum_type)  # (D,)
            bias_sum = bias.sum(dtype=sum_type) if bias is not None else 0.0
            for begin in range(0, len(hidden), chunk_size):
                chunk = slice(begin, begin + chunk_size)
                inputs, labels = hidden[chunk].to(product_type), target[chunk, None]
                logits = (inputs @ product_weight.T).to(sum_type)  # (C, V)
                if bias is not None:
                    logits += bias
                largest = logits.amax(-1, keepdim=True)  # (C, 1)
                target_logits = logits.gather(1, labels)
                probs = torch.softmax(logits, dim=-1, out=logits)  # one pass; log_softmax and exp are three
                log_totals = largest - probs.amax(-1, keepdim=True).log()  # the largest probability is at least 1 / V
                nll = (log_totals - target_logits).sum()
                nll_sum += nll
                loss_sum += (1 - label_smoothing) * nll
                if label_smoothing:
                    mean_logits = (inputs.to(sum_type) @ weight_sum + bias_sum) / len(weight)
                    loss_sum += label_smoothing * (log_totals.squeeze(1) - mean_logits).sum()
                if grad_hidden is None or grad_weight is None or grad_bias is None:
                    continue
                probs.scatter_add_(1, labels, probs.new_full(labels.shape, label_smoothing - 1))
                grad_bias += probs.sum(0)
                grad_logits = probs.to(product_type)
                grad_hidden[chunk] = grad_logits @ product_weight
                if product_type is sum_type:
                    grad_weight.addmm_(grad_logits.T, inputs)
                else:
                    grad_weight += grad_logits.T @ inputs
            if label_smoothing and grad_hidden is not None and grad_weight is not None and grad_bias is not None:
                grad_hidden -= (smooth_mass * weight_sum).to(hidden.dtype)
                grad_weight -= smooth_mass * hidden.to(sum_type).sum(0)
                grad_bias -= smooth_mass * len(hidden)
        if with_gradient:
            ctx.save_for_backward(grad_hidden, grad_weight, grad_bias if bias is not None else None)
            ctx.weight_type = weight.dtype
        ctx.mark_non_differentiable(nll_sum)
        return loss_sum, nll_sum

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        return (
            grad_hidden * grad_loss.to(grad_hidden.dtype),
            (grad_weight * grad_loss).to(ctx.weight_type),
            None if grad_bias is None else (grad_bias * grad_loss).to(ctx.weight_type),
            *(None for _ in range(5)),
        )
