"""Counting the operations of matrix products."""

import pytest
import torch

from nmt.hardware import count_flops


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_products_are_counted_in_every_mode(mode):
    linear, states = torch.nn.Linear(3, 5), torch.rand(2, 4, 3)
    with mode():
        assert count_flops(lambda: linear(states)) == 2 * 2 * 4 * 3 * 5
        assert count_flops(lambda: states @ states.mT) == 2 * 2 * 4 * 3 * 4
        assert count_flops(lambda: torch.addmm(linear.bias, states[0], linear.weight.T)) == 2 * 4 * 3 * 5
        assert count_flops(lambda: torch.relu(states) + 1) == 0


def test_products_of_the_gradient_are_counted():
    linear, states = torch.nn.Linear(3, 5), torch.rand(4, 3, requires_grad=True)
    assert count_flops(lambda: linear(states).sum().backward()) == 3 * 2 * 4 * 3 * 5
