"""Deferred gradients against torch's own."""

import pytest
import torch

from nmt.operand import Operand, product_type

STEPS, ROWS, INNER, OUTER, SENTENCES = 3, 5, 7, 11, 2


def recurrence(states, multiply):
    """A few steps that each read what the last one gave."""
    total = 0
    for _ in range(STEPS):
        product = multiply(torch.tanh(states))
        states = states + product[..., :INNER]
        total = total + product.square().sum()
    return total


@pytest.mark.parametrize(
    ("matrices", "inputs"),
    [((), ()), ((), (SENTENCES,)), ((SENTENCES,), (SENTENCES,))],
    ids=["one matrix", "one matrix for all sentences", "a matrix a sentence"],
)
@pytest.mark.parametrize("used_elsewhere", [False, True])
def test_values_and_gradients_are_those_of_plain_products(matrices, inputs, used_elsewhere):
    torch.manual_seed(1)
    matrix = torch.randn(*matrices, OUTER, INNER, dtype=torch.float64, requires_grad=True)
    start = torch.randn(*inputs, ROWS, INNER, dtype=torch.float64, requires_grad=True)
    operand = Operand(matrix)
    deferred = recurrence(start, operand)
    plain = recurrence(start, lambda inputs: inputs @ matrix.mT)
    if used_elsewhere:
        deferred, plain = deferred + operand.matrix.exp().sum(), plain + matrix.exp().sum()
    torch.testing.assert_close(deferred, plain)
    gradients = torch.autograd.grad(deferred, (matrix, start))
    for gradient, expected in zip(gradients, torch.autograd.grad(plain, (matrix, start)), strict=True):
        torch.testing.assert_close(gradient, expected)


def test_a_matrix_that_no_step_used_has_the_gradient_of_its_other_uses():
    matrix = torch.randn(OUTER, INNER, requires_grad=True)
    Operand(matrix).matrix.square().sum().backward()
    torch.testing.assert_close(matrix.grad, 2 * matrix.detach())


def test_without_gradients_nothing_is_kept():
    matrix = torch.randn(OUTER, INNER, requires_grad=True)
    with torch.no_grad():
        operand = Operand(matrix)
        assert operand.matrix is matrix
        inputs = torch.randn(ROWS, INNER)
        assert torch.equal(operand(inputs), inputs @ matrix.mT)


def test_products_are_in_the_type_of_the_matrix_under_autocast():
    matrix = torch.randn(OUTER, INNER, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Operand(matrix)(torch.randn(ROWS, INNER)).dtype is torch.float32
        assert product_type(matrix) is torch.bfloat16
        half = Operand(matrix.to(product_type(matrix)))
        product = half(torch.randn(ROWS, INNER))
    assert product.dtype is torch.bfloat16
    product.float().sum().backward()
    assert matrix.grad.dtype is torch.float32
    assert product_type(matrix) is torch.float32
