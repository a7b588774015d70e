"""Optimisers against plain loops of their papers' equations, and what a gradient that is not finite does to each."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from nmt.config import (
    VARIANTS,
    AdadeltaConfig,
    AdafactorConfig,
    AdagradConfig,
    AdamConfig,
    OptimConfig,
    OptimKind,
    SgdConfig,
)
from nmt.training.optim import build_optimizer

KINDS = {kind.name: config(kind=kind, learning_rate=0.01) for kind, config in VARIANTS[OptimConfig].items()}
KINDS["sgd with momentum"] = SgdConfig(learning_rate=0.01, momentum=0.7)
KINDS["sgd with Nesterov's"] = SgdConfig(learning_rate=0.01, momentum=0.7, nesterov=True)


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def optim(request):
    """Each optimiser in turn."""
    return request.param


DECOUPLED = (OptimKind.adamw, OptimKind.radam, OptimKind.adafactor, OptimKind.muon)


def test_weight_decay_leaves_vectors_alone(optim):
    """With a gradient of zero, a matrix shrinks by lr * decay where the decay is decoupled, and a vector never changes."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 5)
    before = [p.detach().clone() for p in layer.parameters()]
    optimizer = build_optimizer(layer, replace(optim, learning_rate=0.5, weight_decay=0.1))
    for p in layer.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    if optim.kind in DECOUPLED:
        torch.testing.assert_close(layer.weight, before[0] * (1 - 0.5 * 0.1))
    else:
        assert ((layer.weight - before[0]) * before[0] < 0).all()
    assert torch.equal(layer.bias, before[1])


def follow(config, equations, shape=(3, 2)):
    """Compare five updates with ``equations``: a function that gives the change of a weight from its gradient, in float64."""
    torch.manual_seed(0)
    layer = nn.Linear(*shape, bias=False)
    optimizer = build_optimizer(layer, config)
    weight = layer.weight.detach().double().clone()
    for t in range(1, 9):
        gradient = torch.randn(*shape[::-1])
        layer.weight.grad = gradient.clone()
        optimizer.step()
        weight = weight + equations(t, weight, gradient.double())
    torch.testing.assert_close(layer.weight.detach().double(), weight, atol=1e-6, rtol=1e-5)


def test_adam_is_the_paper():
    m = v = 0.0

    def equations(t, weight, g):
        nonlocal m, v
        m = 0.7 * m + 0.3 * g
        v = 0.8 * v + 0.2 * g**2
        return -0.01 * (m / (1 - 0.7**t)) / ((v / (1 - 0.8**t)).sqrt() + 1e-3)

    follow(AdamConfig(learning_rate=0.01, beta1=0.7, beta2=0.8, eps=1e-3), equations)


def test_radam_is_the_paper():
    """Algorithm 2; with this beta the average is long enough from the sixth update on, so that both cases occur."""
    m = v = 0.0
    cases = set()

    def equations(t, weight, g):
        nonlocal m, v
        m = 0.7 * m + 0.3 * g
        v = 0.95 * v + 0.05 * g**2
        longest = 2 / (1 - 0.95) - 1
        length = longest - 2 * t * 0.95**t / (1 - 0.95**t)
        cases.add(length > 5)
        update = m / (1 - 0.7**t)
        if length > 5:
            rectification = math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
            update = rectification * update * math.sqrt(1 - 0.95**t) / v.sqrt()
        return -0.01 * (update + 0.2 * weight)

    follow(AdamConfig(kind=OptimKind.radam, learning_rate=0.01, beta1=0.7, beta2=0.95, weight_decay=0.2), equations)
    assert cases == {True, False}


def test_adagrad_is_the_paper():
    total = 0.0

    def equations(t, weight, g):
        nonlocal total
        g = g + 0.2 * weight
        total = total + g**2
        return -0.1 * g / (total.sqrt() + 1e-3)

    follow(AdagradConfig(learning_rate=0.1, eps=1e-3, weight_decay=0.2), equations)


def test_adadelta_is_the_paper():
    squares = updates = 0.0

    def equations(t, weight, g):
        nonlocal squares, updates
        squares = 0.8 * squares + 0.2 * g**2
        update = -((updates + 1e-3) ** 0.5) / (squares + 1e-3).sqrt() * g
        updates = 0.8 * updates + 0.2 * update**2
        return update

    follow(AdadeltaConfig(rho=0.8, eps=1e-3), equations)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_sums_gradients(nesterov):
    v = 0.0

    def equations(t, weight, g):
        nonlocal v
        v = 0.7 * v + g
        return -0.1 * (g + 0.7 * v if nesterov else v)

    follow(SgdConfig(learning_rate=0.1, momentum=0.7, nesterov=nesterov), equations)


def test_sgd_is_the_gradient_times_the_rate():
    follow(SgdConfig(learning_rate=0.3), lambda t, weight, g: -0.3 * g)


@pytest.mark.parametrize("rate", [0.02, 0.6], ids=["by the learning rate", "by 1 / sqrt(t)"])
@pytest.mark.parametrize("shape", [(7, 5), (7, 1)], ids=str)
def test_adafactor_is_the_paper(rate, shape):
    """Algorithm 4 without its first epsilon; the learning rate bounds the relative step, whatever the parameter's size."""
    rows = columns = 0.0

    def rms(values):
        return values.square().mean().sqrt()

    def equations(t, weight, g):
        nonlocal rows, columns
        decay = 1 - t**-0.5
        rows = decay * rows + (1 - decay) * g.square().sum(1, keepdim=True)
        columns = decay * columns + (1 - decay) * g.square().sum(0, keepdim=True)
        update = g / (rows * columns / rows.sum()).sqrt()
        update = update / max(1.0, rms(update) / 1.1)
        change = max(1e-3, rms(weight)) * min(rate, t**-0.5) * update
        return -change - rate * 0.1 * weight

    follow(AdafactorConfig(learning_rate=rate, beta2_decay=-0.5, max_update=1.1, weight_decay=0.1), equations, shape)


@pytest.mark.promise(5)
@pytest.mark.parametrize("bad", [{0}, {1}, {0, 1, 3}], ids=str)
@pytest.mark.parametrize("poison", [math.nan, math.inf], ids=str)
def test_a_gradient_that_is_not_finite_changes_nothing(optim, bad, poison):
    """Then and later: the same as if those updates had not been tried, to the bit."""
    results = []
    for skipped in (set(), bad):
        torch.manual_seed(1)
        layer = nn.Linear(7, 5)
        optimizer = build_optimizer(layer, replace(optim, weight_decay=0.1))
        for update in range(5):
            gradients = [torch.randn_like(p) for p in layer.parameters()]
            if update in bad and not skipped:
                continue
            for p, gradient in zip(layer.parameters(), gradients, strict=True):
                p.grad = gradient
            before = copy.deepcopy((layer.state_dict(), optimizer.state_dict()["state"]))
            if update in skipped:
                layer.weight.grad[2, 3] = poison
            optimizer.found_inf = torch.tensor(float(update in skipped))
            optimizer.step()
            if update in skipped:
                weights, state = before
                assert all(torch.equal(value, weights[name]) for name, value in layer.state_dict().items())
                after = optimizer.state_dict()["state"]
                assert all(torch.equal(value, after[i][name]) for i, values in state.items() for name, value in values.items())
        results.append((layer.state_dict(), optimizer.state_dict()["state"]))
    (weights, state), (others, other_state) = results
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
    assert repr(state) == repr(other_state)


def test_a_restored_optimiser_goes_on_as_it_was(optim):
    def train(restore):
        torch.manual_seed(7)
        layer = nn.Linear(7, 5)
        optimizer = build_optimizer(layer, optim)
        for _ in range(3):
            for p in layer.parameters():
                p.grad = torch.randn_like(p)
            optimizer.step()
            if restore:
                state = optimizer.state_dict()
                optimizer = build_optimizer(layer, optim)
                optimizer.load_state_dict(state)
        return layer.state_dict()

    straight, restored = train(False), train(True)
    assert all(torch.equal(value, straight[name]) for name, value in restored.items())


@pytest.mark.parametrize(("kind", "reference"), [(OptimKind.adam, torch.optim.Adam), (OptimKind.adamw, torch.optim.AdamW)])
def test_without_the_compiler_the_optimiser_is_torch_s_to_the_bit(kind, reference):
    config = AdamConfig(kind=kind, learning_rate=0.01, weight_decay=0.1)
    results = []
    for ours in (True, False):
        torch.manual_seed(0)
        layer = nn.Linear(7, 5)
        optimizer = build_optimizer(layer, config)
        if not ours:
            groups = [{"params": [layer.weight], "weight_decay": 0.1}, {"params": [layer.bias], "weight_decay": 0.0}]
            optimizer = reference(groups, lr=0.01, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)
        for step in range(5):
            layer(torch.randn(3, 7)).square().sum().backward()
            optimizer.found_inf = torch.tensor(float(step == 2))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            optimizer.load_state_dict(optimizer.state_dict())
        results.append(([p.detach().clone() for p in layer.parameters()], optimizer.state_dict()))
    (weights, state), (expected_weights, expected_state) = results
    assert all(map(torch.equal, weights, expected_weights))
    assert repr(state) == repr(expected_state)
