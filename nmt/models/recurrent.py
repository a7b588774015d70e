"""What the recurrent models share: embeddings, a bidirectional encoder, its memory, and the attention over it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nmt.attention.capture import Attention
from nmt.attention.recurrent import Source
from nmt.cells import gru_cell, lstm_cell
from nmt.config import Direction, RecurrentConfig
from nmt.dropout import dropout
from nmt.layout import Layout
from nmt.models.attention import build_recurrent_attention, reset_attention
from nmt.models.frozen_linear import FrozenLinear
from nmt.models.interface import Memory, Seq2Seq, State
from nmt.models.layers import Embeddings, init_matrix, init_recurrent
from nmt.operand import Operand, Product, product_type


@dataclass(slots=True)
class RecurrentMemory(Memory):
    """Encoder states ``values``, their projections ``keys``, what the decoder starts from (a tensor (B, D) for each of its parts), and what
    a coverage vector reads of the states."""

    values: Float[Tensor, "B S H"]
    keys: Float[Tensor, "B S A"]
    mask: Bool[Tensor, "B S"]
    initial: tuple[Float[Tensor, "B D"], ...]
    covered: Float[Tensor, "B S C"] | None

    def select(self, sentences: Int[Tensor, " B2"]) -> RecurrentMemory:
        return RecurrentMemory(
            self.values[sentences],
            self.keys[sentences],
            self.mask[sentences],
            tuple(part[sentences] for part in self.initial),
            None if self.covered is None else self.covered[sentences],
        )

    def source(self) -> Source:
        """As the steps of one decoding attend to it."""
        return Source(Operand(self.keys), weight_operand(self.values.mT), self.mask, self.covered)


@dataclass(slots=True)
class RecurrentState(State):
    """The hidden state of a GRU decoder, how far each source position is covered, if that is kept, and the target position."""

    hidden: Float[Tensor, "R H"]
    coverage: Float[Tensor, "R S d"] | None
    position: int

    def select(self, rows: Int[Tensor, " R2"]) -> RecurrentState:
        return RecurrentState(self.hidden[rows], None if self.coverage is None else self.coverage[rows], self.position)


def weight_operand(weight: Float[Tensor, "*B M K"]) -> Operand:
    """Weights, or encoder states, that the steps of a decoder multiply with, in the type of products."""
    return Operand(weight.to(product_type(weight)))


def layer_operand(layer: nn.Module) -> Product:
    """A linear layer without bias for the steps of a decoder."""
    return layer if isinstance(layer, FrozenLinear) else weight_operand(cast(nn.Linear, layer).weight)


def mirror(states: Float[Tensor, "B S D"], layout: Layout) -> Float[Tensor, "B S D"]:
    """Each sentence from its end to its beginning; padding stays behind it."""
    positions = torch.arange(layout.max_length, device=states.device)
    last = layout.lengths.to(states.device)[:, None] - 1
    order = torch.where(layout.mask, last - positions, positions)[..., None]
    return states.gather(1, order.expand_as(states))


class RecurrentEncoder(nn.Module):
    """A GRU or LSTM over the source, ``width`` wide: in one direction, or half of it in each.

    Deviation: torch's GRU applies the reset gate after the recurrent product, r * (U h), Bahdanau et al. 2015 before it, U (r * h).
    """

    def __init__(
        self,
        kind: type[nn.GRU] | type[nn.LSTM],
        input_dim: int,
        width: int,
        num_layers: int,
        direction: Direction = Direction.both,
    ) -> None:
        super().__init__()
        self.width, self.direction = width, direction
        both = direction is Direction.both
        self.rnn = kind(input_dim, width // 2 if both else width, num_layers, batch_first=True, bidirectional=both)

    @property
    def mirrored(self) -> tuple[bool, ...]:
        """Of each direction of torch's module, whether what it reads is the sentence from its end."""
        return {Direction.both: (False, True), Direction.forward: (False,), Direction.backward: (True,)}[self.direction]

    def reset(self) -> None:
        """Draw all weights anew from torch's generator."""
        reset_rnn(self.rnn)

    def forward(
        self, embedded: Float[Tensor, "B S E"], layout: Layout
    ) -> tuple[Float[Tensor, "B S H"], tuple[Float[Tensor, "B H"], ...]]:
        """States of all positions of the top layer, zero at padding, and what it ends with: the forward direction at the last
        position beside the backward one at the first. One tensor for a GRU; hidden and cell state for an LSTM."""
        return self._by_steps(embedded, layout) if embedded.device.type == "cpu" else self._by_library(embedded, layout)

    def _by_library(self, embedded: Tensor, layout: Layout) -> tuple[Tensor, tuple[Tensor, ...]]:
        """For a GPU, whose kernel reads all positions at once."""
        backward = self.direction is Direction.backward
        read = mirror(embedded, layout) if backward else embedded
        states, final = self.rnn(pack_padded_sequence(read, layout.lengths, batch_first=True, enforce_sorted=False))
        padded, _ = pad_packed_sequence(states, batch_first=True, total_length=layout.max_length)
        parts = final if isinstance(final, tuple) else (final,)
        return mirror(padded, layout) if backward else padded, tuple(
            torch.cat([*part[-len(self.mirrored) :]], dim=-1) for part in parts
        )

    def _by_steps(self, embedded: Tensor, layout: Layout) -> tuple[Tensor, tuple[Tensor, ...]]:
        """For a CPU: both directions side by side, step by step.

        Forward and backward take 0.43 s where torch's packed sentences take 0.57, whose backward pass writes a gradient as large as
        the batch at every step (LSTM 2 x 256, 256 sentences of up to 15 positions, one core at 2.5 GHz).
        """
        states = embedded
        for layer in range(self.rnn.num_layers):
            parts = self._read(torch.stack(self._in_order([states] * len(self.mirrored), layout)), layer)
            states = torch.cat(self._in_order(parts[0], layout), dim=-1)
        rows, last = torch.arange(len(layout.lengths)), layout.lengths - 1
        return states.masked_fill(~layout.mask[..., None], 0.0), tuple(
            torch.cat([*part[:, rows, last]], dim=-1) for part in parts
        )

    def _in_order(self, directions: Iterable[Tensor], layout: Layout) -> list[Tensor]:
        """Of each direction, states from the sentence's beginning to its end, or back to the order in which it reads them."""
        return [mirror(s, layout) if turned else s for s, turned in zip(directions, self.mirrored, strict=True)]

    def _read(self, inputs: Float[Tensor, "n B S E"], layer: int) -> list[Float[Tensor, "n B S D"]]:
        """Hidden states, and an LSTM's cell states, of the directions of a layer, in the order of their inputs."""
        directions, batch, positions = inputs.shape[:3]
        is_lstm = isinstance(self.rnn, nn.LSTM)
        steps = inputs.transpose(1, 2).flatten(1, 2)  # (n, S * B, E)
        input_bias, input_weight = self._stacked("bias_ih", layer)[:, None], self._stacked("weight_ih", layer)
        gates = torch.baddbmm(input_bias, steps, input_weight.mT).unflatten(1, (positions, batch))
        # not added to the other bias at once: their parts of a stack would share one gradient, which torch, adding up those of several
        # backward passes in place, would add to twice
        recurrent, recurrent_bias = weight_operand(self._stacked("weight_hh", layer)), self._stacked("bias_hh", layer)[:, None]
        state = (inputs.new_zeros(directions, batch, self.rnn.hidden_size),) * (2 if is_lstm else 1)
        states = []
        for gate in gates.unbind(1):
            product = recurrent(state[0]) + recurrent_bias
            state = lstm_cell(gate + product, state[1]) if is_lstm else (gru_cell(gate, product, state[0]),)
            states.append(state)
        return [torch.stack(part, 2) for part in zip(*states, strict=True)]

    def _stacked(self, name: str, layer: int) -> Tensor:
        """A parameter of all directions of a layer."""
        return torch.stack(
            [getattr(self.rnn, f"{name}_l{layer}{direction}") for direction in ("", "_reverse")[: len(self.mirrored)]]
        )


def reset_rnn(rnn: nn.RNNBase) -> None:
    """Orthogonal recurrent matrices, Xavier elsewhere, zero biases but 1 for an LSTM's forget gate (Jozefowicz et al. 2015)."""
    gates = 4 if isinstance(rnn, nn.LSTM) else 3
    for name, parameter in rnn.named_parameters():
        if "weight_hh" in name:
            init_recurrent(parameter, gates)
        elif "weight_ih" in name:
            init_matrix(parameter, gates)
        else:
            nn.init.zeros_(parameter)
            if gates == 4 and "bias_ih" in name:
                nn.init.ones_(parameter.data.chunk(4)[1])


LstmState = tuple[Float[Tensor, "R H"], Float[Tensor, "R H"]]
"""Hidden and cell state."""


def read_lstm(
    rnn: nn.LSTM, inputs: Float[Tensor, "R T E"], state: LstmState | None = None
) -> tuple[Float[Tensor, "R T H"], LstmState]:
    """States of one layer in one direction, and its state after the last position; it begins with zeros unless a state is given.

    On a CPU step by step, as :class:`RecurrentEncoder` reads: torch's own kernel has no fp16 there.
    """
    weight_ih, weight_hh, bias_ih, bias_hh = rnn.all_weights[0]
    zeros = inputs.new_zeros(len(inputs), rnn.hidden_size, dtype=weight_hh.dtype)
    hidden, cell = (zeros, zeros) if state is None else state
    if inputs.device.type != "cpu":
        states, (hidden, cell) = rnn(inputs, (hidden.unsqueeze(0), cell.unsqueeze(0)))
        return states, (hidden.squeeze(0), cell.squeeze(0))
    recurrent, rows = weight_operand(weight_hh), []
    for gates in nn.functional.linear(inputs, weight_ih, bias_ih).unbind(1):
        hidden, cell = lstm_cell(gates + recurrent(hidden) + bias_hh, cell)
        rows.append(hidden)
    return torch.stack(rows, 1), (hidden, cell)


class RecurrentSeq2Seq(Seq2Seq):
    """A recurrent model but for its decoder: subclasses say what they start from, and how they step.

    Dropout acts on embeddings and on the encoder's states.
    """

    config: RecurrentConfig

    def __init__(self, config: RecurrentConfig, vocab_sizes: tuple[int, int], encoder: RecurrentEncoder) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(vocab_sizes, config.embedding_dim, config.tying)
        self.encoder = encoder
        backward = encoder.direction is Direction.backward
        self.attention = build_recurrent_attention(config.attention, config.hidden_dim, encoder.width, backward=backward)

    def reset(self) -> None:
        """Draw all weights anew from torch's generator."""
        self.embeddings.reset()
        self.encoder.reset()
        reset_attention(self.attention)

    def output_layer(self) -> nn.Linear:
        return self.embeddings.output

    def source_embedding(self) -> nn.Module:
        return self.embeddings.source

    def attentions(self) -> dict[str, Attention]:
        return {"decoder.cross.0": self.attention}

    def _embed(self, table: nn.Embedding, ids: Tensor) -> Tensor:
        return dropout(table(ids), self.config.embedding_dropout, self.training)

    def _read(
        self, source: Int[Tensor, "B S"], layout: Layout
    ) -> tuple[Float[Tensor, "B S H"], tuple[Float[Tensor, "B H"], ...]]:
        """The states of the source that are attended to, and what the encoder ends with."""
        states, final = self.encoder(self._embed(self.embeddings.source, source), layout)
        return dropout(states, self.config.context_dropout, self.training), final

    def _remember(self, values: Float[Tensor, "B S H"], layout: Layout, initial: tuple[Tensor, ...]) -> RecurrentMemory:
        coverage = self.attention.coverage
        return RecurrentMemory(
            values,
            self.attention.score.project(values),
            layout.mask,
            initial,
            None if coverage is None else coverage.project(values),
        )

    def _initial_state(self, memory: RecurrentMemory, width: int) -> RecurrentState:
        """Of a GRU decoder that starts from the memory's one initial part."""
        (hidden,) = memory.initial
        return RecurrentState(hidden.repeat_interleave(width, dim=0), self.attention.uncovered(memory.values, width), 0)

    def _record(self, weights: Float[Tensor, "B T S"], memory: RecurrentMemory) -> None:
        """Hand the weights of whole targets to whoever watches."""
        if self.attention.record:
            self.attention.record(weights.unsqueeze(1), memory.values.unsqueeze(1), None)
