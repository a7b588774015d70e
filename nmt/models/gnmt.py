"""GNMT: Wu et al. 2016, "Google's neural machine translation system", deep LSTMs with residual connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nmt.config import GnmtConfig
from nmt.dropout import dropout
from nmt.layout import Layout
from nmt.models.interface import Memory, State, StepOutput
from nmt.models.layers import init_matrix
from nmt.models.recurrent import LstmState, RecurrentEncoder, RecurrentMemory, RecurrentSeq2Seq, read_lstm, reset_rnn


@dataclass(slots=True)
class GnmtState(State):
    """Hidden and cell state of each decoder layer, how far each source position is covered, if that is kept, and the target position."""

    layers: list[LstmState]
    coverage: Float[Tensor, "R S d"] | None
    position: int

    def select(self, rows: Int[Tensor, " R2"]) -> GnmtState:
        layers = [(hidden[rows], cell[rows]) for hidden, cell in self.layers]
        return GnmtState(layers, None if self.coverage is None else self.coverage[rows], self.position)


class GnmtEncoder(RecurrentEncoder):
    """A layer in both directions, half of ``hidden_dim`` each, and layers in one direction above it, from the third on with what they
    read added to what they give."""

    def __init__(self, config: GnmtConfig) -> None:
        super().__init__(nn.LSTM, config.embedding_dim, config.hidden_dim, num_layers=1)
        width, self.layer_dropout = config.hidden_dim, config.layer_dropout
        self.stack = nn.ModuleList(nn.LSTM(width, width, batch_first=True) for _ in range(config.encoder_layers - 1))

    def reset(self) -> None:
        super().reset()
        for layer in self.stack:
            reset_rnn(cast(nn.LSTM, layer))

    def forward(
        self, embedded: Float[Tensor, "B S E"], layout: Layout
    ) -> tuple[Float[Tensor, "B S H"], tuple[Float[Tensor, "B H"], ...]]:
        states, _ = super().forward(embedded, layout)
        for index, layer in enumerate(self.stack):
            above, _ = read_lstm(cast(nn.LSTM, layer), dropout(states, self.layer_dropout, self.training))
            states = states + above if index else above
        return states.masked_fill(~layout.mask[..., None], 0.0), ()


class Gnmt(RecurrentSeq2Seq):
    """Stacks of LSTMs, the encoder's first in both directions; the decoder's first looks at the source for all above it (section 3).

    With x the layers' states from the bottom up, h the encoder's top, y the target embeddings::

        x1_t = LSTM(y_{t-1}),  c_t = attention(x1_t, h)
        x2_t = LSTM([x1_t; c_t]),  xi_t = LSTM([x(i-1)_t; c_t]) + x(i-1)_t for i > 2        the encoder's alike, without c
        logits: the output layer of W x_t of the top layer

    Deviations, the first three those of the GNMT of TensorFlow's NMT tutorial ("gnmt_v2") and of NVIDIA's: the query is the bottom layer's
    state of this step, not of the step before, so that in training nothing waits for the attention; the score is the normalised additive
    one; the decoder starts from zero. W brings states to the width of the embeddings, so that the output layer can be tied to them; dropout
    on embeddings, encoder states, W x and what layers above the first read; Xavier and orthogonal initialisation.
    """

    config: GnmtConfig

    def __init__(self, config: GnmtConfig, vocab_sizes: tuple[int, int]) -> None:
        super().__init__(config, vocab_sizes, GnmtEncoder(config))
        width, embedding = config.hidden_dim, config.embedding_dim
        self.bottom = nn.LSTM(embedding, width, batch_first=True)
        self.stack = nn.ModuleList(nn.LSTM(2 * width, width, batch_first=True) for _ in range(config.decoder_layers - 1))
        self.readout = nn.Linear(width, embedding, bias=False)
        self.reset()

    def reset(self) -> None:
        super().reset()
        for layer in (self.bottom, *self.stack):
            reset_rnn(cast(nn.LSTM, layer))
        init_matrix(self.readout.weight)

    def encode(self, source: Int[Tensor, "B S"], layout: Layout) -> RecurrentMemory:
        values, _ = self._read(source, layout)
        return self._remember(values, layout, ())

    def init_state(self, memory: Memory, width: int = 1) -> GnmtState:
        values = cast(RecurrentMemory, memory).values
        zero = values.new_zeros(len(values) * width, self.config.hidden_dim, dtype=self.embeddings.target.weight.dtype)
        return GnmtState([(zero, zero)] * self.config.decoder_layers, self.attention.uncovered(values, width), 0)

    def step(self, previous: Int[Tensor, " R"], state: State, memory: Memory, *, with_attention: bool = False) -> StepOutput:
        memory, state = cast(RecurrentMemory, memory), cast(GnmtState, state)
        below, bottom = read_lstm(self.bottom, self._embed(self.embeddings.target, previous).unsqueeze(1), state.layers[0])
        context, weights, coverage = self.attention.of_rows(below.squeeze(1), memory.source(), state.position, state.coverage)
        top, layers = self._climb(below, context.unsqueeze(1), state.layers[1:])
        after = GnmtState([bottom, *layers], coverage, state.position + 1)
        return StepOutput(self._readout(top.squeeze(1)), after, weights if with_attention else None)

    def decode(self, target_in: Int[Tensor, "B T"], layout: Layout, memory: Memory) -> Float[Tensor, "B T D"]:
        memory = cast(RecurrentMemory, memory)
        state = self.init_state(memory)
        below, _ = read_lstm(self.bottom, self._embed(self.embeddings.target, target_in))
        contexts, weights = self.attention.of_sentences(below, memory.source(), state.coverage)
        self._record(weights, memory)
        top, _ = self._climb(below, contexts, state.layers[1:])
        return self._readout(top)

    def _climb(
        self, below: Float[Tensor, "R T H"], context: Float[Tensor, "R T H"], layers: list[LstmState]
    ) -> tuple[Float[Tensor, "R T H"], list[LstmState]]:
        """States of the top layer, and those of all layers above the bottom after the last position."""
        after = []
        for index, (layer, state) in enumerate(zip(self.stack, layers, strict=True)):
            read = dropout(torch.cat([below, context.to(below.dtype)], dim=-1), self.config.layer_dropout, self.training)
            states, last = read_lstm(cast(nn.LSTM, layer), read, state)
            below = states + below if index else states
            after.append(last)
        return below, after

    def _readout(self, top: Float[Tensor, "... H"]) -> Float[Tensor, "... D"]:
        return dropout(self.readout(top), self.config.output_dropout, self.training)
