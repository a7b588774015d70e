"""Windows and strides: what they allow, by loops, and blocks of them against plain products under a mask."""

import itertools

import pytest
import torch

from nmt.attention.blocks import attend_in_blocks, num_columns
from nmt.attention.distributions import SOFTMAX, Entmax, SinkSoftmax, Softmax
from nmt.attention.plain import Form, attention_mask, attention_weights, plain_context, position_bias
from nmt.attention.positions import BucketBias, LinearBias
from nmt.attention.scopes import Strided, Window
from nmt.layout import Layout

HEADS, DIM = 3, 5


def in_window(i, j, causal, reach, sinks, everywhere):
    """Child et al. 2019, Beltagy et al. 2020 and Xiao et al. 2024 in one."""
    if causal and j > i:
        return False
    return abs(i - j) <= reach or j < max(sinks, everywhere) or i < everywhere


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("reach", "sinks", "everywhere"), [(2, 0, 0), (1, 3, 0), (2, 0, 2), (0, 1, 2)])
def test_what_a_window_allows(causal, reach, sinks, everywhere):
    scope, positions = Window(causal, reach, sinks, everywhere), torch.arange(11)
    allowed = scope.allows(positions[:, None], positions[None])
    for i, j in itertools.product(range(11), range(11)):
        assert allowed[i, j].item() == in_window(i, j, causal, reach, sinks, everywhere)


@pytest.mark.parametrize("causal", [False, True])
def test_what_strides_allow(causal):
    """Child et al. 2019, section 4.2: {t, t + 1, ..., i} for t = i - l, and {j: (i - j) mod l = 0}."""
    positions = torch.arange(17)
    allowed = Strided(causal, 5).allows(positions[:, None], positions[None])
    for i in range(17):
        expected = {*range(i - 5, i + 1), *(j for j in range(17) if (i - j) % 5 == 0)}
        expected = {j for j in expected if 0 <= j <= i} if causal else expected | set(range(i, i + 6))
        assert allowed[i].nonzero().flatten().tolist() == sorted(j for j in expected if 0 <= j < 17)


def random(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


SCOPES = [
    *(Window(causal, reach) for causal in (False, True) for reach in (1, 2, 5)),
    *(Window(causal, 3, num_sinks=4) for causal in (False, True)),
    *(Window(causal, 2, num_global=3) for causal in (False, True)),
    Window(False, 2, num_sinks=4, num_global=1),
    *(Strided(causal, stride) for causal in (False, True) for stride in (2, 3, 7)),
]
FORMS = {
    "softmax": lambda causal: (SOFTMAX, None),
    "sink": lambda causal: (SinkSoftmax(HEADS, learned=True), LinearBias(HEADS)),
    "entmax15": lambda causal: (Entmax(HEADS, alpha=1.5), BucketBias(HEADS, causal=causal)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lengths", [[13, 4, 1], [1], [6, 6], [29, 17]], ids=str)
@pytest.mark.parametrize("scope", SCOPES, ids=str)
def test_blocks_are_plain_products_under_a_mask(scope, lengths, form):
    """Values and gradients, whatever the lengths are to the blocks."""
    torch.manual_seed(1)
    distribution, bias = FORMS[form](scope.causal)
    modules = [module.double() for module in (distribution, bias) if module is not None]
    parameters = [parameter for module in modules for parameter in module.parameters()]
    for parameter in parameters:
        torch.nn.init.normal_(parameter)
    layout = Layout.of(lengths)
    inputs = [random(len(lengths), HEADS, layout.max_length, DIM, seed=seed) for seed in range(3)]

    def plain(queries, keys, values):
        added = position_bias(bias, layout.max_length, queries.device)
        weights = attention_weights(queries, keys, attention_mask(layout, layout, scope), distribution, added)
        return plain_context(weights, values)

    found = attend_in_blocks(*inputs, layout.mask, Form(scope, distribution, bias))
    assert found.isfinite().all()
    found, expected = (layout.real(context.transpose(1, 2)) for context in (found, plain(*inputs)))
    torch.testing.assert_close(found, expected)
    towards = random(*expected.shape, seed=5)
    ours, theirs = (torch.autograd.grad(rows, [*inputs, *parameters], towards) for rows in (found, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_how_many_scores_there_are():
    seen = []

    class Watch(Softmax):
        def forward(self, scores, mask):
            seen.append(scores.shape[-1])
            return scores.masked_fill(~mask, -torch.inf).softmax(-1)

    for scope in SCOPES:
        rows = random(1, HEADS, 42, DIM, seed=1)
        attend_in_blocks(rows, rows, rows, torch.ones(1, 42, dtype=torch.bool), Form(scope, Watch()))
        assert seen[0] == num_columns(scope, 42), scope
        seen.clear()


def test_dropout_acts_on_weights():
    torch.manual_seed(1)
    rows, ones = random(1, HEADS, 400, DIM, seed=1), torch.ones(1, HEADS, 400, DIM, dtype=torch.float64)
    context = attend_in_blocks(rows, rows, ones, torch.ones(1, 400, dtype=torch.bool), Form(Window(True, 5)), 0.5)
    assert context.mean().item() == pytest.approx(1, abs=0.05)
    assert context.std() > 0.2
