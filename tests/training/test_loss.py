import pytest
import torch
from torch import nn

from nmt.training.loss import output_loss

ROWS, DIM, VOCAB = 23, 7, 13


def problem(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(3)
    hidden = torch.randn(ROWS, DIM, dtype=dtype, requires_grad=True)
    weight = torch.randn(VOCAB, DIM, dtype=dtype, requires_grad=True)
    bias = torch.randn(VOCAB, dtype=dtype, requires_grad=True)
    return hidden, weight, bias, torch.randint(VOCAB, (ROWS,))


@pytest.mark.parametrize("chunk_size", [1, 5, ROWS, 100])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_value_and_gradients_are_those_of_torch(chunk_size, smoothing):
    hidden, weight, bias, target = problem()
    loss, nll = output_loss(hidden, weight, bias, target, label_smoothing=smoothing, chunk_size=chunk_size)
    gradients = torch.autograd.grad(3 * loss, (hidden, weight, bias))

    logits = nn.functional.linear(hidden, weight, bias)
    expected = nn.functional.cross_entropy(logits, target, reduction="sum", label_smoothing=smoothing)
    expected_gradients = torch.autograd.grad(3 * expected, (hidden, weight, bias))

    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(nll, nn.functional.cross_entropy(logits, target, reduction="sum"))
    assert not nll.requires_grad
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient)


def test_without_bias_and_without_gradients():
    hidden, weight, _, target = problem()
    with torch.no_grad():
        loss, nll = output_loss(hidden, weight, None, target, label_smoothing=0.0, chunk_size=4)
    torch.testing.assert_close(loss, nll)
    torch.testing.assert_close(nll, nn.functional.cross_entropy(hidden @ weight.T, target, reduction="sum"))


def test_under_autocast_the_softmax_stays_float32():
    hidden, weight, bias, target = problem(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = output_loss(hidden, weight, bias, target, label_smoothing=0.1, chunk_size=8)
    rounded = hidden.bfloat16() @ weight.bfloat16().T
    expected = nn.functional.cross_entropy(rounded.float() + bias, target, reduction="sum", label_smoothing=0.1)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, atol=0, rtol=1e-4)  # the mean of the logits is not made of rounded ones
    loss.backward()
    exact = torch.autograd.grad(
        nn.functional.cross_entropy(nn.functional.linear(hidden, weight, bias), target, reduction="sum", label_smoothing=0.1),
        (hidden, weight, bias),
    )
    for tensor, gradient in zip((hidden, weight, bias), exact, strict=True):
        assert tensor.grad.dtype == torch.float32
        torch.testing.assert_close(tensor.grad, gradient, atol=0.05, rtol=0.05)
