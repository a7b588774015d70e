"""Linear layers of models that are not trained any more."""

import numpy as np
import pytest
import torch
from torch import nn

from nmt.models.frozen_linear import Int8Linear, OneDnnLinear


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


@pytest.mark.parametrize("shape", [(7, 13), (3, 5, 13), (1, 13)])
@pytest.mark.parametrize("bias", [True, False])
def test_onednn_makes_the_same_products(shape, bias):
    torch.manual_seed(4)
    layer, inputs = nn.Linear(13, 17, bias=bias), torch.randn(*shape)
    with torch.inference_mode():
        torch.testing.assert_close(OneDnnLinear(layer)(inputs), layer(inputs))
