"""Linear attention: Katharopoulos et al. 2020, "Transformers are RNNs".

Weights are products of positive features, w_ts = f(q_t) . f(k_s) over their sum, with f(x) = elu(x) + 1 (eq. 5 to 7), so that values can be
added up under the features of their keys before any query is known. Letters as in :mod:`nmt.attention.kernels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from nmt.attention.multihead import Past, SelfAttention
from nmt.attention.plain import attention_mask, expand_heads
from nmt.attention.scores import at_least_float32
from nmt.layout import Layout


def features(rows: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """f(x) = elu(x) + 1, above 0; in float32 at least."""
    return F.elu(at_least_float32(rows)) + 1


def linear_weights(
    queries: Float[Tensor, "B h T d"], keys: Float[Tensor, "B h S d"], mask: Bool[Tensor, "B 1 Q S"]
) -> Float[Tensor, "B h T S"]:
    """The weights themselves, for whoever wants to see them."""
    products = (features(queries) @ features(keys).mT) * mask
    return products / products.sum(-1, keepdim=True)


def attend_linear(
    queries: Float[Tensor, "B h T d"],
    keys: Float[Tensor, "B h S d"],
    values: Float[Tensor, "B h S d"],
    mask: Bool[Tensor, "B S"],
    *,
    causal: bool,
    chunk: int = 64,
) -> Float[Tensor, "B h T d"]:
    """The mean of the values under those weights, in time and memory that grow as T + S.

    With ``causal`` sums go up to each query's own position: over whole chunks before its own, and by products within its own.
    """
    queried, keyed = features(queries), features(keys) * mask[:, None, :, None]
    valued = F.pad(at_least_float32(values), (0, 1), value=1.0)  # one column more adds up the weights
    if not causal:
        return _mean(queried @ (keyed.mT @ valued)).to(values.dtype)
    length = queried.shape[2]
    queried, keyed, valued = (
        F.pad(rows, (0, 0, 0, -length % chunk)).unflatten(2, (-1, chunk)) for rows in (queried, keyed, valued)
    )  # (B, h, n, C, d)
    sums = keyed.mT @ valued  # (B, h, n, d, d + 1)
    before = sums.cumsum(2) - sums
    totals = queried @ before + (queried @ keyed.mT).tril() @ valued
    return _mean(totals.flatten(2, 3)[:, :, :length]).to(values.dtype)


def _mean(totals: Float[Tensor, "... e"]) -> Float[Tensor, "... d"]:
    """Sums of weighted values over the sums of their weights."""
    return totals[..., :-1] / totals[..., -1:]


@dataclass(slots=True)
class LinearPast(Past):
    """The sum of f(k) [v, 1] over the positions of R rows so far. Its size does not depend on their number."""

    sums: Float[Tensor, "R h d e"]

    def reorder(self, rows: Int[Tensor, "B2 W"], sentences: Int[Tensor, " B2"] | None) -> LinearPast:
        return LinearPast(self.sums[rows.flatten()])


class LinearSelfAttention(SelfAttention):
    """Self-attention with linear weights, over all positions or those up to the query's own; without dropout of weights."""

    def _weights(self, queries: Tensor, keys: Tensor, query_layout: Layout, key_layout: Layout) -> Float[Tensor, "B h T S"]:
        return linear_weights(queries, keys, attention_mask(query_layout, key_layout, self.scope))

    def _context(
        self, query: Tensor, key: Tensor, value: Tensor, query_layout: Layout, key_layout: Layout
    ) -> Float[Tensor, "... h d"]:
        queries, keys, values = self._by_heads(query, key, value, query_layout, key_layout)
        with torch.autocast(query.device.type, enabled=False):
            context = attend_linear(queries, keys, values, key_layout.mask, causal=self.scope.causal)
        return query_layout.unpad(context.transpose(1, 2))

    def init_past(self, num_sentences: int, width: int, like: Tensor, capacity: int = 32) -> LinearPast:
        """Sums of nothing; there is no ``capacity`` to exceed."""
        size = (num_sentences * width, self.num_heads, self.head_dim, self.head_dim + 1)
        return LinearPast(at_least_float32(like.new_zeros(size)))

    def step(self, states: Float[Tensor, "R D"], past: Past, mask: Bool[Tensor, "B W C"] | None = None) -> Float[Tensor, "R D"]:
        """The newest position of R rows, which the past takes in. The mask of slots does not matter: a row's sums are its own."""
        past = cast(LinearPast, past)
        query, key, value = (expand_heads(part, self.num_heads) for part in self._project(states))
        with torch.autocast(states.device.type, enabled=False):
            valued = F.pad(at_least_float32(value), (0, 1), value=1.0)
            past.sums += features(key).unsqueeze(-1) * valued.unsqueeze(-2)
            context = _mean((features(query).unsqueeze(-2) @ past.sums).squeeze(-2)).to(value.dtype)
        output: Tensor = self.output(context.flatten(-2))
        return output
