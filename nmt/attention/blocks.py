"""Attention within a window or at strides, block by block: no more scores than the scope needs.

A window's blocks are as long as it reaches, and each meets its neighbours; strides are met by a reshape that brings every l-th position
together. Time and memory grow as T w for a window of w, and as T (l + T / l) for strides of l, not as T^2.

Letters as in :mod:`nmt.attention.kernels`; n blocks of w positions, T = n w once rows are filled up; C columns of scores of each query.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from nmt.attention.plain import Form, attention_weights, plain_context
from nmt.attention.scopes import Strided, Window
from nmt.attention.scores import at_least_float32
from nmt.dropout import dropout


@dataclass(frozen=True, slots=True)
class Columns:
    """Some keys of each query: where they stand, which of them it may attend to, and how queries, and weights, meet them."""

    positions: Int[Tensor, "T C"]
    allowed: Bool[Tensor, "T C"]
    scores: Callable[[Tensor, Tensor], Tensor]  # queries and keys (B, h, T, d) to (B, h, T, C)
    context: Callable[[Tensor, Tensor], Tensor]  # weights (B, h, T, C) and values (B, h, T, d) to (B, h, T, d)


def num_columns(scope: Window | Strided, length: int) -> int:
    """Scores of each query in blocks, C."""
    if isinstance(scope, Window):
        return (2 if scope.causal else 3) * scope.reach + scope.num_first
    return (2 if scope.causal else 3) * scope.stride + length // scope.stride


def attend_in_blocks(
    queries: Float[Tensor, "B h T d"],
    keys: Float[Tensor, "B h T d"],
    values: Float[Tensor, "B h T d"],
    mask: Bool[Tensor, "B T"],
    form: Form,
    dropout_prob: float = 0.0,
) -> Float[Tensor, "B h T d"]:
    """What plain products give under the mask of a window or of strides. Rows of padding hold finite numbers without meaning."""
    scope, length = form.scope, queries.shape[2]
    assert isinstance(scope, Window | Strided)
    width = scope.reach if isinstance(scope, Window) else scope.stride
    queries, keys, values = (F.pad(rows, (0, 0, 0, -length % width)) for rows in (queries, keys, values))
    mask = F.pad(mask, (0, -length % width))
    own = torch.arange(queries.shape[2], device=queries.device)[:, None]
    parts = [_near(own, width, scope), _strides(own, scope) if isinstance(scope, Strided) else _first(own, scope)]
    with torch.autocast(queries.device.type, enabled=False):
        scaled = at_least_float32(queries) * queries.shape[-1] ** -0.5
        scores = torch.cat([part.scores(scaled, at_least_float32(keys)) for part in parts], dim=-1)
        positions = torch.cat([part.positions for part in parts], dim=-1)
        if form.bias is not None:
            scores = scores + form.bias(own, positions)
        allowed = torch.cat([part.allowed for part in parts], dim=-1) & mask[:, positions]  # (B, T, C)
        allowed |= ~mask[:, :, None] & (positions == own)  # a row of padding sees itself
        weights: Tensor = form.distribution(scores, allowed.unsqueeze(1))
    weights = dropout(weights, dropout_prob).to(values.dtype)
    split = weights.split([part.positions.shape[1] for part in parts], dim=-1)
    context = parts[0].context(split[0], values) + parts[1].context(split[1], values)
    if isinstance(scope, Window) and scope.num_global and not scope.causal:
        seeing_all = queries[:, :, : scope.num_global]
        added = None if form.bias is None else form.bias(own[: scope.num_global], own.T)
        weights = attention_weights(seeing_all, keys, mask[:, None, None], form.distribution, added)
        context = torch.cat([plain_context(weights, values, dropout_prob), context[:, :, scope.num_global :]], dim=2)
    return context[:, :, :length]


def _near(own: Int[Tensor, "T 1"], width: int, scope: Window | Strided) -> Columns:
    """The query's block and its neighbours, where the scope lets a query look, but for what :func:`_first` has."""
    blocks = 2 if scope.causal else 3

    def around(rows: Float[Tensor, "B h T d"]) -> Float[Tensor, "B h n C d"]:
        padded = F.pad(rows, (0, 0, width, 0 if scope.causal else width))
        neighbours: Tensor = padded.unfold(2, blocks * width, width)  # (B, h, n, d, C)
        return neighbours.transpose(3, 4)

    offsets = torch.arange(-width, (blocks - 1) * width, device=own.device)
    positions = own - own % width + offsets
    allowed = scope.allows(own, positions) & (positions >= 0) & (positions < len(own)) & ((own - positions).abs() <= width)
    if isinstance(scope, Window):
        allowed &= positions >= scope.num_first
    return Columns(
        positions.clamp(0, len(own) - 1),
        allowed,
        lambda queries, keys: (queries.unflatten(2, (-1, width)) @ around(keys).mT).flatten(2, 3),
        lambda weights, values: (weights.unflatten(2, (-1, width)) @ around(values)).flatten(2, 3),
    )


def _first(own: Int[Tensor, "T 1"], scope: Window) -> Columns:
    """The first positions, which all queries see."""
    count = min(scope.num_first, len(own))
    positions = torch.arange(count, device=own.device).expand(len(own), -1)
    return Columns(
        positions,
        scope.allows(own, positions),
        lambda queries, keys: queries @ keys[:, :, :count].mT,
        lambda weights, values: weights @ values[:, :, :count],
    )


def _strides(own: Int[Tensor, "T 1"], scope: Strided) -> Columns:
    """Every l-th position from the query's own, but for the nearest, which :func:`_near` has."""
    stride = scope.stride

    def together(rows: Float[Tensor, "B h T C"]) -> Float[Tensor, "B h l n C"]:
        blocks: Tensor = rows.unflatten(2, (-1, stride))
        return blocks.transpose(2, 3)

    def apart(rows: Float[Tensor, "B h l n C"]) -> Float[Tensor, "B h T C"]:
        return rows.transpose(2, 3).flatten(2, 3)

    positions = own % stride + torch.arange(0, len(own), stride, device=own.device)
    return Columns(
        positions,
        scope.allows(own, positions) & ((own - positions).abs() > stride),
        lambda queries, keys: apart(together(queries) @ together(keys).mT),
        lambda weights, values: apart(together(weights) @ together(values)),
    )
