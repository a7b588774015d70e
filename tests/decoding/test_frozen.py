"""Models in the forms of translating."""

import pytest
import torch
from torch import nn

from nmt.config import Precision
from nmt.decoding import frozen as module
from nmt.decoding.frozen import frozen
from nmt.hardware import autocast
from nmt.layout import Layout
from nmt.models import build_model
from nmt.models.frozen_linear import Int8Linear, OneDnnLinear

VOCAB = 37


def logits(model, precision=Precision.fp32):
    """Of three steps of two sentences, three rows each."""
    layout = Layout.of([5, 3])
    source = layout.pad_packed(torch.arange(4, 12))
    with torch.inference_mode(), autocast(torch.device("cpu"), precision):
        memory = model.encode(source, layout)
        state, rows = model.init_state(memory, 3), []
        for piece in (2, 11, 5):
            output = model.step(torch.full((6,), piece), state, memory)
            state = output.state
            rows.append(model.output(output.hidden))
        return torch.stack(rows)


def made(family_config):
    """A model, and its parameters as they were."""
    torch.manual_seed(3)
    model = build_model(family_config, (VOCAB, VOCAB)).eval()
    return model, {name: value.clone() for name, value in model.named_parameters()}


def unchanged(model, before):
    return all(torch.equal(value, before[name]) and value.requires_grad for name, value in model.named_parameters())


def linear_layers(model):
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear)]


def test_a_model_of_integers_steps_like_the_one_it_was_made_from(family_config):
    model, before = made(family_config)
    copy = frozen(model, Precision.int8)
    assert {type(layer) for layer in linear_layers(copy)} == {Int8Linear}
    assert isinstance(copy.output_layer(), Int8Linear)
    found, expected = logits(copy), logits(model)
    assert 0 < (found - expected).abs().max() < 0.05 * expected.abs().max()
    assert unchanged(model, before)


@pytest.mark.parametrize("precision", [Precision.bf16, Precision.fp16])
def test_a_model_of_half_precision_steps_as_autocast_does(family_config, precision):
    model, before = made(family_config)
    copy = frozen(model, precision)
    wide = {name for name, layer in copy.named_modules() if isinstance(layer, nn.Linear) and layer.weight.element_size() != 2}
    assert wide <= {"attention.score.query"}
    assert torch.equal(logits(copy, precision), logits(model, precision))
    assert unchanged(model, before)


@pytest.mark.parametrize("faster", [True, False])
def test_a_model_by_onednn_steps_like_the_one_it_was_made_from(family_config, faster, monkeypatch):
    monkeypatch.setattr(module, "onednn_multiplies_faster", lambda: faster)
    model, before = made(family_config)
    copy = frozen(model, Precision.fp32)
    assert (copy is model) == (not faster)
    assert {OneDnnLinear} == {type(layer) for layer in linear_layers(copy)} or not faster
    assert copy.output_layer().weight.data_ptr() == model.output_layer().weight.data_ptr()
    torch.testing.assert_close(logits(copy), logits(model))
    assert unchanged(model, before)
    assert frozen(model.double(), Precision.fp32) is model
