"""Softmax attention over several heads as matrix products, and what its forms have in common.

Letters as in :mod:`nmt.attention.kernels`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nmt.attention.distributions import SOFTMAX, Distribution
from nmt.attention.positions import RelativeBias
from nmt.attention.scopes import FULL, Scope, Strided, Window
from nmt.attention.scores import at_least_float32
from nmt.dropout import dropout
from nmt.layout import Layout


@dataclass(frozen=True, slots=True)
class Form:
    """What makes one softmax attention another: where queries look, what scores become, and what positions add to them."""

    scope: Scope = FULL
    distribution: Distribution = SOFTMAX
    bias: RelativeBias | None = None


ALL = slice(None)
"""Queries of all positions."""


def attention_mask(query_layout: Layout, key_layout: Layout, scope: Scope = FULL, rows: slice = ALL) -> Bool[Tensor, "B 1 Q S"]:
    """True where a query of these rows may attend: real keys, within the scope. Q is 1 where all queries may see the same.

    A query of padding that would see none sees the first.
    """
    mask = key_layout.mask[:, None, None]  # (B, 1, 1, S)
    if scope == FULL:
        return mask
    positions = torch.arange(query_layout.max_length, device=mask.device)
    mask = mask & scope.allows(positions[rows, None], positions[None])  # (B, 1, T, S)
    return mask | (~mask.any(-1, keepdim=True) & (positions == 0)) if isinstance(scope, Window | Strided) else mask


def position_bias(
    bias: RelativeBias | None, length: int, device: torch.device, rows: slice = ALL
) -> Float[Tensor, "h Q T"] | None:
    """What positions add to the scores of these queries of a sentence, if they do."""
    if bias is None:
        return None
    positions = torch.arange(length, device=device)
    added: Tensor = bias(positions[rows, None], positions[None])
    return added


def attention_weights(
    queries: Float[Tensor, "B h T d"],
    keys: Float[Tensor, "B g S d"],
    mask: Bool[Tensor, "B 1 Q S"] | None,
    distribution: Distribution = SOFTMAX,
    bias: Float[Tensor, "h #T S"] | None = None,
) -> Float[Tensor, "B h T S"]:
    """The distribution of q k^T / sqrt(d) plus the bias where the mask allows, in float32 whatever autocast does."""
    with torch.autocast(queries.device.type, enabled=False):
        scaled = at_least_float32(queries) * queries.shape[-1] ** -0.5
        scores = _by_key_heads(scaled, at_least_float32(keys).mT)
        weights: Tensor = distribution(scores if bias is None else scores + bias, mask)
        return weights


def plain_context(
    weights: Float[Tensor, "B h T S"], values: Float[Tensor, "B g S d"], dropout_prob: float = 0.0
) -> Float[Tensor, "B h T d"]:
    """The weighted sum of the values; ``dropout_prob`` acts on the weights."""
    return _by_key_heads(dropout(weights, dropout_prob).to(values.dtype), values)


def _by_key_heads(rows: Float[Tensor, "B h T K"], matrices: Float[Tensor, "B g K M"]) -> Float[Tensor, "B h T M"]:
    """Products of each head's rows with the matrix of its keys or values, without copies of those."""
    num_heads, num_shared = rows.shape[1], matrices.shape[1]
    if num_heads == num_shared:
        return rows @ matrices
    products: Tensor = rows.unflatten(1, (num_shared, -1)).flatten(2, 3) @ matrices
    return products.view(*rows.shape[:3], -1)


def expand_heads(shared: Float[Tensor, "... g d"], num_heads: int) -> Float[Tensor, "... h d"]:
    """Keys or values of each head."""
    return shared if shared.shape[-2] == num_heads else shared.repeat_interleave(num_heads // shared.shape[-2], dim=-2)
