"""The conditional GRU of Nematus: Sennrich et al. 2017, "Nematus: a toolkit for neural machine translation", section 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nmt.attention.recurrent import Source
from nmt.attention.scores import at_least_float32
from nmt.cells import gru_cell
from nmt.config import ConditionalGruConfig
from nmt.dropout import dropout
from nmt.layout import Layout
from nmt.models.interface import Memory, State, StepOutput
from nmt.models.layers import init_matrix, init_recurrent
from nmt.models.recurrent import RecurrentEncoder, RecurrentMemory, RecurrentSeq2Seq, RecurrentState, layer_operand
from nmt.operand import Product


@dataclass(slots=True)
class ConditionalGruOperands:
    """What the steps of one decoding multiply with: U of both GRUs, what the second one reads of the context, and the source."""

    first: Product
    second: Product
    context: Product
    source: Source


class ConditionalGru(RecurrentSeq2Seq):
    """A decoder of two GRUs, which looks at the source between them.

    With s the decoder's states, h the encoder's, y the target embeddings::

        s_0 = tanh(W_init mean_j h_j)
        s'_i = GRU_1(y_{i-1}, s_{i-1})
        e_ij = v . tanh(W_a s'_i + U_a h_j),  a_i = softmax(e_i),  c_i = sum_j a_ij h_j
        s_i = GRU_2(c_i, s'_i)
        t_i = tanh(W_1 s_i + W_2 y_{i-1} + W_3 c_i)         logits: the output layer of t_i

    Deviations: dropout on embeddings, encoder states and t, and none within the GRUs; the score is a setting, and has no bias; weights
    start orthogonal or Xavier.
    """

    config: ConditionalGruConfig

    def __init__(self, config: ConditionalGruConfig, vocab_sizes: tuple[int, int]) -> None:
        width, embedding = config.hidden_dim, config.embedding_dim
        super().__init__(config, vocab_sizes, RecurrentEncoder(nn.GRU, embedding, width, config.encoder_layers))
        self.initial = nn.Linear(width, width)
        self.first_embedding = nn.Linear(embedding, 3 * width)  # reset, update, candidate
        self.first_state = nn.Linear(width, 3 * width, bias=False)
        self.second_context = nn.Linear(width, 3 * width, bias=False)
        self.second_state = nn.Linear(width, 3 * width, bias=False)
        self.second_bias = nn.Parameter(torch.empty(3 * width))
        self.readout = nn.Linear(width + embedding + width, embedding)  # W_1, W_2, W_3
        self.reset()

    def reset(self) -> None:
        super().reset()
        for layer in (self.first_embedding, self.second_context):
            init_matrix(layer.weight, 3)
        for layer in (self.first_state, self.second_state):
            init_recurrent(layer.weight, 3)
        for layer in (self.initial, self.readout):
            init_matrix(layer.weight)
        for bias in (self.initial.bias, self.first_embedding.bias, self.second_bias, self.readout.bias):
            nn.init.zeros_(bias)

    def encode(self, source: Int[Tensor, "B S"], layout: Layout) -> RecurrentMemory:
        values, _ = self._read(source, layout)
        mean = values.sum(1) / layout.mask.sum(1, keepdim=True)  # padding is zero
        return self._remember(values, layout, (torch.tanh(at_least_float32(self.initial(mean))),))

    def init_state(self, memory: Memory, width: int = 1) -> RecurrentState:
        return self._initial_state(cast(RecurrentMemory, memory), width)

    def step(self, previous: Int[Tensor, " R"], state: State, memory: Memory, *, with_attention: bool = False) -> StepOutput:
        state, memory = cast(RecurrentState, state), cast(RecurrentMemory, memory)
        embedded = self._embed(self.embeddings.target, previous)
        after, context, weights = self._advance(self.first_embedding(embedded), state, self._operands(memory))
        hidden = self._readout(after.hidden, embedded, context)
        return StepOutput(hidden, after, weights if with_attention else None)

    def decode(self, target_in: Int[Tensor, "B T"], layout: Layout, memory: Memory) -> Float[Tensor, "B T D"]:
        memory = cast(RecurrentMemory, memory)
        embedded = self._embed(self.embeddings.target, target_in)
        state, operands = self.init_state(memory), self._operands(memory)
        states, contexts, weights = [], [], []
        for gates in self.first_embedding(embedded).unbind(1):
            state, context, weight = self._advance(gates, state, operands)
            states.append(state.hidden)
            contexts.append(context)
            weights.append(weight)
        self._record(torch.stack(weights, 1), memory)
        return self._readout(torch.stack(states, 1), embedded, torch.stack(contexts, 1))

    def _operands(self, memory: RecurrentMemory) -> ConditionalGruOperands:
        return ConditionalGruOperands(
            layer_operand(self.first_state), layer_operand(self.second_state), layer_operand(self.second_context), memory.source()
        )

    def _advance(
        self, gates: Float[Tensor, "R G"], state: RecurrentState, operands: ConditionalGruOperands
    ) -> tuple[RecurrentState, Float[Tensor, "R H"], Float[Tensor, "R S"]]:
        """The next state, the context read on the way to it, and the weights; ``gates`` is what the embedding gives to the first GRU."""
        between = gru_cell(gates, operands.first(state.hidden), state.hidden)
        context, weights, coverage = self.attention.of_rows(between, operands.source, state.position, state.coverage)
        hidden = gru_cell(operands.context(context) + self.second_bias, operands.second(between), between)
        return RecurrentState(hidden, coverage, state.position + 1), context, weights

    def _readout(self, hidden: Tensor, embedded: Tensor, context: Tensor) -> Float[Tensor, "... D"]:
        parts = torch.cat([hidden.to(embedded.dtype), embedded, context.to(embedded.dtype)], dim=-1)
        return dropout(torch.tanh(self.readout(parts)), self.config.output_dropout, self.training)
