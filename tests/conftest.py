"""What several tests share: one thread, and tiny models of every kind."""

import itertools

import pytest
import torch

from nmt.config import (
    BahdanauConfig,
    LuongConfig,
    NormPlacement,
    RecurrentAttentionConfig,
    Score,
    StackConfig,
    TransformerConfig,
    Tying,
)


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


def _variants():
    """Every kind of model in every wiring, with distinct widths; no dropout unless a test asks for it."""
    still = {"embedding_dropout": 0.0, "context_dropout": 0.0, "output_dropout": 0.0}
    for score in (Score.additive, Score.dot, Score.general):
        attention = RecurrentAttentionConfig(score=score, attention_dim=11)
        yield f"bahdanau-{score.name}", BahdanauConfig(embedding_dim=13, hidden_dim=14, attention=attention, **still)
    for score, feeding, layers in itertools.product(Score, (True, False), (1, 2)):
        yield (
            f"luong-{score.name}-{'feeding' if feeding else 'plain'}-{layers}",
            LuongConfig(
                embedding_dim=13,
                hidden_dim=14,
                encoder_layers=layers,
                decoder_layers=layers,
                input_feeding=feeding,
                attention=RecurrentAttentionConfig(score=score, attention_dim=11),
                **still,
            ),
        )
    for norm, tying in itertools.product(NormPlacement, Tying):
        yield (
            f"transformer-{norm.name}-{tying.name}",
            TransformerConfig(
                model_dim=22,
                num_heads=2,
                feedforward_dim=29,
                norm=norm,
                tying=tying,
                dropout=0.0,
                encoder=StackConfig(num_layers=2),
                decoder=StackConfig(num_layers=3),
            ),
        )


VARIANTS = dict(_variants())


@pytest.fixture(params=VARIANTS, ids=str)
def model_config(request):
    """The configuration of each variant in turn."""
    return VARIANTS[request.param]


@pytest.fixture(params=[name for name in VARIANTS if name.startswith("transformer")], ids=str)
def transformer_config(request):
    """The configuration of each Transformer, the only model that reads packed rows, in turn."""
    return VARIANTS[request.param]


@pytest.fixture(params=["bahdanau-additive", "luong-general-feeding-1", "transformer-pre-three_way"], ids=str)
def family_config(request):
    """One configuration of each of the three models."""
    return VARIANTS[request.param]
