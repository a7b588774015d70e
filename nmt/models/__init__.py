"""The translation models, behind the one seam of :mod:`nmt.models.interface`."""

from __future__ import annotations

from nmt.config import BahdanauConfig, ConditionalGruConfig, GnmtConfig, LuongConfig, ModelConfig, TransformerConfig
from nmt.models.bahdanau import Bahdanau
from nmt.models.conditional_gru import ConditionalGru
from nmt.models.gnmt import Gnmt
from nmt.models.interface import Seq2Seq
from nmt.models.luong import Luong
from nmt.models.transformer import Transformer


def build_model(config: ModelConfig, vocab_sizes: tuple[int, int]) -> Seq2Seq:
    """The model that a configuration describes, for so many source and target pieces; its weights are drawn from torch's generator."""
    match config:
        case BahdanauConfig():
            return Bahdanau(config, vocab_sizes)
        case ConditionalGruConfig():
            return ConditionalGru(config, vocab_sizes)
        case LuongConfig():
            return Luong(config, vocab_sizes)
        case GnmtConfig():
            return Gnmt(config, vocab_sizes)
        case TransformerConfig():
            return Transformer(config, vocab_sizes)
    raise TypeError(f"no model has a configuration of {type(config).__name__}")
