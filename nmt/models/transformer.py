"""Vaswani et al. 2017, "Attention is all you need"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nmt.attention.capture import Attention
from nmt.attention.multihead import KeyValueCache, MultiHeadAttention, Past
from nmt.attention.pruning import remove_heads
from nmt.config import NormPlacement, TransformerConfig
from nmt.dropout import dropout
from nmt.layout import Layout
from nmt.models.attention import build_cross_attention, build_self_attention
from nmt.models.interface import Memory, Seq2Seq, State, StepOutput
from nmt.models.layers import Embeddings, PositionVectors, build_positions, init_matrix


@dataclass(slots=True)
class TransformerMemory(Memory):
    """Keys and values of every decoder layer's cross-attention, in ``layout``; once steps have asked for them, also as caches."""

    keys: list[Float[Tensor, "... _g d"]]  # layers may have lost heads
    values: list[Float[Tensor, "... _g d"]]
    layout: Layout
    cached: list[KeyValueCache] | None = None

    def caches(self) -> list[KeyValueCache]:
        """What :attr:`keys` and :attr:`values` are, in the order that steps read them in."""
        if self.cached is None:
            padded = zip(map(self.layout.pad, self.keys), map(self.layout.pad, self.values), strict=True)
            self.cached = [KeyValueCache.of(keys, values) for keys, values in padded]
        return self.cached

    def select(self, sentences: Int[Tensor, " B2"]) -> TransformerMemory:
        caches = [cache.select(sentences) for cache in self.caches()]
        keys = [cache.keys.permute(0, 3, 1, 2) for cache in caches]
        values = [cache.values.transpose(1, 2) for cache in caches]
        return TransformerMemory(keys, values, self.layout.select(sentences), caches)


@dataclass(slots=True)
class TransformerState(State):
    """What each layer keeps of the target so far; which of a sentence's slots are the past of each of its W rows."""

    target: list[Past]
    past: Bool[Tensor, "B W C"]
    position: int

    def select(self, rows: Int[Tensor, " R2"]) -> TransformerState:
        """As long as the sentences stay, no cache is touched: only the masks of their slots are reordered."""
        num_sentences, width, _ = self.past.shape
        rows = rows.unflatten(0, (-1, width))
        sentences = rows[:, 0] // width
        all_stay = torch.equal(sentences, torch.arange(num_sentences, device=rows.device))
        target = [past.reorder(rows, None if all_stay else sentences) for past in self.target]
        return TransformerState(target, self.past.flatten(0, 1)[rows], self.position)

    def advance(self) -> Bool[Tensor, "B W C2"]:
        """The past of each row, its own next position among it; the state is at that position then."""
        num_sentences, width, _ = self.past.shape
        own = torch.eye(width, dtype=torch.bool, device=self.past.device)
        self.past = torch.cat([self.past, own.expand(num_sentences, -1, -1)], dim=2)
        self.position += 1
        return self.past


class Residual(nn.Module):
    """Norm and dropout round a sub-layer: x + drop(sub(norm(x))) pre-norm, norm(x + drop(sub(x))) post-norm (the paper's)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.model_dim)
        self.pre = config.norm is NormPlacement.pre
        self.dropout_prob = config.dropout

    def enter(self, states: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """What the sub-layer reads."""
        normed: Tensor = self.norm(states) if self.pre else states
        return normed

    def leave(self, states: Float[Tensor, "... D"], inner: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """States and the sub-layer's output together."""
        states = states + dropout(inner, self.dropout_prob, self.training)
        normed: Tensor = states if self.pre else self.norm(states)
        return normed


class FeedForward(nn.Module):
    """max(0, x W_1 + b_1) W_2 + b_2 (section 3.3), with dropout on the inner layer."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(config.model_dim, config.feedforward_dim)
        self.outer = nn.Linear(config.feedforward_dim, config.model_dim)
        self.dropout_prob = config.feedforward_dropout

    def linear_layers(self) -> list[tuple[nn.Linear, list[int]]]:
        """Each, and how many rows of its weights belong together: all."""
        return [(layer, [layer.out_features]) for layer in (self.inner, self.outer)]

    def forward(self, states: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        output: Tensor = self.outer(dropout(torch.relu(self.inner(states)), self.dropout_prob, self.training))
        return output


class EncoderLayer(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention = build_self_attention(config.encoder_self, config, causal=False)
        self.feedforward = FeedForward(config)
        self.around_self = Residual(config)
        self.around_feedforward = Residual(config)

    def forward(self, states: Float[Tensor, "... D"], layout: Layout) -> Float[Tensor, "... D"]:
        states = self.around_self.leave(states, self.self_attention(self.around_self.enter(states), layout))
        return self.around_feedforward.leave(states, self.feedforward(self.around_feedforward.enter(states)))


class DecoderLayer(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention = build_self_attention(config.decoder_self, config, causal=True)
        self.cross_attention = build_cross_attention(config.decoder_cross, config)
        self.feedforward = FeedForward(config)
        self.around_self = Residual(config)
        self.around_cross = Residual(config)
        self.around_feedforward = Residual(config)

    def forward(
        self, states: Float[Tensor, "... D"], layout: Layout, key: Tensor, value: Tensor, memory_layout: Layout
    ) -> Float[Tensor, "... D"]:
        states = self.around_self.leave(states, self.self_attention(self.around_self.enter(states), layout))
        states = self.around_cross.leave(
            states, self.cross_attention(self.around_cross.enter(states), layout, key, value, memory_layout)
        )
        return self.around_feedforward.leave(states, self.feedforward(self.around_feedforward.enter(states)))

    def step(
        self, states: Float[Tensor, "R D"], target: Past, past: Tensor, memory: KeyValueCache, memory_mask: Tensor
    ) -> tuple[Float[Tensor, "R D"], Float[Tensor, "B h W S"]]:
        """One position of R rows, and the weights of its cross-attention; the past of the target takes the position in."""
        states = self.around_self.leave(states, self.self_attention.step(self.around_self.enter(states), target, past))
        inner, weights = self.cross_attention.step(self.around_cross.enter(states), memory, memory_mask)
        states = self.around_cross.leave(states, inner)
        return self.around_feedforward.leave(states, self.feedforward(self.around_feedforward.enter(states))), weights


class Transformer(Seq2Seq):
    """Encoder and decoder of self-attention, cross-attention and feed-forward layers, post-norm as in the paper or pre-norm.

    Deviations: with pre-norm both stacks end in a norm of their own (the usual form: without it the residual stream would reach the
    output layer unscaled); the output layer has a bias. Projections of queries, keys and values are stored as one matrix.
    """

    def __init__(self, config: TransformerConfig, vocab_sizes: tuple[int, int]) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(vocab_sizes, config.model_dim, config.tying)
        self.source_positions = build_positions(config)
        self.target_positions = build_positions(config)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder.num_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder.num_layers))
        pre = config.norm is NormPlacement.pre
        self.encoder_norm = nn.LayerNorm(config.model_dim) if pre else nn.Identity()
        self.decoder_norm = nn.LayerNorm(config.model_dim) if pre else nn.Identity()
        for name, heads in config.pruned_heads.items():
            remove_heads(cast(MultiHeadAttention, self.attentions()[name]), heads)
        self.reset()

    def reset(self) -> None:
        """Draw weights anew from torch's generator: Xavier for matrices, zero for biases. Gains, sinks and positions stay as they begin."""
        self.embeddings.reset()
        for stack in (self.encoder, self.decoder):
            for module in stack.modules():
                if isinstance(module, MultiHeadAttention | FeedForward):
                    for layer, rows in module.linear_layers():
                        init_matrix(layer.weight, rows)
                        nn.init.zeros_(layer.bias)

    def encode(self, source: Int[Tensor, "..."], layout: Layout) -> TransformerMemory:
        states = self._embed(self.embeddings.source(source), self.source_positions, layout.positions())
        for layer in self.encoder:
            states = self._run(layer, states, layout)
        states = self.encoder_norm(states)
        projected = [layer.cross_attention.project(states) for layer in self._decoder_layers()]
        return TransformerMemory([key for key, _ in projected], [value for _, value in projected], layout)

    def init_state(self, memory: Memory, width: int = 1) -> TransformerState:
        memory = cast(TransformerMemory, memory)
        layout = memory.layout
        target = [layer.self_attention.init_past(layout.num_sentences, width, memory.keys[0]) for layer in self._decoder_layers()]
        return TransformerState(target, layout.mask.new_empty(layout.num_sentences, width, 0), 0)

    def step(self, previous: Int[Tensor, " R"], state: State, memory: Memory, *, with_attention: bool = False) -> StepOutput:
        state, memory = cast(TransformerState, state), cast(TransformerMemory, memory)
        states = self._embed(self.embeddings.target(previous), self.target_positions, previous.new_tensor(state.position))
        past = state.advance()
        for layer, target, source in zip(self._decoder_layers(), state.target, memory.caches(), strict=True):
            states, weights = layer.step(states, target, past, source, memory.layout.mask)
        attention = weights.mean(1).flatten(0, 1) if with_attention else None  # (R, S)
        return StepOutput(self.decoder_norm(states), state, attention)

    def decode(self, target_in: Int[Tensor, "..."], layout: Layout, memory: Memory) -> Float[Tensor, "... D"]:
        memory = cast(TransformerMemory, memory)
        states = self._embed(self.embeddings.target(target_in), self.target_positions, layout.positions())
        for layer, key, value in zip(self._decoder_layers(), memory.keys, memory.values, strict=True):
            states = self._run(layer, states, layout, key, value, memory.layout)
        hidden: Tensor = self.decoder_norm(states)
        return hidden

    def output_layer(self) -> nn.Linear:
        return self.embeddings.output

    def source_embedding(self) -> nn.Module:
        return self.embeddings.source

    def attentions(self) -> dict[str, Attention]:
        encoder = cast(list[EncoderLayer], list(self.encoder))
        decoder = self._decoder_layers()
        return (
            {f"encoder.self.{i}": layer.self_attention for i, layer in enumerate(encoder)}
            | {f"decoder.self.{i}": layer.self_attention for i, layer in enumerate(decoder)}
            | {f"decoder.cross.{i}": layer.cross_attention for i, layer in enumerate(decoder)}
        )

    def _decoder_layers(self) -> list[DecoderLayer]:
        return cast(list[DecoderLayer], list(self.decoder))

    def _run(self, layer: nn.Module, *inputs: Tensor | Layout) -> Tensor:
        """A layer's output; dropout is the same when it is computed anew, because the generators are put back for that."""
        if self.recompute and torch.is_grad_enabled():
            return cast(Tensor, checkpoint(layer, *inputs, use_reentrant=False))
        return cast(Tensor, layer(*inputs))

    def _embed(
        self, embedded: Float[Tensor, "... D"], vectors: PositionVectors | None, positions: Int[Tensor, "..."]
    ) -> Float[Tensor, "... D"]:
        """Embeddings times sqrt(D), plus vectors of positions (sections 3.4 and 3.5)."""
        states = embedded * self.config.model_dim**0.5
        return dropout(states if vectors is None else states + vectors(positions), self.config.dropout, self.training)
