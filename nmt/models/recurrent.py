"""What the recurrent models share: a bidirectional encoder, its memory, and a score by name."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nmt.attention.scores import AdditiveScore, DotScore, GeneralScore
from nmt.config import RecurrentConfig, Score
from nmt.layout import Layout
from nmt.models.interface import Memory
from nmt.models.layers import init_matrix, init_recurrent
from nmt.models.quantized import Int8Linear
from nmt.operand import Operand, Product, product_type


@dataclass(slots=True)
class RecurrentMemory(Memory):
    """Encoder states ``values``, their projections ``keys``, and what the decoder starts from (a tensor (B, H) for each of its parts)."""

    values: Float[Tensor, "B S H"]
    keys: Float[Tensor, "B S A"]
    mask: Bool[Tensor, "B S"]
    initial: tuple[Float[Tensor, "B H"], ...]

    def select(self, sentences: Int[Tensor, " B2"]) -> RecurrentMemory:
        return RecurrentMemory(
            self.values[sentences], self.keys[sentences], self.mask[sentences], tuple(part[sentences] for part in self.initial)
        )


def weight_operand(weight: Float[Tensor, "*B M K"]) -> Operand:
    """Weights, or encoder states, that the steps of a decoder multiply with, in the type of products."""
    return Operand(weight.to(product_type(weight)))


def layer_operand(layer: nn.Module) -> Product:
    """A linear layer without bias for the steps of a decoder."""
    return layer if isinstance(layer, Int8Linear) else weight_operand(cast(nn.Linear, layer).weight)


class RecurrentEncoder(nn.Module):
    """A bidirectional GRU or LSTM over the source, half of ``hidden_dim`` a direction.

    Deviations: torch's GRU applies the reset gate after the recurrent product, r * (U h), Bahdanau et al. 2015 before it, U (r * h);
    Luong et al. 2015 read in one direction only.
    """

    def __init__(self, kind: type[nn.GRU] | type[nn.LSTM], config: RecurrentConfig) -> None:
        super().__init__()
        self.rnn = kind(config.embedding_dim, config.hidden_dim // 2, config.encoder_layers, batch_first=True, bidirectional=True)

    def forward(
        self, embedded: Float[Tensor, "B S E"], layout: Layout
    ) -> tuple[Float[Tensor, "B S H"], tuple[Float[Tensor, "B H"], ...]]:
        """States of all positions of the top layer, zero at padding, and what it ends with: the forward direction at the last
        position beside the backward one at the first. One tensor for a GRU; hidden and cell state for an LSTM."""
        packed = pack_padded_sequence(embedded, layout.lengths, batch_first=True, enforce_sorted=False)
        # torch's LSTM fails in fp16, where all sentences are of one length, on a CPU that does not multiply it
        in_float32 = embedded.device.type == "cpu" and product_type(embedded) is torch.float16
        with torch.autocast("cpu", enabled=False) if in_float32 else nullcontext():
            states, final = self.rnn(packed)
        padded, _ = pad_packed_sequence(states, batch_first=True, total_length=layout.max_length)
        parts = final if isinstance(final, tuple) else (final,)
        return padded, tuple(torch.cat([part[-2], part[-1]], dim=-1) for part in parts)

    def reset(self) -> None:
        """Orthogonal recurrent matrices, Xavier elsewhere, zero biases but 1 for an LSTM's forget gate (Jozefowicz et al. 2015)."""
        gates = 4 if isinstance(self.rnn, nn.LSTM) else 3
        for name, parameter in self.rnn.named_parameters():
            if "weight_hh" in name:
                init_recurrent(parameter, gates)
            elif "weight_ih" in name:
                init_matrix(parameter, gates)
            else:
                nn.init.zeros_(parameter)
                if gates == 4 and "bias_ih" in name:
                    nn.init.ones_(parameter.data.chunk(4)[1])


def build_score(config: RecurrentConfig) -> AdditiveScore | GeneralScore | DotScore:
    """The score that a configuration names, between decoder states and encoder states, both of width ``hidden_dim``."""
    width = config.hidden_dim
    match config.attention.score:
        case Score.additive | Score.concat:
            return AdditiveScore(width, width, config.attention.attention_dim)
        case Score.general:
            return GeneralScore(width, width)
        case Score.dot:
            return DotScore()


def reset_score(score: AdditiveScore | GeneralScore | DotScore) -> None:
    """Xavier for matrices; v like a row of one."""
    for parameter in score.parameters():
        init_matrix(parameter if parameter.ndim > 1 else parameter.data[None])
