"""What a person can choose to see: every layer and head of the cross-attention, and every other attribution, each the right one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nmt.alignment.aligner import align
from nmt.alignment.forced import ForcedDecoder
from nmt.config import AlignmentConfig, Attribution, LuongConfig, Precision, StackConfig, TokenizerConfig, TransformerConfig
from nmt.data.normalization import PLAIN
from nmt.data.tokenizer import Tokenizer, Tokenizers, learn_pieces
from nmt.models import build_model
from nmt.report.views import word_views

SOURCES = ["the small dog sees a cat .", "", "a  cat sleeps"]
TARGETS = ["der kleine Hund sieht eine Katze .", "Hunde", "die Katze"]
OTHERS = ["norms", "rollout", "gradient attention", "input gradient"]
MODELS = {
    "luong": (LuongConfig(embedding_dim=13, hidden_dim=14), {"decoder.cross.0": (0, None)}),
    "transformer": (
        TransformerConfig(
            model_dim=12, num_heads=2, feedforward_dim=17, encoder=StackConfig(num_layers=1), decoder=StackConfig(num_layers=2)
        ),
        {
            "decoder.cross.1, mean of heads": (1, None),
            "decoder.cross.1, head 0": (1, 0),
            "decoder.cross.1, head 1": (1, 1),
            "decoder.cross.0, mean of heads": (0, None),
            "decoder.cross.0, head 0": (0, 0),
            "decoder.cross.0, head 1": (0, 1),
        },
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_each_view_is_what_its_name_says(name):
    tokenizer = Tokenizer(learn_pieces(SOURCES + TARGETS, TokenizerConfig(), 31), PLAIN)
    tokenizers = Tokenizers(tokenizer, tokenizer)
    model_config, attentions = MODELS[name]
    torch.manual_seed(3)
    model = build_model(model_config, tokenizers.vocab_sizes).eval()
    config = AlignmentConfig(layer=0, shift=True)
    decoder = ForcedDecoder(model, tokenizers, torch.device("cpu"), Precision.fp32)
    views = word_views(decoder, SOURCES, TARGETS, config)
    assert views[1] == {}
    assert list(views[0]) == list(views[2]) == [*attentions, *OTHERS]
    for view in views[0]:
        if view in attentions:
            layer, head = attentions[view]
            chosen = AlignmentConfig(layer=layer, head=head)
        else:
            chosen = replace(config, attribution=Attribution[view.replace(" ", "_")], shift=False)
        expected = align(decoder, SOURCES, TARGETS, chosen)
        for i in (0, 2):
            np.testing.assert_allclose(views[i][view], expected[i].weights, atol=1e-6)
