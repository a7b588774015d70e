"""Linear layers in 8-bit integers, and models made of them."""

import numpy as np
import pytest
import torch
from torch import nn

from nmt.layout import Layout
from nmt.models import build_model
from nmt.models.quantized import Int8Linear, quantized

VOCAB = 37


@pytest.mark.parametrize("shape", [(7, 13), (3, 5, 13), (1, 13)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_the_product_of_rounded_integers(shape, bias):
    torch.manual_seed(1)
    layer, inputs = nn.Linear(13, 17, bias=bias), torch.randn(*shape) * torch.rand(*shape[:-1], 1) * 5

    def integers(row):
        scale = np.abs(row).max() / 127
        return np.array([int(np.rint(x / scale)) for x in row]), scale

    rows = [integers(row) for row in inputs.reshape(-1, 13).numpy()]
    columns = [integers(row) for row in layer.weight.detach().numpy()]
    expected = torch.tensor([[float(a @ b) * s * t for b, t in columns] for a, s in rows]).view(*shape[:-1], 17)
    expected = expected + layer.bias.detach() if bias else expected
    torch.testing.assert_close(Int8Linear(layer)(inputs), expected.float())


def test_a_layer_is_near_the_one_it_was_made_from():
    torch.manual_seed(2)
    layer, inputs = nn.Linear(257, 131), torch.randn(53, 257)
    inputs[7] = 0
    difference = (Int8Linear(layer)(inputs) - layer(inputs)).abs()
    assert difference.max() < 0.03 * layer(inputs).abs().max()
    torch.testing.assert_close(Int8Linear(layer)(inputs)[7], layer.bias.detach())


def test_a_model_steps_like_the_one_it_was_made_from(family_config):
    torch.manual_seed(3)
    model = build_model(family_config, (VOCAB, VOCAB)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    copy = quantized(model)
    assert not [name for name, module in copy.named_modules() if type(module) is not Int8Linear and isinstance(module, nn.Linear)]
    assert isinstance(copy.output_layer(), Int8Linear)

    def logits(model):
        layout = Layout.of([5, 3])
        source = layout.pad_packed(torch.arange(4, 12))
        memory = model.encode(source, layout)
        state, rows = model.init_state(memory, 3), []
        for piece in (2, 11, 5):
            output = model.step(torch.full((6,), piece), state, memory)
            state = output.state
            rows.append(model.output(output.hidden))
        return torch.stack(rows)

    with torch.inference_mode():
        found, expected = logits(copy), logits(model)
    assert 0 < (found - expected).abs().max() < 0.05 * expected.abs().max()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
