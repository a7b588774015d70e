"""Softmax attention over several heads, by the kernel that suits the hardware; all of them compute the same.

Letters: B sentences, T query positions, S key positions, N packed tokens; h heads, d width of a head, g heads of keys and values: h is a
multiple of g, and each of them is read by h / g heads side by side (Ainslie et al. 2023; g = 1: Shazeer 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from nmt.attention.blocks import attend_in_blocks, num_columns
from nmt.attention.distributions import SOFTMAX, Distribution, Softmax
from nmt.attention.positions import RelativeBias
from nmt.attention.scopes import CAUSAL, FULL, Scope, Strided, Window
from nmt.attention.scores import at_least_float32
from nmt.dropout import dropout
from nmt.layout import Layout


class Kernel(Enum):
    """``plain``: matrix products and a distribution that stands in memory. ``blocks``: those of a window or of strides alone. ``fused``:
    torch's ``scaled_dot_product_attention`` on padded rows. ``varlen``: torch's ``varlen_attn`` on packed rows, without padding."""

    plain = "plain"
    blocks = "blocks"
    fused = "fused"
    varlen = "varlen"


@dataclass(frozen=True, slots=True)
class Form:
    """What makes one softmax attention another: where queries look, what scores become, and what positions add to them."""

    scope: Scope = FULL
    distribution: Distribution = SOFTMAX
    bias: RelativeBias | None = None


def choose_kernel(
    device_type: str, dtype: torch.dtype, head_dim: int, form: Form, *, length: int, packed: bool, dropout_prob: float
) -> Kernel:
    """The kernel for attention whose weights nobody wants to see.

    On the CPU torch's fused kernel is slower than plain products for sentences (a third of a training step at 20 positions). Blocks are for
    sentences of more positions than the scores of a query in them. ``varlen_attn`` exists for CUDA in half precision, has no dropout
    and no bias, and takes heads of a multiple of 8 up to 256 wide.
    """
    scope = form.scope
    for_fused = device_type == "cuda" and isinstance(form.distribution, Softmax)
    half = dtype in (torch.float16, torch.bfloat16) and head_dim % 8 == 0 and head_dim <= 256
    one_band = not isinstance(scope, Strided) and not (isinstance(scope, Window) and scope.num_first)
    if for_fused and packed and half and one_band and form.bias is None and dropout_prob == 0:
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
        assert isinstance(form.scope, Window | Strided)
        context = attend_in_blocks(queries, keys, values, key_layout.mask, form.scope, form.distribution, form.bias, dropout_prob)
    elif kernel is Kernel.fused:
        context = _attend_fused(queries, keys, values, query_layout, key_layout, form, dropout_prob)
    else:
        mask = attention_mask(query_layout, key_layout, form.scope)
        bias = position_bias(form.bias, query_layout.max_length, queries.device)
        context = plain_context(attention_weights(queries, keys, mask, form.distribution, bias), values, dropout_prob)
    return query_layout.unpad(context.transpose(1, 2))


def attention_mask(query_layout: Layout, key_layout: Layout, scope: Scope = FULL) -> Bool[Tensor, "B 1 Q S"]:
    """True where a query may attend: real keys, within the scope. Q is 1 where all queries may see the same.

    A query of padding that would see none sees the first.
    """
    mask = key_layout.mask[:, None, None]  # (B, 1, 1, S)
    if scope == FULL:
        return mask
    positions = torch.arange(query_layout.max_length, device=mask.device)
    mask = mask & scope.allows(positions[:, None], positions[None])  # (B, 1, T, S)
    return mask | (~mask.any(-1, keepdim=True) & (positions == 0)) if isinstance(scope, Window | Strided) else mask


def position_bias(bias: RelativeBias | None, length: int, device: torch.device) -> Float[Tensor, "h T T"] | None:
    """What positions add to the scores of a sentence, if they do."""
    if bias is None:
        return None
    positions = torch.arange(length, device=device)
    added: Tensor = bias(positions[:, None], positions[None])
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


def _attend_fused(
    queries: Float[Tensor, "B h T d"],
    keys: Float[Tensor, "B g S d"],
    values: Float[Tensor, "B g S d"],
    query_layout: Layout,
    key_layout: Layout,
    form: Form,
    dropout_prob: float,
) -> Float[Tensor, "B h T d"]:
    shared = keys.shape[1] != queries.shape[1]
    if form.scope == CAUSAL and form.bias is None:  # padding is behind all that a real query sees: no mask, which would be T x T
        return F.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout_prob, is_causal=True, enable_gqa=shared)
    mask: Tensor = attention_mask(query_layout, key_layout, form.scope)
    bias = position_bias(form.bias, query_layout.max_length, queries.device)
    if bias is not None:
        mask = bias.to(queries.dtype).masked_fill(~mask, -torch.inf)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, dropout_p=dropout_prob, enable_gqa=shared)


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
