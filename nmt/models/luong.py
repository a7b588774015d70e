"""Luong, Pham and Manning 2015, "Effective approaches to attention-based neural machine translation": global attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nmt.attention.recurrent import Source
from nmt.cells import lstm_cell
from nmt.config import InitialWeights, LuongConfig
from nmt.dropout import dropout
from nmt.layout import Layout
from nmt.models.interface import Memory, State, StepOutput
from nmt.models.layers import init_matrix, init_recurrent
from nmt.models.recurrent import RecurrentEncoder, RecurrentMemory, RecurrentSeq2Seq, layer_operand
from nmt.operand import Product


@dataclass(slots=True)
class LuongState(State):
    """Hidden and cell states of each decoder layer, (R, H), the attentional state that is fed to the next step, how far each source
    position is covered, if that is kept, and the target position."""

    hidden: list[Float[Tensor, "R H"]]
    cell: list[Float[Tensor, "R H"]]
    fed: Float[Tensor, "R D"]
    coverage: Float[Tensor, "R S d"] | None
    position: int

    def select(self, rows: Int[Tensor, " R2"]) -> LuongState:
        coverage = None if self.coverage is None else self.coverage[rows]
        return LuongState([h[rows] for h in self.hidden], [c[rows] for c in self.cell], self.fed[rows], coverage, self.position)


@dataclass(slots=True)
class LuongOperands:
    """What the steps of one decoding multiply with: recurrent weights of each layer (those of input feeding beside the first ones),
    weights that combine context and state, and the source."""

    gates: list[Product]
    combine: Product
    source: Source


class Luong(RecurrentSeq2Seq):
    """An LSTM decoder that looks at the source with its current state (sections 3.1 and 3.3)::

        h_t = LSTM([y_{t-1}; a_{t-1}], h_{t-1})        a_{t-1} only with input feeding
        w_t = softmax(score(h_t, h'_s)),  c_t = sum_s w_ts h'_s
        a_t = tanh(W_c [c_t; h_t])                     logits: the output layer of a_t

    Deviations: unless settings say otherwise the encoder is bidirectional, where the paper's read the reversed source (``backward``), and
    weights start Xavier and orthogonal, not U(-0.1, 0.1); every decoder layer starts from what the encoder's top layer ends with;
    dropout on embeddings, encoder states and a_t, not between layers; a_t has the width of the embeddings, so that the output layer can
    be tied to them.
    """

    config: LuongConfig

    def __init__(self, config: LuongConfig, vocab_sizes: tuple[int, int]) -> None:
        width, embedding = config.hidden_dim, config.embedding_dim
        encoder = RecurrentEncoder(nn.LSTM, embedding, width, config.encoder_layers, config.encoder_direction)
        super().__init__(config, vocab_sizes, encoder)
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
        super().reset()
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
        if self.config.initial_weights is InitialWeights.paper:
            for parameter in self.parameters():
                nn.init.uniform_(parameter, -0.1, 0.1)

    def encode(self, source: Int[Tensor, "B S"], layout: Layout) -> RecurrentMemory:
        values, final = self._read(source, layout)
        return self._remember(values, layout, final)

    def init_state(self, memory: Memory, width: int = 1) -> LuongState:
        memory, layers = cast(RecurrentMemory, memory), self.config.decoder_layers
        hidden, cell = (part.repeat_interleave(width, dim=0) for part in memory.initial)
        fed = hidden.new_zeros(len(hidden), self.config.embedding_dim)
        return LuongState([hidden] * layers, [cell] * layers, fed, self.attention.uncovered(memory.values, width), 0)

    def step(self, previous: Int[Tensor, " R"], state: State, memory: Memory, *, with_attention: bool = False) -> StepOutput:
        memory, state = cast(RecurrentMemory, memory), cast(LuongState, state)
        gates = self.gates_embedding(self._embed(self.embeddings.target, previous))
        operands = self._operands(memory)
        hidden, cell = self._advance(gates, state, operands)
        context, weights, coverage = self.attention.of_rows(hidden[-1], operands.source, state.position, state.coverage)
        attentional = self._combine(context, hidden[-1], operands)
        after = LuongState(hidden, cell, attentional, coverage, state.position + 1)
        return StepOutput(attentional, after, weights if with_attention else None)

    def decode(self, target_in: Int[Tensor, "B T"], layout: Layout, memory: Memory) -> Float[Tensor, "B T D"]:
        memory = cast(RecurrentMemory, memory)
        state, operands = self.init_state(memory), self._operands(memory)
        coverage, tops, attentionals, weights = state.coverage, [], [], []
        for position, gates in enumerate(self.gates_embedding(self._embed(self.embeddings.target, target_in)).unbind(1)):
            state.hidden, state.cell = self._advance(gates, state, operands)
            tops.append(state.hidden[-1])
            if self.config.input_feeding:
                context, weight, coverage = self.attention.of_rows(tops[-1], operands.source, position, coverage)
                state.fed = self._combine(context, tops[-1], operands)
                attentionals.append(state.fed)
                weights.append(weight)
        if self.config.input_feeding:
            self._record(torch.stack(weights, 1), memory)
            return torch.stack(attentionals, 1)
        queries = torch.stack(tops, 1)  # nothing waits for the attention
        contexts, of_all = self.attention.of_sentences(queries, operands.source, coverage)
        self._record(of_all, memory)
        return self._combine(contexts, queries, operands)

    def _operands(self, memory: RecurrentMemory) -> LuongOperands:
        return LuongOperands([layer_operand(layer) for layer in self.gates_hidden], layer_operand(self.combine), memory.source())

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

    def _combine(
        self, context: Float[Tensor, "... H"], query: Float[Tensor, "... H"], operands: LuongOperands
    ) -> Float[Tensor, "... D"]:
        """Attentional states."""
        attentional = torch.tanh(operands.combine(torch.cat([context, query.to(context.dtype)], dim=-1)))
        return dropout(attentional, self.config.output_dropout, self.training)
