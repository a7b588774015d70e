"""Luong, Pham and Manning 2015, "Effective approaches to attention-based neural machine translation": global attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nmt.attention.capture import Attention
from nmt.config import LuongConfig
from nmt.dropout import dropout
from nmt.layout import Layout
from nmt.models.attention import build_recurrent_attention, reset_attention
from nmt.models.interface import Memory, Seq2Seq, State, StepOutput
from nmt.models.layers import Embeddings, init_matrix, init_recurrent
from nmt.models.recurrent import (
    RecurrentEncoder,
    RecurrentMemory,
    layer_operand,
    lstm_cell,
    weight_operand,
)
from nmt.operand import Operand, Product


@dataclass(slots=True)
class LuongState(State):
    """Hidden and cell states of each decoder layer, (R, H), the attentional state that is fed to the next step, and its target position."""

    hidden: list[Float[Tensor, "R H"]]
    cell: list[Float[Tensor, "R H"]]
    fed: Float[Tensor, "R D"]
    position: int

    def select(self, rows: Int[Tensor, " R2"]) -> LuongState:
        return LuongState([h[rows] for h in self.hidden], [c[rows] for c in self.cell], self.fed[rows], self.position)


@dataclass(slots=True)
class LuongOperands:
    """What the steps of one decoding multiply with: recurrent weights of each layer (those of input feeding beside the first ones),
    weights that combine context and state, and the memory's keys and values."""

    gates: list[Product]
    combine: Product
    keys: Operand
    values: Operand


class Luong(Seq2Seq):
    """An LSTM decoder that looks at the source with its current state (sections 3.1 and 3.3)::

        h_t = LSTM([y_{t-1}; a_{t-1}], h_{t-1})        a_{t-1} only with input feeding
        w_t = softmax(score(h_t, h'_s)),  c_t = sum_s w_ts h'_s
        a_t = tanh(W_c [c_t; h_t])                     logits: the output layer of a_t

    Deviations: the encoder is bidirectional, every decoder layer starts from what its top layer ends with, and the source is not
    reversed; dropout on embeddings, encoder states and a_t, not between layers; a_t has the width of the embeddings, so that the
    output layer can be tied to them; Xavier and orthogonal initialisation, not U(-0.1, 0.1).
    """

    def __init__(self, config: LuongConfig, vocab_sizes: tuple[int, int]) -> None:
        super().__init__()
        width, embedding = config.hidden_dim, config.embedding_dim
        self.config = config
        self.embeddings = Embeddings(vocab_sizes, embedding, config.tying)
        self.encoder = RecurrentEncoder(nn.LSTM, config)
        self.attention = build_recurrent_attention(config.attention, width)
        self.gates_embedding = nn.Linear(embedding, 4 * width)  # input, forget, cell, output
        fed = embedding if config.input_feeding else 0
        self.gates_hidden = nn.ModuleList(  # the first layer's read [h; a]: one product instead of two
            nn.Linear(width + (0 if layer else fed), 4 * width, bias=False) for layer in range(config.decoder_layers)
        )
        self.gates_below = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(config.decoder_layers - 1))
        self.combine = nn.Linear(2 * width, embedding, bias=False)
        self.reset()

    def reset(self) -> None:
        """Draw all weights anew from torch's generator; forget gates start open, with a bias of 1."""
        self.embeddings.reset()
        self.encoder.reset()
        reset_attention(self.attention)
        inputs = [self.gates_embedding, *self.gates_below]
        for layer in inputs:
            init_matrix(cast(nn.Linear, layer).weight, 4)
        for layer in self.gates_hidden:
            hidden, fed = cast(nn.Linear, layer).weight.tensor_split([self.config.hidden_dim], dim=1)
            init_recurrent(hidden, 4)
            if fed.numel():
                init_matrix(fed, 4)
        for layer in inputs:
            bias = cast(nn.Linear, layer).bias
            nn.init.zeros_(bias)
            nn.init.ones_(bias.data.chunk(4)[1])
        init_matrix(self.combine.weight)

    def encode(self, source: Int[Tensor, "B S"], layout: Layout) -> RecurrentMemory:
        embedded = self._embed(self.embeddings.source, source)
        values, final = self.encoder(embedded, layout)
        values = dropout(values, self.config.context_dropout, self.training)
        return RecurrentMemory(values, self.attention.score.project(values), layout.mask, final)

    def init_state(self, memory: Memory, width: int = 1) -> LuongState:
        hidden, cell = (part.repeat_interleave(width, dim=0) for part in cast(RecurrentMemory, memory).initial)
        layers = self.config.decoder_layers
        return LuongState([hidden] * layers, [cell] * layers, hidden.new_zeros(len(hidden), self.config.embedding_dim), 0)

    def step(self, previous: Int[Tensor, " R"], state: State, memory: Memory, *, with_attention: bool = False) -> StepOutput:
        memory, state = cast(RecurrentMemory, memory), cast(LuongState, state)
        gates = self.gates_embedding(self._embed(self.embeddings.target, previous))
        operands = self._operands(memory)
        hidden, cell = self._advance(gates, state, operands)
        queries = hidden[-1].unflatten(0, (len(memory.mask), -1))  # (B, width, H)
        attentional, weights = self._attend(queries, memory, operands, state.position)
        attentional, weights = attentional.flatten(0, 1), weights.flatten(0, 1)  # (R, D), (R, S)
        return StepOutput(
            attentional, LuongState(hidden, cell, attentional, state.position + 1), weights if with_attention else None
        )

    def decode(self, target_in: Int[Tensor, "B T"], layout: Layout, memory: Memory) -> Float[Tensor, "B T D"]:
        memory = cast(RecurrentMemory, memory)
        state, operands = self.init_state(memory), self._operands(memory)
        tops, attentionals, weights = [], [], []
        for position, gates in enumerate(self.gates_embedding(self._embed(self.embeddings.target, target_in)).unbind(1)):
            state.hidden, state.cell = self._advance(gates, state, operands)
            tops.append(state.hidden[-1])
            if self.config.input_feeding:
                attentional, weight = self._attend(tops[-1].unsqueeze(1), memory, operands, position)
                state.fed = attentional.squeeze(1)
                attentionals.append(attentional)
                weights.append(weight)
        if not self.config.input_feeding:  # nothing waits for the attention: all positions at once
            attentional, weight = self._attend(torch.stack(tops, 1), memory, operands, layout.positions())
            attentionals, weights = [attentional], [weight]
        if self.attention.record:
            self.attention.record(torch.cat(weights, 1).unsqueeze(1), memory.values.unsqueeze(1), None)
        return torch.cat(attentionals, 1)

    def output_layer(self) -> nn.Linear:
        return self.embeddings.output

    def attentions(self) -> dict[str, Attention]:
        return {"decoder.cross.0": self.attention}

    def _embed(self, table: nn.Embedding, ids: Tensor) -> Tensor:
        return dropout(table(ids), self.config.embedding_dropout, self.training)

    def _operands(self, memory: RecurrentMemory) -> LuongOperands:
        return LuongOperands(
            [layer_operand(layer) for layer in self.gates_hidden],
            layer_operand(self.combine),
            Operand(memory.keys),
            weight_operand(memory.values.mT),
        )

    def _advance(
        self, gates: Float[Tensor, "R G"], state: LuongState, operands: LuongOperands
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Hidden and cell states of all layers one position on; ``gates`` is what the embedding gives to the first layer's."""
        hidden: list[Tensor] = []
        cell: list[Tensor] = []
        for layer, (h, c) in enumerate(zip(state.hidden, state.cell, strict=True)):
            if layer:
                gates = self.gates_below[layer - 1](hidden[-1])
            elif self.config.input_feeding:
                h = torch.cat([h, state.fed.to(h.dtype)], dim=1)
            h, c = lstm_cell(gates + operands.gates[layer](h), c)
            hidden.append(h)
            cell.append(c)
        return hidden, cell

    def _attend(
        self,
        queries: Float[Tensor, "B Q H"],
        memory: RecurrentMemory,
        operands: LuongOperands,
        position: int | Int[Tensor, " Q"],
    ) -> tuple[Float[Tensor, "B Q D"], Float[Tensor, "B Q S"]]:
        """Attentional states and weights."""
        context, weights = self.attention(queries, operands.keys, operands.values, memory.mask, position)
        attentional = torch.tanh(operands.combine(torch.cat([context, queries.to(context.dtype)], dim=-1)))
        return dropout(attentional, self.config.output_dropout, self.training), weights
