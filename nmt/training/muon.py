"""Muon: an optimiser that makes the updates of matrices orthogonal."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nmt import distributed

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of Jordan et al. 2024: five steps bring singular values of 0.01 to 1 between about 0.7 and 1.2, not to 1."""


class Muon(torch.optim.AdamW):
    """Muon (Jordan et al. 2024) for the matrices in ``orthogonal``, AdamW for all other parameters.

    With g the gradient of a matrix W (M, K), m its momentum and mu ``momentum``::

        m <- mu m + (1 - mu) g
        W <- (1 - lr weight_decay) W - lr 0.2 sqrt(max(M, K)) orthogonal(mu m + (1 - mu) g)

    The factor makes the update as large as Adam's usually is (Liu et al. 2025, eq. 4), so that both share learning rate and schedule.
    Deviations: Newton-Schulz in the matrix's type, not in bf16; a matrix whose height is a multiple of its width is taken as a stack of
    square ones: the projections to queries, keys and values and the gates of recurrent layers are, the first of a feed-forward layer
    is treated as if it were. Where ``found_inf`` is 1 nothing changes, as in torch's fused Adam.
    """

    found_inf: Tensor

    def __init__(self, groups: list[dict[str, Any]], *, orthogonal: Iterable[Tensor], momentum: float, **adamw: Any) -> None:
        super().__init__(groups, **adamw)
        self.orthogonal, self.momentum = set(orthogonal), momentum

    def step(self, closure: Any = None) -> Any:
        """Change all parameters that have a gradient; matrices lose theirs.

        Raises:
            ValueError: a closure was given; gradients are made before.
        """
        if closure is not None:
            raise ValueError("Muon takes no closure: gradients are made before the step")
        for group in self.param_groups:
            matrices = [p for p in group["params"] if p in self.orthogonal and p.grad is not None]
            if matrices:
                bad = getattr(self, "found_inf", torch.zeros((), device=matrices[0].device)).bool()
                self._update_matrices(matrices, group["lr"], group["weight_decay"], bad)
        inspect.unwrap(torch.optim.AdamW.step)(self)  # whatever has a gradient left

    def _update_matrices(self, matrices: list[Tensor], lr: float, weight_decay: float, bad: Tensor) -> None:
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)  # by shape: matrices and their directions
        rate = torch.where(bad, 0.0, 1 - self.momentum)
        for matrix in matrices:
            assert matrix.grad is not None
            gradient, matrix.grad = torch.where(bad, 0.0, matrix.grad), None
            state = self.state[matrix]
            if not state:
                # torch's Adam looks for a step in whatever state it loads
                state |= {"step": torch.zeros((), device=matrix.device), "momentum": torch.zeros_like(matrix)}
            state["step"] += ~bad
            momentum = state["momentum"].lerp_(gradient, rate.to(gradient))
            for part, direction in zip(squares(matrix), squares(gradient.lerp(momentum, self.momentum)), strict=True):
                alike[part.shape].append((part, direction))
        for (rows, columns), pairs in alike.items():
            size = torch.where(bad, 0.0, lr * 0.2 * max(rows, columns) ** 0.5)
            shrink = torch.where(bad, 1.0, 1 - lr * weight_decay)
            updates = _orthogonal_shared(torch.stack([direction for _, direction in pairs]))
            for (part, _), update in zip(pairs, updates, strict=True):
                part.mul_(shrink).sub_(update * size)


def _orthogonal_shared(matrices: Float[Tensor, "N M K"]) -> Float[Tensor, "N M K"]:
    """:func:`orthogonal`, each process for its share: for a narrow model it takes a fifth as long as the gradients themselves."""
    if distributed.world_size() == 1:
        return orthogonal(matrices)
    updates = torch.zeros_like(matrices)
    mine = slice(distributed.rank(), None, distributed.world_size())
    updates[mine] = orthogonal(matrices[mine])
    distributed.sum_in_place([updates])
    return updates


def squares(matrix: Float[Tensor, "M K"]) -> tuple[Tensor, ...]:
    """The square matrices that a matrix can be a stack of, or itself."""
    rows, columns = matrix.shape
    return matrix.chunk(rows // columns) if rows % columns == 0 else (matrix,)


def orthogonal(matrices: Float[Tensor, "N M K"]) -> Float[Tensor, "N M K"]:
    """About U V^T of the singular value decomposition U S V^T of each matrix; zero for zero.

    Five Newton-Schulz steps (Jordan et al. 2024).
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=1, dim2=2).add_(a)
        x = torch.bmm(polynomial, x)  # a X + b G X + c G G X
    return x.mT if tall else x
