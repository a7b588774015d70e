"""Leaving out heads of multi-head attention for good: Michel, Levy and Neubig 2019, "Are sixteen heads really better than one?"."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from nmt.attention.distributions import Entmax, SinkSoftmax
from nmt.attention.multihead import MultiHeadAttention
from nmt.attention.positions import BucketBias, LinearBias


def remove_heads(attention: MultiHeadAttention, heads: Collection[int]) -> None:
    """Take heads out of an attention, with their weights. What the others add to its output stays as it was.

    Some are left, and of heads that share keys equally many (:func:`nmt.refusals.unremovable`).
    """
    kept = [head for head in range(attention.num_heads) if head not in heads]
    own_keys = attention.num_kv_heads == attention.num_heads
    kept_keys = kept if own_keys else list(range(attention.num_kv_heads))
    for layer, sizes in attention.linear_layers():
        if layer is attention.output:
            layer.weight = _of(layer.weight, 1, _places(kept, attention.head_dim))
            layer.in_features = layer.weight.shape[1]
            continue
        rows: list[int] = []
        starts = torch.tensor([0, *sizes]).cumsum(0).tolist()
        for start, size in zip(starts, sizes, strict=False):
            of_block = kept if size == attention.num_heads * attention.head_dim else kept_keys
            rows += [start + place for place in _places(of_block, attention.head_dim)]
        layer.weight, layer.bias = _of(layer.weight, 0, rows), _of(layer.bias, 0, rows)
        layer.out_features = len(rows)
    if attention.learned_gain is not None:
        attention.learned_gain = _of(attention.learned_gain, 0, kept)
    _keep_of_distribution(attention, kept)
    if isinstance(attention.bias, LinearBias):
        attention.bias.slopes = attention.bias.slopes[kept]
    elif isinstance(attention.bias, BucketBias):
        attention.bias.weight = _of(attention.bias.weight, 1, kept)
    attention.num_heads, attention.num_kv_heads = len(kept), len(kept_keys)


def _keep_of_distribution(attention: MultiHeadAttention, kept: Sequence[int]) -> None:
    distribution = attention.distribution
    if isinstance(distribution, SinkSoftmax):
        distribution.num_heads = len(kept)
        if distribution.logit is not None:
            distribution.logit = _of(distribution.logit, 0, kept)
    elif isinstance(distribution, Entmax) and distribution.a is not None:
        distribution.a = _of(distribution.a, 0, kept)


def _places(heads: Sequence[int], head_dim: int) -> list[int]:
    """Where the dimensions of some heads stand."""
    return [head * head_dim + i for head in heads for i in range(head_dim)]


def _of(parameter: Tensor, dim: int, places: Sequence[int]) -> nn.Parameter:
    chosen = parameter.detach().index_select(dim, torch.tensor(places, device=parameter.device))
    return nn.Parameter(chosen, requires_grad=parameter.requires_grad)
