"""Positions against plain loops of their papers' equations."""

import cmath
import itertools
import math

import pytest
import torch

from nmt.attention.positions import BucketBias, LinearBias, rotate

HEADS, DIM = 3, 10


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@pytest.mark.parametrize("num_sentences", [1, 2])
def test_rotation_is_a_product_of_complex_numbers(num_sentences):
    """Su et al. 2021, section 3.2: dimensions in pairs as complex numbers times exp(i p theta)."""
    heads, positions = random(num_sentences, 7, HEADS, DIM), torch.tensor([0, 1, 2, 5, 13, 89, 1009])
    rotated = rotate(heads, positions)
    assert torch.equal(rotate(heads[0], positions), rotated[0])  # packed rows have no dimension of sentences
    pairs, turned = (torch.view_as_complex(part.unflatten(-1, (-1, 2)).contiguous()) for part in (heads, rotated))
    for b, t, h, i in itertools.product(range(num_sentences), range(7), range(HEADS), range(DIM // 2)):
        expected = pairs[b, t, h, i].item() * cmath.exp(1j * positions[t].item() / 10_000 ** (2 * i / DIM))
        assert turned[b, t, h, i].item() == pytest.approx(expected, abs=1e-4)


def test_products_of_rotated_vectors_depend_on_the_distance():
    query, key = random(1, 1, DIM), random(1, 1, DIM)[..., torch.randperm(DIM)]

    def product(i, j):
        return (rotate(query, torch.tensor([i])) * rotate(key, torch.tensor([j]))).sum().item()

    assert product(3, 1) == pytest.approx(product(11, 9), abs=1e-5)
    assert product(3, 1) != pytest.approx(product(3, 2), abs=1e-3)
    assert product(0, 0) == pytest.approx((query * key).sum().item())


@pytest.mark.parametrize(
    ("heads", "slopes"),
    [
        (1, [2**-8]),
        (8, [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256]),
        (3, [2**-4, 2**-8, 2**-2]),
        (6, [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3]),
    ],
)
def test_slopes_of_alibi(heads, slopes):
    """Press et al. 2022, section 3, and their code for other numbers of heads."""
    bias = LinearBias(heads)
    torch.testing.assert_close(bias.slopes, torch.tensor(slopes))
    queries, keys = torch.tensor([[4], [2]]), torch.arange(7)[None]
    for h in range(heads):
        for row, i in zip(bias(queries, keys)[h].tolist(), (4, 2), strict=True):
            assert row == pytest.approx([-slopes[h] * abs(i - j) for j in range(7)])


def bucket(offset, causal, num_buckets, max_distance):
    """Raffel et al. 2020, section 2.1, as their code has it; logarithms of whole powers are exact here."""
    side, result = num_buckets, 0
    distance = max(-offset, 0)
    if not causal:
        side //= 2
        result = side if offset > 0 else 0
        distance = abs(offset)
    exact = side // 2
    if distance < exact:
        return result + distance
    grown = math.log(distance / exact) / math.log(max_distance / exact) * (side - exact)
    return result + min(exact + math.floor(grown + 1e-9), side - 1)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("num_buckets", "max_distance"), [(32, 128), (12, 50)])
def test_buckets(causal, num_buckets, max_distance):
    bias = BucketBias(HEADS, causal=causal, num_buckets=num_buckets, max_distance=max_distance)
    offsets = list(range(-300, 301))
    expected = [bucket(offset, causal, num_buckets, max_distance) for offset in offsets]
    assert bias.buckets(torch.tensor(offsets)).tolist() == expected
    assert len(set(expected)) == num_buckets - (not causal)  # no key is at a distance of 0 after the query
    assert not bias.weight.any()
    torch.nn.init.normal_(bias.weight)
    found = bias(torch.tensor([[5], [0]]), torch.arange(11)[None])
    for h in range(HEADS):
        for row, i in zip(found[h], (5, 0), strict=True):
            assert row.tolist() == [bias.weight[bucket(j - i, causal, num_buckets, max_distance), h].item() for j in range(11)]
