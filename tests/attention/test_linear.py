"""Linear attention against a plain loop of its equation, and its steps."""

import math

import pytest
import torch

from nmt.attention.capture import capture
from nmt.attention.linear import LinearSelfAttention, attend_linear, linear_weights
from nmt.attention.scopes import Scope
from nmt.layout import Layout

B, HEADS, DIM = 2, 3, 5
LENGTHS = [11, 4]


def random(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def feature(x):
    return x + 1 if x > 0 else math.exp(x)


def by_loop(queries, keys, values, length, causal):
    """Katharopoulos et al. 2020, eq. 7 and 8, of one sentence and head: contexts and weights."""
    contexts, weights = [], []
    for t, query in enumerate(queries.tolist()):
        seen = range(min(t + 1, length) if causal else length)
        similar = [sum(feature(a) * feature(b) for a, b in zip(query, keys[s].tolist(), strict=True)) for s in seen]
        weights.append([x / sum(similar) for x in similar] + [0.0] * (len(keys) - len(similar)))
        contexts.append(sum(w * values[s] for w, s in zip(weights[-1], seen, strict=False)))
    return torch.stack(contexts), torch.tensor(weights, dtype=torch.float64)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 11, 64])
@torch.no_grad()
def test_it_is_its_equation(causal, chunk):
    layout = Layout.of(LENGTHS)
    queries, keys, values = (random(B, HEADS, 11, DIM, seed=seed) for seed in range(3))
    found = attend_linear(queries, keys, values, layout.mask, causal=causal, chunk=chunk)
    mask = layout.mask[:, None, None]
    if causal:
        mask = mask & torch.ones(11, 11, dtype=torch.bool).tril()
    weights = linear_weights(queries, keys, mask)
    for b, length in enumerate(LENGTHS):
        for h in range(HEADS):
            contexts, expected = by_loop(queries[b, h], keys[b, h], values[b, h], length, causal)
            torch.testing.assert_close(found[b, h], contexts)
            torch.testing.assert_close(weights[b, h], expected)


@pytest.mark.parametrize("causal", [False, True])
def test_gradients(causal):
    mask = Layout.of(LENGTHS).mask
    inputs = tuple(random(B, 1, 11, 2, seed=seed) for seed in range(3))
    assert torch.autograd.gradcheck(lambda *parts: attend_linear(*parts, mask, causal=causal, chunk=4), inputs)


@torch.no_grad()
def test_steps_keep_a_state_of_one_size():
    torch.manual_seed(1)
    attention = LinearSelfAttention(12, 3, 0.0, scope=Scope(True), num_kv_heads=1).double()
    layout = Layout.of([150, 150])
    states = random(2, 150, 12, seed=1)
    with capture({"self": attention}) as records:
        expected = attention(states, layout)
    torch.testing.assert_close(attention(states, layout), expected)
    torch.testing.assert_close(records[0].weights.sum(-1), torch.ones(2, 3, 150, dtype=torch.float64))
    past = attention.init_past(2, 1, like=states)
    for t in range(150):
        torch.testing.assert_close(attention.step(states[:, t], past), expected[:, t])
        assert past.sums.shape == (2, 3, 4, 5)
