"""RNNsearch: Bahdanau, Cho and Bengio 2015, "Neural machine translation by jointly learning to align and translate"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nmt.attention.capture import Attention
from nmt.attention.scores import at_least_float32
from nmt.config import BahdanauConfig
from nmt.dropout import dropout
from nmt.layout import Layout
from nmt.models.attention import build_recurrent_attention, reset_attention
from nmt.models.interface import Memory, Seq2Seq, State, StepOutput
from nmt.models.layers import Embeddings, init_matrix, init_recurrent
from nmt.models.recurrent import RecurrentEncoder, RecurrentMemory, layer_operand, weight_operand
from nmt.operand import Operand, Product


@dataclass(slots=True)
class BahdanauState(State):
    """The decoder's state, and the target position that it is at."""

    hidden: Float[Tensor, "R H"]
    position: int

    def select(self, rows: Int[Tensor, " R2"]) -> BahdanauState:
        return BahdanauState(self.hidden[rows], self.position)


@dataclass(slots=True)
class BahdanauOperands:
    """What the steps of one decoding multiply with: U of reset and update, U of the candidate, C, and the memory's keys and values."""

    gates: Product
    candidate: Product
    context: Product
    keys: Operand
    values: Operand


class Bahdanau(Seq2Seq):
    """A GRU decoder that looks at the source with its previous state before every step (appendix A.1.2 and A.2.2).

    With s the decoder's states, h the encoder's, y the target embeddings::

        s_0 = tanh(W_s h'_1)                                    h' the backward direction
        e_ij = v . tanh(W_a s_{i-1} + U_a h_j)                  a_i = softmax(e_i),  c_i = sum_j a_ij h_j
        r, z = sigmoid(W y_{i-1} + U s_{i-1} + C c_i)
        s_i = (1 - z) s_{i-1} + z tanh(W y_{i-1} + U (r s_{i-1}) + C c_i)
        t_i = maxout(U_o s_{i-1} + V_o y_{i-1} + C_o c_i)       logits: the output layer of t_i

    Deviations: dropout on embeddings, encoder states and t; gates have biases; t has the width of the embeddings, so that the output
    layer can be tied to them; weights start orthogonal or Xavier, not N(0, 0.01^2), which suits Adam; the score is a setting.
    What does not depend on the previous state is computed for all positions at once.
    """

    def __init__(self, config: BahdanauConfig, vocab_sizes: tuple[int, int]) -> None:
        super().__init__()
        width, embedding = config.hidden_dim, config.embedding_dim
        self.config = config
        self.embeddings = Embeddings(vocab_sizes, embedding, config.tying)
        self.encoder = RecurrentEncoder(nn.GRU, config)
        self.attention = build_recurrent_attention(config.attention, width)
        self.initial = nn.Linear(width // 2, width)
        self.gates_embedding = nn.Linear(embedding, 3 * width)  # W of reset, update, candidate
        self.gates_state = nn.Linear(width, 2 * width, bias=False)  # U of reset, update
        self.candidate_state = nn.Linear(width, width, bias=False)  # U of candidate
        self.gates_context = nn.Linear(width, 3 * width, bias=False)  # C of reset, update, candidate
        self.readout = nn.Linear(width + embedding + width, 2 * embedding)  # U_o, V_o, C_o
        self.reset()

    def reset(self) -> None:
        """Draw all weights anew from torch's generator."""
        self.embeddings.reset()
        self.encoder.reset()
        reset_attention(self.attention)
        init_matrix(self.gates_embedding.weight, 3)
        init_matrix(self.gates_context.weight, 3)
        init_recurrent(self.gates_state.weight, 2)
        init_recurrent(self.candidate_state.weight, 1)
        for layer in (self.initial, self.readout):
            init_matrix(layer.weight)
        for layer in (self.initial, self.readout, self.gates_embedding):
            nn.init.zeros_(layer.bias)

    def encode(self, source: Int[Tensor, "B S"], layout: Layout) -> RecurrentMemory:
        embedded = self._embed(self.embeddings.source, source)
        values, _ = self.encoder(embedded, layout)
        values = dropout(values, self.config.context_dropout, self.training)
        first_backward = values[:, 0, values.shape[-1] // 2 :]
        initial = torch.tanh(at_least_float32(self.initial(first_backward)))
        return RecurrentMemory(values, self.attention.score.project(values), layout.mask, (initial,))

    def init_state(self, memory: Memory, width: int = 1) -> BahdanauState:
        (hidden,) = cast(RecurrentMemory, memory).initial
        return BahdanauState(hidden.repeat_interleave(width, dim=0), 0)

    def step(self, previous: Int[Tensor, " R"], state: State, memory: Memory, *, with_attention: bool = False) -> StepOutput:
        state = cast(BahdanauState, state)
        before = state.hidden
        embedded = self._embed(self.embeddings.target, previous)
        memory = cast(RecurrentMemory, memory)
        gates, operands = self.gates_embedding(embedded), self._operands(memory)
        after, context, weights = self._advance(gates, before, memory, operands, state.position)
        hidden = self._readout(before, embedded, context)
        return StepOutput(hidden, BahdanauState(after, state.position + 1), weights if with_attention else None)

    def decode(self, target_in: Int[Tensor, "B T"], layout: Layout, memory: Memory) -> Float[Tensor, "B T D"]:
        memory = cast(RecurrentMemory, memory)
        embedded = self._embed(self.embeddings.target, target_in)
        gates = self.gates_embedding(embedded)  # (B, T, 3H)
        (hidden,), operands = memory.initial, self._operands(memory)
        states, contexts, weights = [], [], []
        for position, gate in enumerate(gates.unbind(1)):
            states.append(hidden)
            hidden, context, weight = self._advance(gate, hidden, memory, operands, position)
            contexts.append(context)
            weights.append(weight)
        if self.attention.record:
            self.attention.record(torch.stack(weights, 1).unsqueeze(1), memory.values.unsqueeze(1), None)
        return self._readout(torch.stack(states, 1), embedded, torch.stack(contexts, 1))

    def output_layer(self) -> nn.Linear:
        return self.embeddings.output

    def attentions(self) -> dict[str, Attention]:
        return {"decoder.cross.0": self.attention}

    def _embed(self, table: nn.Embedding, ids: Tensor) -> Tensor:
        return dropout(table(ids), self.config.embedding_dropout, self.training)

    def _operands(self, memory: RecurrentMemory) -> BahdanauOperands:
        return BahdanauOperands(
            layer_operand(self.gates_state),
            layer_operand(self.candidate_state),
            layer_operand(self.gates_context),
            Operand(memory.keys),
            weight_operand(memory.values.mT),
        )

    def _advance(
        self,
        gates: Float[Tensor, "R G"],
        before: Float[Tensor, "R H"],
        memory: RecurrentMemory,
        operands: BahdanauOperands,
        position: int,
    ) -> tuple[Float[Tensor, "R H"], Float[Tensor, "R H"], Float[Tensor, "R S"]]:
        """The next state, the context read on the way to it, and the weights; ``gates`` is W y + b of all three gates."""
        queries = before.unflatten(0, (len(memory.mask), -1))  # (B, width, H)
        context, weights = self.attention(queries, operands.keys, operands.values, memory.mask, position)
        context, weights = context.flatten(0, 1), weights.flatten(0, 1)  # (R, H), (R, S)
        gates = gates + operands.context(context)
        size = before.shape[-1]
        reset, update = torch.sigmoid(gates[:, : 2 * size] + operands.gates(before)).chunk(2, dim=-1)
        candidate = torch.tanh(gates[:, 2 * size :] + operands.candidate(reset * before))
        return torch.lerp(before, candidate.to(before.dtype), update.to(before.dtype)), context, weights

    def _readout(self, before: Tensor, embedded: Tensor, context: Tensor) -> Float[Tensor, "... D"]:
        pairs = self.readout(torch.cat([before, embedded, context.to(embedded.dtype)], dim=-1)).unflatten(-1, (-1, 2))
        return dropout(pairs.amax(-1), self.config.output_dropout, self.training)
