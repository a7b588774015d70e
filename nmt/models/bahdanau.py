"""RNNsearch: Bahdanau, Cho and Bengio 2015, "Neural machine translation by jointly learning to align and translate"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nmt.attention.recurrent import Source
from nmt.attention.scores import at_least_float32
from nmt.config import BahdanauConfig, InitialWeights
from nmt.dropout import dropout
from nmt.layout import Layout
from nmt.models.interface import Memory, State, StepOutput
from nmt.models.layers import init_matrix, init_recurrent
from nmt.models.recurrent import RecurrentEncoder, RecurrentMemory, RecurrentSeq2Seq, RecurrentState, layer_operand
from nmt.operand import Product


@dataclass(slots=True)
class BahdanauOperands:
    """What the steps of one decoding multiply with: U of reset and update, U of the candidate, C, and the source."""

    gates: Product
    candidate: Product
    context: Product
    source: Source


class Bahdanau(RecurrentSeq2Seq):
    """A GRU decoder that looks at the source with its previous state before every step (appendix A.1.2 and A.2.2).

    With s the decoder's states, h the encoder's, y the target embeddings::

        s_0 = tanh(W_s h'_1)                                    h' the backward direction
        e_ij = v . tanh(W_a s_{i-1} + U_a h_j)                  a_i = softmax(e_i),  c_i = sum_j a_ij h_j
        r, z = sigmoid(W y_{i-1} + U s_{i-1} + C c_i)
        s_i = (1 - z) s_{i-1} + z tanh(W y_{i-1} + U (r s_{i-1}) + C c_i)
        t_i = maxout(U_o s_{i-1} + V_o y_{i-1} + C_o c_i)       logits: the output layer of t_i

    Deviations: dropout on embeddings, encoder states and t; gates have biases; t has the width of the embeddings, so that the output
    layer can be tied to them; unless settings say otherwise weights start orthogonal or Xavier, which suits Adam, not N(0, 0.01^2); the
    score is a setting.
    What does not depend on the previous state is computed for all positions at once.
    """

    config: BahdanauConfig

    def __init__(self, config: BahdanauConfig, vocab_sizes: tuple[int, int]) -> None:
        width, embedding = config.hidden_dim, config.embedding_dim
        of_source = config.encoder_dim or width
        super().__init__(config, vocab_sizes, RecurrentEncoder(nn.GRU, embedding, of_source, config.encoder_layers))
        self.initial = nn.Linear(of_source // 2, width)
        self.gates_embedding = nn.Linear(embedding, 3 * width)  # W of reset, update, candidate
        self.gates_state = nn.Linear(width, 2 * width, bias=False)  # U of reset, update
        self.candidate_state = nn.Linear(width, width, bias=False)  # U of candidate
        self.gates_context = nn.Linear(of_source, 3 * width, bias=False)  # C of reset, update, candidate
        self.readout = nn.Linear(width + embedding + of_source, 2 * embedding)  # U_o, V_o, C_o
        self.reset()

    def reset(self) -> None:
        super().reset()
        init_matrix(self.gates_embedding.weight, 3)
        init_matrix(self.gates_context.weight, 3)
        init_recurrent(self.gates_state.weight, 2)
        init_recurrent(self.candidate_state.weight, 1)
        for layer in (self.initial, self.readout):
            init_matrix(layer.weight)
        for layer in (self.initial, self.readout, self.gates_embedding):
            nn.init.zeros_(layer.bias)
        if self.config.initial_weights is InitialWeights.paper:
            self._reset_as_the_paper()

    def _reset_as_the_paper(self) -> None:
        """Appendix B.1: recurrent matrices stay orthogonal, W_a and U_a ~ N(0, 0.001^2), v_a and biases zero, all else N(0, 0.01^2)."""
        for name, parameter in self.named_parameters():
            if parameter.ndim == 1:
                nn.init.zeros_(parameter)
            elif name.startswith("attention."):
                nn.init.normal_(parameter, std=0.001)
            elif "weight_hh" not in name and not name.startswith(("gates_state.", "candidate_state.")):
                nn.init.normal_(parameter, std=0.01)

    def encode(self, source: Int[Tensor, "B S"], layout: Layout) -> RecurrentMemory:
        values, _ = self._read(source, layout)
        first_backward = values[:, 0, values.shape[-1] // 2 :]
        initial = torch.tanh(at_least_float32(self.initial(first_backward)))
        return self._remember(values, layout, (initial,))

    def init_state(self, memory: Memory, width: int = 1) -> RecurrentState:
        return self._initial_state(cast(RecurrentMemory, memory), width)

    def step(self, previous: Int[Tensor, " R"], state: State, memory: Memory, *, with_attention: bool = False) -> StepOutput:
        state, memory = cast(RecurrentState, state), cast(RecurrentMemory, memory)
        embedded = self._embed(self.embeddings.target, previous)
        after, context, weights = self._advance(self.gates_embedding(embedded), state, self._operands(memory))
        hidden = self._readout(state.hidden, embedded, context)
        return StepOutput(hidden, after, weights if with_attention else None)

    def decode(self, target_in: Int[Tensor, "B T"], layout: Layout, memory: Memory) -> Float[Tensor, "B T D"]:
        memory = cast(RecurrentMemory, memory)
        embedded = self._embed(self.embeddings.target, target_in)
        gates = self.gates_embedding(embedded)  # (B, T, 3H)
        state, operands = self.init_state(memory), self._operands(memory)
        states, contexts, weights = [], [], []
        for gate in gates.unbind(1):
            states.append(state.hidden)
            state, context, weight = self._advance(gate, state, operands)
            contexts.append(context)
            weights.append(weight)
        self._record(torch.stack(weights, 1), memory)
        return self._readout(torch.stack(states, 1), embedded, torch.stack(contexts, 1))

    def _operands(self, memory: RecurrentMemory) -> BahdanauOperands:
        return BahdanauOperands(
            layer_operand(self.gates_state),
            layer_operand(self.candidate_state),
            layer_operand(self.gates_context),
            memory.source(),
        )

    def _advance(
        self, gates: Float[Tensor, "R G"], state: RecurrentState, operands: BahdanauOperands
    ) -> tuple[RecurrentState, Float[Tensor, "R H"], Float[Tensor, "R S"]]:
        """The next state, the context read on the way to it, and the weights; ``gates`` is W y + b of all three gates."""
        before = state.hidden
        context, weights, coverage = self.attention.of_rows(before, operands.source, state.position, state.coverage)
        gates = gates + operands.context(context)
        size = before.shape[-1]
        reset, update = torch.sigmoid(gates[:, : 2 * size] + operands.gates(before)).chunk(2, dim=-1)
        candidate = torch.tanh(gates[:, 2 * size :] + operands.candidate(reset * before))
        hidden = torch.lerp(before, candidate.to(before.dtype), update.to(before.dtype))
        return RecurrentState(hidden, coverage, state.position + 1), context, weights

    def _readout(self, before: Tensor, embedded: Tensor, context: Tensor) -> Float[Tensor, "... D"]:
        pairs = self.readout(torch.cat([before, embedded, context.to(embedded.dtype)], dim=-1)).unflatten(-1, (-1, 2))
        return dropout(pairs.amax(-1), self.config.output_dropout, self.training)
