"""Softmax attention over several heads, by the kernel that suits the hardware; all of them compute the same.

Letters: B sentences, T query positions, S key positions, N packed tokens; h heads, d width of a head, g heads of keys and values: h is a
multiple of g, and each of them is read by h / g heads side by side (Ainslie et al. 2023; g = 1: Shazeer 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from nmt.attention.blocks import attend_in_blocks, num_columns
from nmt.attention.distributions import SinkSoftmax, Softmax
from nmt.attention.plain import ALL, Form, attention_mask, attention_weights, expand_heads, plain_context, position_bias
from nmt.attention.scopes import CAUSAL, Scope, Strided, Window
from nmt.layout import Layout

BIASED_ROWS = 512
"""Queries whose bias is in memory at a time on CUDA: what distances add to the scores of all would be T x T."""


class Kernel(Enum):
    """``plain``: matrix products and a distribution that stands in memory. ``blocks``: those of a window or of strides alone. ``fused``:
    torch's ``scaled_dot_product_attention`` on padded rows. ``varlen``: torch's ``varlen_attn`` on packed rows, without padding."""

    plain = "plain"
    blocks = "blocks"
    fused = "fused"
    varlen = "varlen"


def choose_kernel(
    device_type: str, dtype: torch.dtype, head_dim: int, form: Form, *, length: int, packed: bool, dropout_prob: float
) -> Kernel:
    """The kernel for attention whose weights nobody wants to see.

    On the CPU torch's fused kernel is slower than plain products for sentences (a third of a training step at 20 positions). Blocks are for
    sentences of more positions than the scores of a query in them. ``varlen_attn`` exists for CUDA in half precision, has no dropout
    and no bias, and takes heads of a multiple of 8 up to 256 wide.
    """
    scope = form.scope
    for_fused = device_type == "cuda" and isinstance(form.distribution, Softmax | SinkSoftmax)
    half = dtype in (torch.float16, torch.bfloat16) and head_dim % 8 == 0 and head_dim <= 256
    one_band = not isinstance(scope, Strided) and not (isinstance(scope, Window) and scope.num_first)
    softmax = isinstance(form.distribution, Softmax)
    if for_fused and softmax and packed and half and one_band and form.bias is None and dropout_prob == 0:
        return Kernel.varlen
    if isinstance(scope, Window | Strided) and length > num_columns(scope, length):
        return Kernel.blocks
    return Kernel.fused if for_fused else Kernel.plain


def attend(
    query: Float[Tensor, "... h d"],
    key: Float[Tensor, "... g d"],
    value: Float[Tensor, "... g d"],
    query_layout: Layout,
    key_layout: Layout,
    form: Form,
    *,
    dropout_prob: float = 0.0,
) -> Float[Tensor, "... h d"]:
    """softmax(q k^T / sqrt(d)) v of every sentence and head (Vaswani et al. 2017, eq. 1), or another form, in the layout of the queries.

    Queries and keys are the same sentences where the scope or a bias depends on their positions. Rows of padding hold finite numbers
    without meaning.
    """
    kernel = choose_kernel(
        query.device.type,
        query.dtype,
        query.shape[-1],
        form,
        length=query_layout.max_length,
        packed=query_layout.packed and key_layout.packed,
        dropout_prob=dropout_prob,
    )
    if kernel is Kernel.varlen:
        return _attend_varlen(query, key, value, query_layout, key_layout, form.scope)
    if kernel is Kernel.blocks:
        key, value = expand_heads(key, query.shape[-2]), expand_heads(value, query.shape[-2])
    queries, keys, values = (
        layout.pad(rows).transpose(1, 2)  # (B, h, L, d)
        for rows, layout in ((query, query_layout), (key, key_layout), (value, key_layout))
    )
    if kernel is Kernel.blocks:
        context = attend_in_blocks(queries, keys, values, key_layout.mask, form, dropout_prob)
    elif kernel is Kernel.fused:

        def attend_rows(queries: Tensor, rows: slice) -> Tensor:
            return _attend_fused(queries, keys, values, query_layout, key_layout, form, dropout_prob, rows)

        by_rows = form.bias is not None and query_layout.max_length > BIASED_ROWS
        context = _by_rows(queries, attend_rows, BIASED_ROWS) if by_rows else attend_rows(queries, ALL)
    else:
        mask = attention_mask(query_layout, key_layout, form.scope)
        bias = position_bias(form.bias, query_layout.max_length, queries.device)
        context = plain_context(attention_weights(queries, keys, mask, form.distribution, bias), values, dropout_prob)
    return query_layout.unpad(context.transpose(1, 2))


def _by_rows(
    queries: Float[Tensor, "B h T d"], attend_rows: Callable[[Tensor, slice], Tensor], length: int
) -> Float[Tensor, "B h T d"]:
    """So many queries after the other; the backward pass makes all that they need anew, so that it is never there for more of them."""
    places = [slice(begin, begin + length) for begin in range(0, queries.shape[2], length)]
    return torch.cat([checkpoint(attend_rows, queries[:, :, rows], rows, use_reentrant=False) for rows in places], dim=2)


def _attend_fused(
    queries: Float[Tensor, "B h T d"],
    keys: Float[Tensor, "B g S d"],
    values: Float[Tensor, "B g S d"],
    query_layout: Layout,
    key_layout: Layout,
    form: Form,
    dropout_prob: float,
    rows: slice,
) -> Float[Tensor, "B h T d"]:
    """Of the queries of these rows, which are those given."""
    options: dict[str, Any] = {"dropout_p": dropout_prob, "scale": queries.shape[-1] ** -0.5}
    has_sink = isinstance(form.distribution, SinkSoftmax)
    if form.scope == CAUSAL and form.bias is None:  # padding is behind all that a real query sees: no mask, which would be T x T
        options["is_causal"] = True
    else:
        mask: Tensor = attention_mask(query_layout, key_layout, form.scope, rows)
        bias = position_bias(form.bias, query_layout.max_length, queries.device, rows)
        if bias is not None:
            mask = bias.to(queries.dtype).masked_fill(~mask, -torch.inf)
        if has_sink:
            before = 1 if mask.shape[-2] > 1 else 0
            mask = F.pad(mask, (1, 0, before, 0), value=True if mask.dtype is torch.bool else 0.0)
        options["attn_mask"] = mask
    if not has_sink:
        shared = keys.shape[1] != queries.shape[1]
        return F.scaled_dot_product_attention(queries, keys, values, enable_gqa=shared, **options)
    assert isinstance(form.distribution, SinkSoftmax)
    with_sink = _with_sink(queries, keys, values, form.distribution)
    return F.scaled_dot_product_attention(*with_sink, **options)[:, :, 1:, : queries.shape[-1]]


def _with_sink(
    queries: Float[Tensor, "B h T d"], keys: Float[Tensor, "B g S d"], values: Float[Tensor, "B g S d"], sink: SinkSoftmax
) -> tuple[Float[Tensor, "B h T2 d2"], Float[Tensor, "B h S2 d2"], Float[Tensor, "B h S2 d2"]]:
    """The sink as a key before the first, without a value, so that the kernel of a softmax serves, which builds no T x S weights.

    Queries get a dimension of 1, in which the sink's key alone is not zero but has its logit; seven more keep the width a multiple
    of 8. A query before the first keeps the triangle of a causal one.
    """
    num_heads, head_dim = queries.shape[1], queries.shape[-1]
    extra = (0, 8, 1, 0)  # dimensions behind, a position before
    widened = F.pad(queries, extra)
    one = torch.zeros(head_dim + 8, device=queries.device, dtype=queries.dtype)
    one[head_dim] = 1
    keys, values = (F.pad(rows.repeat_interleave(num_heads // rows.shape[1], dim=1), extra) for rows in (keys, values))
    if sink.logit is None:
        return widened + one, keys, values
    logits = (sink.logit * head_dim**0.5).to(keys.dtype)[:, None, None] * one  # (h, 1, d2)
    return widened + one, keys + F.pad(logits, (0, 0, 0, keys.shape[2] - 1)), values


def _attend_varlen(
    query: Tensor, key: Tensor, value: Tensor, query_layout: Layout, key_layout: Layout, scope: Scope
) -> Float[Tensor, "N h d"]:
    from torch.nn.attention import varlen

    reach = scope.reach if isinstance(scope, Window) else -1
    context = varlen.varlen_attn(
        query,
        expand_heads(key, query.shape[-2]),  # `enable_gqa` is of torch 2.13
        expand_heads(value, query.shape[-2]),
        query_layout.offsets,
        key_layout.offsets,
        query_layout.max_length,
        key_layout.max_length,
        window_size=(reach, 0 if scope.causal else reach),
    )
    assert isinstance(context, Tensor)  # a pair only where the log-sum-exp is asked for
    return context
