"""Multi-head attention (Vaswani et al. 2017, section 3.2.2) as the Transformer uses it: over itself, and over the memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.profiler import record_function

from nmt.attention.capture import Attention
from nmt.attention.distributions import SOFTMAX, Distribution
from nmt.attention.kernels import attend
from nmt.attention.plain import Form, attention_mask, attention_weights, expand_heads, plain_context, position_bias
from nmt.attention.positions import RelativeBias, rotate
from nmt.attention.scopes import CAUSAL, FULL, Scope
from nmt.dropout import dropout
from nmt.layout import Layout


class MultiHeadAttention(Attention):
    """What both kinds share: heads, dropout on the weights while training, the output projection, and recording.

    Scores are ``gain`` q . k / sqrt(d), with ``learn_gain`` times a parameter of each head that begins as 1. All heads share
    ``num_kv_heads`` heads of keys and values; if that is not given, each has its own. In training, ``head_dropout`` leaves out whole heads
    of a sentence, and what is left grows accordingly (Zhou et al. 2020, section 3.1; the deviation is that all may be left out).
    """

    def __init__(
        self,
        model_dim: int,
        num_heads: int,
        dropout_prob: float,
        *,
        num_kv_heads: int | None = None,
        head_dropout: float = 0.0,
        gain: float = 1.0,
        learn_gain: bool = False,
        distribution: Distribution = SOFTMAX,
        scope: Scope = FULL,
        bias: RelativeBias | None = None,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = model_dim // num_heads
        self.num_kv_heads = num_kv_heads or num_heads
        self.dropout_prob, self.head_dropout = dropout_prob, head_dropout
        self.gain = gain
        self.learned_gain = nn.Parameter(torch.ones(num_heads)) if learn_gain else None
        self.distribution, self.scope, self.bias = distribution, scope, bias
        self.output = nn.Linear(model_dim, model_dim)

    @property
    def kv_dim(self) -> int:
        """Width of the keys, and of the values, of all heads."""
        return self.num_kv_heads * self.head_dim

    def linear_layers(self) -> list[tuple[nn.Linear, list[int]]]:
        """Each, and how many rows of its weights belong to each of the projections that it stacks."""
        return [(self.output, [self.output.out_features])]

    def _heads(self, projected: Float[Tensor, "... K"]) -> Float[Tensor, "... h d"]:
        return projected.view(*projected.shape[:-1], -1, self.head_dim)

    def _queries(self, projected: Float[Tensor, "... D"]) -> Float[Tensor, "... h d"]:
        """With the gain, which every kernel so heeds."""
        queries = self._heads(projected)
        if self.learned_gain is not None:
            queries = queries * self.learned_gain.to(queries.dtype)[:, None]
        return queries if self.gain == 1 else queries * self.gain

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, query_layout: Layout, key_layout: Layout
    ) -> Float[Tensor, "... D"]:
        if self.record or self.gates is not None:
            queries, keys, values = self._by_heads(query, key, value, query_layout, key_layout)
            weights = self._weights(queries, keys, query_layout, key_layout)
            if self.record:
                self.record(weights, values, self.output.weight.T.unflatten(0, (self.num_heads, -1)))
            if self.gates is not None:
                weights = weights * self.gates
            context = query_layout.unpad(plain_context(weights, values, self._dropout_prob()).transpose(1, 2))
        else:
            with record_function("attention"):
                context = self._context(query, key, value, query_layout, key_layout)
        if self.training and self.head_dropout:
            context = context * self._kept_heads(context, query_layout)
        output: Tensor = self.output(context.flatten(-2))
        return output

    def _kept_heads(self, context: Float[Tensor, "... h d"], layout: Layout) -> Float[Tensor, "... h 1"]:
        """0 for heads that are left out of a sentence, 1 / (1 - probability) for others."""
        kept = dropout(context.new_ones(layout.num_sentences, self.num_heads, 1), self.head_dropout)
        if not layout.packed:
            return kept.unsqueeze(1)
        return kept.repeat_interleave(layout.lengths.to(kept.device), dim=0, output_size=layout.num_tokens)

    def _weights(self, queries: Tensor, keys: Tensor, query_layout: Layout, key_layout: Layout) -> Float[Tensor, "B h T S"]:
        """The weights themselves."""
        bias = position_bias(self.bias, query_layout.max_length, queries.device)
        return attention_weights(queries, keys, attention_mask(query_layout, key_layout, self.scope), self.distribution, bias)

    def _context(
        self, query: Tensor, key: Tensor, value: Tensor, query_layout: Layout, key_layout: Layout
    ) -> Float[Tensor, "... h d"]:
        """The values' mean under the weights, by whatever way is fastest."""
        form = Form(self.scope, self.distribution, self.bias)
        return attend(query, key, value, query_layout, key_layout, form, dropout_prob=self._dropout_prob())

    def _by_heads(
        self, query: Tensor, key: Tensor, value: Tensor, query_layout: Layout, key_layout: Layout
    ) -> tuple[Float[Tensor, "B h T d"], Float[Tensor, "B h S d"], Float[Tensor, "B h S d"]]:
        key, value = expand_heads(key, self.num_heads), expand_heads(value, self.num_heads)
        queries, keys, values = (
            layout.pad(rows).transpose(1, 2) for rows, layout in ((query, query_layout), (key, key_layout), (value, key_layout))
        )
        return queries, keys, values

    def _dropout_prob(self) -> float:
        return self.dropout_prob if self.training else 0.0


class Past(ABC):
    """What steps of self-attention keep of the target so far, of W rows of each of B sentences."""

    @abstractmethod
    def reorder(self, rows: Int[Tensor, "B2 W"], sentences: Int[Tensor, " B2"] | None) -> Past:
        """The past as rows go on from others, W of each sentence that stays; ``sentences`` is which those are, None where all stay."""


@dataclass(slots=True)
class KeyValueCache(Past):
    """Keys and values that steps attend to, of B sentences, in buffers that double when they are full.

    Of the target: W rows of a sentence write side by side, position t of row w into slot t * W + w, and nothing moves when a beam goes on
    from other rows; a mask says which slots are a row's own past. Of the memory: a slot is a source position.

    Keys stand column by column: in that order the products of a step are 4 to 7 times faster on the CPU.
    """

    keys: Float[Tensor, "B g d C"]
    values: Float[Tensor, "B g C d"]
    length: int = 0

    @staticmethod
    def of(keys: Float[Tensor, "B S g d"], values: Float[Tensor, "B S g d"]) -> KeyValueCache:
        """A full one."""
        return KeyValueCache(keys.permute(0, 2, 3, 1).contiguous(), values.transpose(1, 2).contiguous(), keys.shape[1])

    def append(self, key: Float[Tensor, "R g d"], value: Float[Tensor, "R g d"]) -> None:
        """The next position of all rows, R = B * W."""
        key, value = (new.unflatten(0, (len(self.keys), -1)) for new in (key, value))  # (B, W, g, d)
        end = self.length + key.shape[1]
        if end > self.keys.shape[3]:
            self.keys = torch.cat([self.keys, torch.empty_like(self.keys)], dim=3)
            self.values = torch.cat([self.values, torch.empty_like(self.values)], dim=2)
        self.keys[..., self.length : end] = key.permute(0, 2, 3, 1)
        self.values[:, :, self.length : end] = value.transpose(1, 2)
        self.length = end

    def reorder(self, rows: Int[Tensor, "B2 W"], sentences: Int[Tensor, " B2"] | None) -> KeyValueCache:
        """No slot moves: the masks of slots are reordered instead."""
        return self if sentences is None else self.select(sentences)

    def select(self, sentences: Int[Tensor, " B2"]) -> KeyValueCache:
        # index_select copies whole rows, which indexing does element by element: 4 times faster on the CPU
        return KeyValueCache(self.keys.index_select(0, sentences), self.values.index_select(0, sentences), self.length)

    def attend(
        self,
        query: Float[Tensor, "R h d"],
        mask: Bool[Tensor, "B Q C2"] | None,
        distribution: Distribution,
        bias: Float[Tensor, "h 1 C2"] | None = None,
    ) -> tuple[Float[Tensor, "R D"], Float[Tensor, "B h W C2"]]:
        """Contexts of the W rows of each sentence over what the mask allows, and the weights; Q is W, or 1 for all rows alike."""
        queries = query.unflatten(0, (len(self.keys), -1)).transpose(1, 2)  # (B, h, W, d)
        keys, values = self.keys[..., : self.length].mT, self.values[:, :, : self.length]
        weights = attention_weights(queries, keys, None if mask is None else mask.unsqueeze(1), distribution, bias)
        return plain_context(weights, values).transpose(1, 2).flatten(2).flatten(0, 1), weights


class SelfAttention(MultiHeadAttention):
    """Every position of a sentence attends to those in its scope. With ``rotary``, queries and keys are turned by their positions;
    ``bias`` makes scores depend on the distance."""

    def __init__(self, model_dim: int, num_heads: int, dropout_prob: float, *, rotary: bool = False, **options: Any) -> None:
        super().__init__(model_dim, num_heads, dropout_prob, **options)
        self.rotary = rotary
        self.query_key_value = nn.Linear(model_dim, model_dim + 2 * self.kv_dim)

    def forward(self, states: Float[Tensor, "... D"], layout: Layout) -> Float[Tensor, "... D"]:
        query, key, value = self._project(states, layout.positions())
        return self._attend(query, key, value, layout, layout)

    def linear_layers(self) -> list[tuple[nn.Linear, list[int]]]:
        return [*super().linear_layers(), (self.query_key_value, [self.output.in_features, self.kv_dim, self.kv_dim])]

    def _project(
        self, states: Float[Tensor, "... D"], positions: Int[Tensor, "..."] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = self.query_key_value(states).split([self.output.in_features, self.kv_dim, self.kv_dim], dim=-1)
        queries, keys = self._queries(query), self._heads(key)
        if self.rotary:
            assert positions is not None
            queries, keys = rotate(queries, positions), rotate(keys, positions)
        return queries, keys, self._heads(value)

    def init_past(self, num_sentences: int, width: int, like: Tensor, capacity: int = 32) -> Past:
        """No position yet, room for ``capacity``; on the device of ``like``, a tensor of the type that this module computes in."""
        keys = like.new_empty(num_sentences, self.num_kv_heads, self.head_dim, capacity * width)
        values = like.new_empty(num_sentences, self.num_kv_heads, capacity * width, self.head_dim)
        return KeyValueCache(keys, values)

    def step(self, states: Float[Tensor, "R D"], past: Past, mask: Bool[Tensor, "B W C"] | None = None) -> Float[Tensor, "R D"]:
        """The newest position of R = B * W rows, which the past takes in, over those slots in its scope where the mask allows."""
        cache = cast(KeyValueCache, past)
        width = len(states) // len(cache.keys)
        position = torch.full((1, 1), cache.length // width, device=states.device)
        query, key, value = self._project(states, position[0])
        cache.append(key, value)
        bias = None
        if self.bias is not None or self.scope != CAUSAL:
            slots = torch.arange(cache.length, device=states.device)[None] // width  # (1, C)
            if self.bias is not None:
                bias = self.bias(position, slots)
            allowed = self.scope.allows(position, slots)
            mask = allowed[None] if mask is None else mask & allowed
        context, _ = cache.attend(query, mask, self.distribution, bias)
        output: Tensor = self.output(context)
        return output


class CrossAttention(MultiHeadAttention):
    """Target positions attend to the memory, whose keys and values are made once a sentence."""

    def __init__(self, model_dim: int, num_heads: int, dropout_prob: float, **options: Any) -> None:
        super().__init__(model_dim, num_heads, dropout_prob, **options)
        self.query = nn.Linear(model_dim, model_dim)
        self.key_value = nn.Linear(model_dim, 2 * self.kv_dim)

    def linear_layers(self) -> list[tuple[nn.Linear, list[int]]]:
        own = [(self.query, [self.query.out_features]), (self.key_value, [self.kv_dim, self.kv_dim])]
        return [*super().linear_layers(), *own]

    def project(self, memory: Float[Tensor, "... D"]) -> tuple[Float[Tensor, "... g d"], Float[Tensor, "... g d"]]:
        """Keys and values of the memory, in its layout."""
        key, value = self.key_value(memory).chunk(2, dim=-1)
        return self._heads(key), self._heads(value)

    def forward(
        self, states: Float[Tensor, "... D"], layout: Layout, key: Tensor, value: Tensor, memory_layout: Layout
    ) -> Float[Tensor, "... D"]:
        return self._attend(self._queries(self.query(states)), key, value, layout, memory_layout)

    def step(
        self, states: Float[Tensor, "R D"], memory: KeyValueCache, mask: Bool[Tensor, "B S"]
    ) -> tuple[Float[Tensor, "R D"], Float[Tensor, "B h W S"]]:
        """One position of R = B * W rows, and its weights: the W rows of a sentence read the same keys, without copies of them."""
        context, weights = memory.attend(self._queries(self.query(states)), mask.unsqueeze(1), self.distribution)
        output: Tensor = self.output(context)
        return output, weights
