"""Gated recurrent cells, from what their inputs and their previous state give to the gates."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def lstm_cell(
    gates: Float[Tensor, "... G"], cell: Float[Tensor, "... D"]
) -> tuple[Float[Tensor, "... D"], Float[Tensor, "... D"]]:
    """Hidden and cell state from the previous cell state and what enters the input, forget, cell and output gates; G = 4 D.

    Gers et al. 2000, without peepholes.
    """
    enter, forget, new, out = gates.chunk(4, dim=-1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(new)
    return torch.sigmoid(out) * torch.tanh(cell), cell


def gru_cell(
    gates: Float[Tensor, "... G"], recurrent: Float[Tensor, "... G"], hidden: Float[Tensor, "... D"]
) -> Float[Tensor, "... D"]:
    """The next hidden state; ``gates`` is what the input gives to reset, update and candidate, and ``recurrent`` the hidden state, G = 3 D.

    Cho et al. 2014, with the reset gate after the recurrent product as in ``torch.nn.GRU``: r * (U h), not U (r * h).
    """
    size = hidden.shape[-1]
    reset, update = torch.sigmoid(gates[..., : 2 * size] + recurrent[..., : 2 * size]).chunk(2, dim=-1)
    candidate = torch.tanh(gates[..., 2 * size :] + reset * recurrent[..., 2 * size :])
    return torch.lerp(candidate.to(hidden.dtype), hidden, update.to(hidden.dtype))
