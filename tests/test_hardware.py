"""Counting the operations of matrix products, what a device can compute in, and what the CPU takes for 0."""

import subprocess
import sys

import pytest
import torch

from nmt.config import Precision
from nmt.errors import ConfigError
from nmt.hardware import count_flops, matmul_peak, resolve_precision
from nmt.models.frozen_linear import Int8Linear, OneDnnLinear


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


@pytest.mark.parametrize("kind", [Int8Linear, OneDnnLinear])
def test_products_of_frozen_layers_are_counted(kind):
    layer = kind(torch.nn.Linear(3, 5))
    assert count_flops(lambda: layer(torch.rand(2, 4, 3))) == 2 * 2 * 4 * 3 * 5


@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16, Precision.fp16, Precision.int8])
def test_every_precision_has_a_peak(precision):
    assert matmul_peak(torch.device("cpu"), precision) > 1e8


def test_integers_are_for_the_cpu():
    assert resolve_precision(Precision.int8, torch.device("cpu")) is Precision.int8
    with pytest.raises(ConfigError, match="`precision=int8` is for the CPU, but the device is cuda"):
        resolve_precision(Precision.int8, torch.device("cuda"))


def test_denormal_numbers_are_0_in_every_thread():
    """In a process of its own, because the mode stays."""
    code = """
import torch
from nmt.hardware import set_up_cpu
set_up_cpu(2)
left = torch.full((4_000_000,), 1e-30)
assert torch.get_num_threads() == 2
assert not (left * 1e-10).any()
assert (left * 1e-7).all()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
