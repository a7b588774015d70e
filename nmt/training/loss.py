"""Output layer and cross-entropy in one, in chunks."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


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
    kind = hidden.device.type
    product_type = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    loss, nll = _OutputLoss.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, target, label_smoothing, chunk_size, product_type, torch.is_grad_enabled()
    )
    return loss, nll


class _OutputLoss(torch.autograd.Function):
    """With p = softmax(logits) and q the smoothed target, the gradient of the loss in the logits is p - q."""

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
        grad_bias = torch.zeros_like(bias, dtype=sum_type) if with_gradient and bias is not None else None
        smooth_mass = label_smoothing / weight.shape[0]
        with torch.autocast(hidden.device.type, enabled=False):
            product_weight = weight.to(product_type)
            for begin in range(0, len(hidden), chunk_size):
                chunk = slice(begin, begin + chunk_size)
                inputs, labels = hidden[chunk].to(product_type), target[chunk, None]
                logits = (inputs @ product_weight.T).to(sum_type)  # (C, V)
                if bias is not None:
                    logits += bias
                log_total = logits.logsumexp(-1, keepdim=True)  # (C, 1)
                nll = (log_total - logits.gather(1, labels)).sum()
                nll_sum += nll
                loss_sum += (1 - label_smoothing) * nll
                if label_smoothing:
                    loss_sum += label_smoothing * (log_total.squeeze(1) - logits.mean(-1)).sum()
                if grad_hidden is None or grad_weight is None:
                    continue
                grad_logits = logits.sub_(log_total).exp_()
                if label_smoothing:
                    grad_logits -= smooth_mass
                grad_logits.scatter_add_(1, labels, grad_logits.new_full(labels.shape, label_smoothing - 1))
                if grad_bias is not None:
                    grad_bias += grad_logits.sum(0)
                grad_logits = grad_logits.to(product_type)
                grad_hidden[chunk] = grad_logits @ product_weight
                grad_weight += grad_logits.T @ inputs
        if with_gradient:
            ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
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
