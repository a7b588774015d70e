import math

import pytest
import torch
from torch import nn

from nmt.config import OptimConfig, OptimKind, ScheduleConfig, ScheduleKind
from nmt.errors import ConfigError
from nmt.training.optim import build_optimizer, build_schedule


def test_inverse_sqrt_is_the_formula_of_vaswani():
    warmup, width = 37, 512
    factor = build_schedule(ScheduleConfig(kind=ScheduleKind.inverse_sqrt, warmup_steps=warmup), None)
    peak = width**-0.5 * warmup**-0.5
    for step in range(200):
        formula = width**-0.5 * min((step + 1) ** -0.5, (step + 1) * warmup**-1.5)
        assert math.isclose(peak * factor(step), formula)


def test_warmup_stable_decay_has_three_parts():
    factor = build_schedule(ScheduleConfig(kind=ScheduleKind.warmup_stable_decay, warmup_steps=4, decay_steps=5), 20)
    assert [factor(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert {factor(step) for step in range(4, 16)} == {1.0}
    assert [round(factor(step), 9) for step in range(16, 21)] == [0.8, 0.6, 0.4, 0.2, 0.0]


def test_constant_after_warmup():
    factor = build_schedule(ScheduleConfig(kind=ScheduleKind.constant, warmup_steps=2), None)
    assert [factor(step) for step in (0, 1, 2, 1000)] == [0.5, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("max_steps", [None, 5])
def test_a_decay_without_room_is_refused(max_steps):
    with pytest.raises(ConfigError, match=r"schedule\.decay_steps"):
        build_schedule(ScheduleConfig(kind=ScheduleKind.warmup_stable_decay, decay_steps=7), max_steps)


def test_weight_decay_leaves_vectors_alone():
    layer = nn.Linear(3, 5)
    before = [p.detach().clone() for p in layer.parameters()]
    optimizer = build_optimizer(layer, OptimConfig(kind=OptimKind.adamw, learning_rate=0.5, weight_decay=0.1))
    for p in layer.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    torch.testing.assert_close(layer.weight, before[0] * (1 - 0.5 * 0.1))
    torch.testing.assert_close(layer.bias, before[1])


def test_adam_is_the_paper():
    torch.manual_seed(0)
    layer = nn.Linear(3, 2, bias=False)
    config = OptimConfig(learning_rate=0.01, beta1=0.7, beta2=0.8, eps=1e-3)
    optimizer = build_optimizer(layer, config)
    weight = layer.weight.detach().double().clone()
    m, v = torch.zeros_like(weight), torch.zeros_like(weight)
    for t in range(1, 4):
        gradient = torch.randn(2, 3)
        layer.weight.grad = gradient.clone()
        optimizer.step()
        m = 0.7 * m + 0.3 * gradient
        v = 0.8 * v + 0.2 * gradient.double() ** 2
        weight -= 0.01 * (m / (1 - 0.7**t)) / ((v / (1 - 0.8**t)).sqrt() + 1e-3)
    torch.testing.assert_close(layer.weight.detach().double(), weight, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("kind", "reference"), [(OptimKind.adam, torch.optim.Adam), (OptimKind.adamw, torch.optim.AdamW)])
def test_without_the_compiler_the_optimiser_is_torch_s_to_the_bit(kind, reference):
    config = OptimConfig(kind=kind, learning_rate=0.01, weight_decay=0.1)
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
