import pytest
import torch

from nmt.dropout import byte_mask, dropout


@pytest.mark.parametrize("prob", [0.0, 0.1, 0.3, 0.5, 0.999, 1.0])
def test_as_many_are_dropped_as_asked_for_and_the_mean_stays(prob):
    torch.manual_seed(3)
    values = torch.ones(1009, 1013)
    result = dropout(values, prob)
    dropped = round(prob * 256) / 256
    spread = 5 * (dropped * (1 - dropped) / values.numel()) ** 0.5
    assert float((result == 0).double().mean()) == pytest.approx(dropped, abs=spread)
    kept = result[result != 0]
    if dropped < 1:
        torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - dropped)))


def test_numbers_are_dropped_independently_of_their_neighbours():
    """Pairs at every distance up to 70, so also those made by one draw and those at the same place of neighbouring draws."""
    torch.manual_seed(5)
    dropped = (byte_mask(torch.empty(1_000_003), 0.25) == 0).double()
    for distance in range(1, 71):
        both = float((dropped[distance:] * dropped[:-distance]).mean())
        assert both == pytest.approx(1 / 16, abs=0.0015), distance


def test_the_gradient_passes_where_the_numbers_did():
    torch.manual_seed(7)
    values = torch.randn(13, 17, requires_grad=True)
    result = dropout(values, 0.4)
    result.sum().backward()
    assert torch.equal(values.grad == 0, result == 0)
    torch.testing.assert_close(values.grad * values, result)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 23])
def test_any_size_and_type(dtype, size):
    result = dropout(torch.ones(size, dtype=dtype), 0.5)
    assert result.dtype is dtype
    assert result.shape == (size,)
    assert set(result.tolist()) <= {0.0, 2.0}


def test_the_mask_follows_the_seed():
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(byte_mask(torch.empty(101), 0.5))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_nothing_happens_outside_training():
    values = torch.randn(5)
    assert dropout(values, 0.9, training=False) is values
