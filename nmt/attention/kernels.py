"""Softmax attention over several heads, by the kernel that suits the hardware; all of them compute the same.

Letters: B sentences, T query positions, S key positions, N packed tokens; h heads, d width of a head, g heads of keys and values: h is a
multiple of g, and each of them is read by h / g heads side by side (Ainslie et al. 2023; g = 1: Shazeer 2019).
"""

from __future__ import annotations

from enum import Enum

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from nmt.attention.distributions import SOFTMAX, Distribution, Softmax
from nmt.attention.scores import at_least_float32
from nmt.dropout import dropout
from nmt.layout import Layout


class Kernel(Enum):
    """``plain``: matrix products and a softmax that stands in memory. ``fused``: torch's ``scaled_dot_product_attention`` on padded
    rows. ``varlen``: torch's ``varlen_attn`` on packed rows, without padding."""

    plain = "plain"
    fused = "fused"
    varlen = "varlen"


def choose_kernel(device_type: str, dtype: torch.dtype, head_dim: int, *, packed: bool, dropout_prob: float) -> Kernel:
    """The kernel for attention whose weights nobody wants to see.

    On the CPU torch's fused kernel is slower than plain products for sentences (a third of a training step at 20 positions).
    ``varlen_attn`` exists for CUDA in half precision, has no dropout, and takes heads of a multiple of 8 up to 256 wide.
    """
    if device_type != "cuda":
        return Kernel.plain
    half = dtype in (torch.float16, torch.bfloat16)
    if packed and half and dropout_prob == 0 and head_dim % 8 == 0 and head_dim <= 256:
        return Kernel.varlen
    return Kernel.fused


def attend(
    query: Float[Tensor, "... h d"],
    key: Float[Tensor, "... g d"],
    value: Float[Tensor, "... g d"],
    query_layout: Layout,
    key_layout: Layout,
    *,
    causal: bool,
    distribution: Distribution = SOFTMAX,
    bias: Float[Tensor, "h T S"] | None = None,
    dropout_prob: float = 0.0,
) -> Float[Tensor, "... h d"]:
    """softmax(q k^T / sqrt(d)) v of every sentence and head (Vaswani et al. 2017, eq. 1), in the layout of the queries.

    Another distribution than softmax makes its weights explicitly. ``bias`` is added to the scores of padded positions. ``causal`` lets
    position t see positions up to t (queries and keys are then the same sentences). Rows of padding hold finite numbers without meaning.
    """
    packed = query_layout.packed and key_layout.packed and bias is None
    kernel = Kernel.plain
    if isinstance(distribution, Softmax):
        kernel = choose_kernel(query.device.type, query.dtype, query.shape[-1], packed=packed, dropout_prob=dropout_prob)
    if kernel is Kernel.varlen:
        return _attend_varlen(query, key, value, query_layout, key_layout, causal=causal)
    queries, keys, values = (
        layout.pad(rows).transpose(1, 2)  # (B, h, L, d)
        for rows, layout in ((query, query_layout), (key, key_layout), (value, key_layout))
    )
    mask = attention_mask(query_layout, key_layout, causal=causal)
    if kernel is Kernel.fused:
        added = mask if bias is None else bias.to(queries.dtype).masked_fill(~mask, -torch.inf)
        context = F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=added, dropout_p=dropout_prob, enable_gqa=keys.shape[1] != queries.shape[1]
        )
    else:
        context = plain_context(attention_weights(queries, keys, mask, distribution, bias), values, dropout_prob)
    return query_layout.unpad(context.transpose(1, 2))


def attention_mask(query_layout: Layout, key_layout: Layout, *, causal: bool) -> Bool[Tensor, "B 1 Q S"]:
    """True where a query may attend: real keys, and with ``causal`` none behind the query. Q is 1 where all queries may see the same."""
    mask = key_layout.mask[:, None, None]  # (B, 1, 1, S)
    if causal:
        length = query_layout.max_length
        mask = mask & torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()  # (B, 1, T, S)
    return mask


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


def _attend_varlen(
    query: Tensor, key: Tensor, value: Tensor, query_layout: Layout, key_layout: Layout, *, causal: bool
) -> Float[Tensor, "N h d"]:
    from torch.nn.attention import varlen

    context = varlen.varlen_attn(
        query,
        expand_heads(key, query.shape[-2]),  # `enable_gqa` is of torch 2.13
        expand_heads(value, query.shape[-2]),
        query_layout.offsets,
        key_layout.offsets,
        query_layout.max_length,
        key_layout.max_length,
        window_size=(-1, 0) if causal else (-1, -1),
    )
    assert isinstance(context, Tensor)  # a pair only where the log-sum-exp is asked for
    return context
