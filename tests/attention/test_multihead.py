"""Multi-head attention against torch's own with copied weights, what it records, and its steps."""

import pytest
import torch
from entmax import entmax15

from nmt.attention.capture import capture
from nmt.attention.distributions import Entmax
from nmt.attention.multihead import CrossAttention, KeyValueCache, SelfAttention
from nmt.attention.scopes import CAUSAL, Scope
from nmt.layout import Layout

MODEL_DIM, HEADS = 15, 3
LENGTHS, MEMORY_LENGTHS = [4, 7, 1], [5, 2, 3]


def random(layout, seed):
    generator = torch.Generator().manual_seed(seed)
    return layout.pad_packed(torch.randn(layout.num_tokens, MODEL_DIM, generator=generator, dtype=torch.float64))


def with_random_biases(module):
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return module.double()


@pytest.fixture(params=[False, True], ids=["full", "causal"])
def self_attention(request):
    torch.manual_seed(1)
    return with_random_biases(SelfAttention(MODEL_DIM, HEADS, 0.0, scope=Scope(request.param)))


@pytest.fixture
def cross_attention():
    torch.manual_seed(1)
    return with_random_biases(CrossAttention(MODEL_DIM, HEADS, 0.0))


def torch_attention(in_weight, in_bias, output):
    """torch.nn.MultiheadAttention with these weights."""
    theirs = torch.nn.MultiheadAttention(MODEL_DIM, HEADS, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(in_weight)
        theirs.in_proj_bias.copy_(in_bias)
        theirs.out_proj.weight.copy_(output.weight)
        theirs.out_proj.bias.copy_(output.bias)
    return theirs


def test_self_attention_is_that_of_torch(self_attention):
    layout = Layout.of(LENGTHS)
    states = random(layout, 2)
    theirs = torch_attention(self_attention.query_key_value.weight, self_attention.query_key_value.bias, self_attention.output)
    behind = torch.ones(7, 7, dtype=torch.bool).triu(1) if self_attention.scope.causal else None
    expected, weights = theirs(
        states, states, states, key_padding_mask=~layout.mask, attn_mask=behind, average_attn_weights=False
    )
    with capture({"self": self_attention}) as records:
        watched = self_attention(states, layout)
    for output in (self_attention(states, layout), watched):
        torch.testing.assert_close(layout.real(output), layout.real(expected))
    torch.testing.assert_close(records[0].weights.transpose(1, 2)[layout.mask], weights.transpose(1, 2)[layout.mask])


def test_cross_attention_is_that_of_torch(cross_attention):
    layout, memory_layout = Layout.of(LENGTHS), Layout.of(MEMORY_LENGTHS)
    states, memory = random(layout, 2), random(memory_layout, 3)
    query, key_value = cross_attention.query, cross_attention.key_value
    in_weight, in_bias = torch.cat([query.weight, key_value.weight]), torch.cat([query.bias, key_value.bias])
    theirs = torch_attention(in_weight, in_bias, cross_attention.output)
    expected, _ = theirs(states, memory, memory, key_padding_mask=~memory_layout.mask)
    output = cross_attention(states, layout, *cross_attention.project(memory), memory_layout)
    torch.testing.assert_close(layout.real(output), layout.real(expected))


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_recorded_makes_the_output(cross_attention, packed):
    """The sum over heads of weights, values and output weight is the output without its bias, in both layouts."""
    layout, memory_layout = Layout.of(LENGTHS, packed=packed), Layout.of(MEMORY_LENGTHS, packed=packed)
    states, memory = layout.unpad(random(layout, 2)), memory_layout.unpad(random(memory_layout, 3))
    with capture({"cross": cross_attention}) as records:
        output = cross_attention(states, layout, *cross_attention.project(memory), memory_layout)
    (record,) = records
    assert record.weights.shape == (3, HEADS, 7, 5)
    assert record.values.shape == (3, HEADS, 5, MODEL_DIM // HEADS)
    assert record.output_weight.shape == (HEADS, MODEL_DIM // HEADS, MODEL_DIM)
    rebuilt = torch.einsum("bhts,bhsd,hdm->btm", record.weights, record.values, record.output_weight)
    torch.testing.assert_close(rebuilt[layout.mask] + cross_attention.output.bias, layout.real(output))


def test_steps_of_self_attention_are_its_rows_also_when_the_cache_grows():
    torch.manual_seed(1)
    attention = with_random_biases(SelfAttention(MODEL_DIM, HEADS, 0.0, scope=CAUSAL))
    layout = Layout.of([7, 7])
    states = random(layout, 2)
    expected = attention(states, layout)
    cache = attention.init_past(2, 1, like=states, capacity=2)
    capacities = []
    for t in range(7):
        torch.testing.assert_close(attention.step(states[:, t], cache), expected[:, t])
        assert cache.keys.shape[3] == cache.values.shape[2]
        capacities.append(cache.keys.shape[3])
    assert capacities == [2, 2, 4, 4, 8, 8, 8]


def test_a_selected_cache_is_its_own():
    cache = KeyValueCache(torch.zeros(2, 1, 1, 3), torch.zeros(2, 1, 3, 1))
    cache.append(torch.tensor([[[1.0]], [[2.0]]]), torch.tensor([[[3.0]], [[4.0]]]))
    selected = cache.select(torch.tensor([1, 1, 0]))
    assert selected.keys[:, 0, 0, 0].tolist() == [2, 2, 1]
    assert selected.values[:, 0, 0, 0].tolist() == [4, 4, 3]
    selected.append(torch.ones(3, 1, 1), torch.ones(3, 1, 1))
    assert (cache.length, selected.length) == (1, 2)
    assert (cache.keys[..., 1] == 0).all()


def test_steps_of_cross_attention_for_a_beam(cross_attention):
    width = 2
    memory_layout = Layout.of(MEMORY_LENGTHS)
    rows = random(Layout.of([width] * 3), 2)  # (B, W, D): the rows of a sentence as if they were its positions
    key, value = cross_attention.project(random(memory_layout, 3))
    with capture({"cross": cross_attention}) as records:
        expected = cross_attention(rows, Layout.of([width] * 3), key, value, memory_layout)
    output, weights = cross_attention.step(rows.flatten(0, 1), KeyValueCache.of(key, value), memory_layout.mask)
    torch.testing.assert_close(output, expected.flatten(0, 1))
    torch.testing.assert_close(weights, records[0].weights)


def test_weights_are_recorded_before_dropout_which_acts_in_training_alone():
    torch.manual_seed(1)
    attention = with_random_biases(CrossAttention(MODEL_DIM, HEADS, 0.5))
    layout, memory_layout = Layout.of(LENGTHS), Layout.of(MEMORY_LENGTHS)
    states, (key, value) = random(layout, 2), attention.project(random(memory_layout, 3))

    def run():
        torch.manual_seed(2)
        return attention(states, layout, key, value, memory_layout)

    with capture({"cross": attention}) as records:
        watched = run()
    assert torch.equal(run(), watched)
    torch.testing.assert_close(records[0].weights.sum(-1), torch.ones(3, HEADS, 7, dtype=torch.float64))
    attention.eval()
    assert not torch.allclose(layout.real(run()), layout.real(watched))


@torch.no_grad()
def test_gains_and_distributions_of_heads():
    torch.manual_seed(1)
    distribution = Entmax(HEADS, alpha=1.5)
    attention = SelfAttention(MODEL_DIM, HEADS, 0.0, gain=0.7, learn_gain=True, distribution=distribution).double()
    attention.learned_gain.copy_(torch.tensor([0.5, 2.0, 3.0]))
    layout = Layout.of([5, 5])
    states = random(layout, 2)
    with capture({"self": attention}) as records:
        attention(states, layout)
    query, key, _ = attention.query_key_value(states).unflatten(-1, (3, HEADS, -1)).unbind(2)
    scores = torch.einsum("bthd,bshd->bhts", query, key) * 0.7 / 5**0.5
    scores = torch.stack([scores[:, head] * (0.5, 2.0, 3.0)[head] for head in range(HEADS)], dim=1)
    torch.testing.assert_close(records[0].weights, entmax15(scores, dim=-1))
    cache, steps = attention.init_past(2, 1, like=states), []
    attention.scope = CAUSAL
    expected = attention(states, layout)
    for t in range(5):
        steps.append(attention.step(states[:, t], cache))
    torch.testing.assert_close(torch.stack(steps, 1), expected)


@pytest.mark.parametrize("shared", [1, 2, 3, 6])
@pytest.mark.parametrize("causal", [False, True])
def test_shared_keys_and_values_are_copies_of_them(shared, causal):
    """Ainslie et al. 2023: as if every head had its own, those of a group all alike. In forward, record, steps and gradients."""
    heads, dim = 6, 30
    torch.manual_seed(1)
    grouped = with_random_biases(SelfAttention(dim, heads, 0.0, scope=Scope(causal), num_kv_heads=shared))
    full = with_random_biases(SelfAttention(dim, heads, 0.0, scope=Scope(causal)))

    def repeated(rows):
        query, key, value = rows.split([dim, shared * 5, shared * 5])
        copies = [part.unflatten(0, (shared, 5)).repeat_interleave(heads // shared, dim=0).flatten(0, 1) for part in (key, value)]
        return torch.cat([query, *copies])

    full.output = grouped.output
    full.query_key_value = parametrized = torch.nn.Linear(dim, 3 * dim).double()
    with torch.no_grad():
        parametrized.weight.copy_(repeated(grouped.query_key_value.weight))
        parametrized.bias.copy_(repeated(grouped.query_key_value.bias))
    layout = Layout.of(LENGTHS)
    states = layout.pad_packed(torch.randn(layout.num_tokens, dim, dtype=torch.float64))
    with capture({"grouped": grouped, "full": full}) as records:
        watched, expected = grouped(states, layout), full(states, layout)
    torch.testing.assert_close(watched, expected)
    torch.testing.assert_close(grouped(states, layout), expected)
    for found, wanted in ((records[0].weights, records[1].weights), (records[0].values, records[1].values)):
        torch.testing.assert_close(found, wanted)
    grouped(states, layout).square().sum().backward()
    full(states, layout).square().sum().backward()
    grad = parametrized.weight.grad.split(dim)
    summed = [part.unflatten(0, (shared, -1, 5)).sum(1).flatten(0, 1) for part in grad[1:]]
    torch.testing.assert_close(grouped.query_key_value.weight.grad, torch.cat([grad[0], *summed]))
    if causal:
        cache = grouped.init_past(3, 1, like=states, capacity=2)
        assert cache.keys.shape[1] == cache.values.shape[1] == shared
        for t in range(7):
            real = layout.mask[:, t]
            torch.testing.assert_close(grouped.step(states[:, t], cache)[real], expected[real, t])


@pytest.mark.parametrize("packed", [False, True])
@torch.no_grad()
def test_heads_are_left_out_sentence_by_sentence(packed):
    """With no output projection to speak of, each head of a sentence is gone, or twice what it was."""
    torch.manual_seed(1)
    attention = SelfAttention(12, 3, 0.0, head_dropout=0.5).double()
    attention.output.weight.copy_(torch.eye(12))
    attention.output.bias.zero_()
    lengths = [5, 1, 7] * 30
    layout = Layout.of(lengths, packed=packed)
    states = layout.unpad(layout.pad_packed(torch.randn(layout.num_tokens, 12, dtype=torch.float64)))
    dropped = layout.real(attention(states, layout)).unflatten(-1, (3, 4))
    whole = layout.real(attention.eval()(states, layout)).unflatten(-1, (3, 4))
    factors = []
    for left, right in zip(dropped.split(lengths), whole.split(lengths), strict=True):
        for head in range(3):
            factor = (left[:, head] / right[:, head]).unique_consecutive().mean().item()
            torch.testing.assert_close(left[:, head], factor * right[:, head])
            factors.append(round(factor, 6))
    assert set(factors) == {0.0, 2.0}
    assert 0.4 < sum(factors) / 2 / len(factors) < 0.6
