"""Schedules against the formulas of their papers and torch's own."""

import math

import pytest
import torch

from nmt.config import AnnealingConfig, ExponentialConfig, PlateauConfig, ScheduleConfig, ScheduleKind, StableDecayConfig
from nmt.errors import ConfigError
from nmt.training.schedule import build_schedule, decay_begin


def test_inverse_sqrt_is_the_formula_of_vaswani():
    warmup, width = 37, 512
    factor = build_schedule(ScheduleConfig(kind=ScheduleKind.inverse_sqrt, warmup_steps=warmup), None)
    peak = width**-0.5 * warmup**-0.5
    for step in range(200):
        formula = width**-0.5 * min((step + 1) ** -0.5, (step + 1) * warmup**-1.5)
        assert math.isclose(peak * factor(step), formula)


def test_warmup_stable_decay_has_three_parts():
    factor = build_schedule(StableDecayConfig(warmup_steps=4, decay_steps=5), 20)
    assert [factor(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert {factor(step) for step in range(4, 16)} == {1.0}
    assert [round(factor(step), 9) for step in range(16, 21)] == [0.8, 0.6, 0.4, 0.2, 0.0]


def test_constant_after_warmup():
    factor = build_schedule(ScheduleConfig(kind=ScheduleKind.constant, warmup_steps=2), None)
    assert [factor(step) for step in (0, 1, 2, 1000)] == [0.5, 1.0, 1.0, 1.0]


def rates(kind, steps, **settings):
    """The learning rates of one of torch's schedulers, from a peak of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = kind(optimizer, **settings)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("final", [0.0, 0.1])
@pytest.mark.parametrize("warmup", [0, 7])
def test_annealing_is_torch_s_after_the_warmup(warmup, final):
    length = 23 - warmup
    cosine = build_schedule(AnnealingConfig(warmup_steps=warmup, final_factor=final), 23)
    theirs = rates(torch.optim.lr_scheduler.CosineAnnealingLR, length + 1, T_max=length, eta_min=final)
    assert [cosine(step) for step in range(warmup, 24)] == pytest.approx(theirs)
    linear = build_schedule(AnnealingConfig(kind=ScheduleKind.linear, warmup_steps=warmup, final_factor=final), 23)
    theirs = rates(torch.optim.lr_scheduler.LinearLR, length + 1, start_factor=1.0, end_factor=final, total_iters=length)
    assert [linear(step) for step in range(warmup, 24)] == pytest.approx(theirs)
    for factor in (cosine, linear):
        assert [factor(step) for step in range(warmup)] == pytest.approx([(step + 1) / warmup for step in range(warmup)])
        assert factor(30) == final


def test_exponential_is_luong_s():
    """Epochs of 5 updates: the learning rate is halved every epoch after 8."""
    factor = build_schedule(ExponentialConfig(warmup_steps=0, rate=0.5, start=8 * 5, every=5), None)
    assert [factor(epoch * 5 + update) for epoch in range(8) for update in range(5)] == [1.0] * 40
    assert [factor(epoch * 5 + update) for epoch in range(8, 12) for update in range(5)] == [
        value for value in (0.5, 0.25, 0.125, 0.0625) for _ in range(5)
    ]


def test_exponential_of_every_update_is_torch_s():
    factor = build_schedule(ExponentialConfig(warmup_steps=0, rate=0.9, start=1, every=1), None)
    assert [factor(step) for step in range(13)] == pytest.approx(rates(torch.optim.lr_scheduler.ExponentialLR, 13, gamma=0.9))
    floored = build_schedule(ExponentialConfig(warmup_steps=0, rate=0.9, start=1, every=1, final_factor=0.5), None)
    assert [floored(step) for step in range(13)] == [max(0.5, factor(step)) for step in range(13)]


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_plateau_is_torch_s(patience):
    torch.manual_seed(patience)
    scores = torch.randn(60).tolist()
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=0.5, patience=patience - 1, threshold=0.0, min_lr=0.01, eps=0.0
    )
    ours = build_schedule(PlateauConfig(warmup_steps=3, rate=0.5, patience=patience, final_factor=0.01), None)
    assert [ours(step) for step in range(3)] == pytest.approx([1 / 3, 2 / 3, 1])
    best, since = -math.inf, 0
    for score in scores:
        best, since = (score, 0) if score > best else (best, since + 1)
        ours.observe(since)
        theirs.step(score)
        assert ours(100) == optimizer.param_groups[0]["lr"]
    assert ours(100) < 1


@pytest.mark.parametrize("max_steps", [None, 5])
def test_a_decay_without_room_is_refused(max_steps):
    with pytest.raises(ConfigError, match=r"schedule\.decay_steps"):
        build_schedule(StableDecayConfig(decay_steps=7), max_steps)
    for kind in (ScheduleKind.cosine, ScheduleKind.linear):
        with pytest.raises(ConfigError, match=rf"`schedule.kind={kind.name}` needs `train.max_steps` above .* {max_steps} and 5"):
            build_schedule(AnnealingConfig(kind=kind, warmup_steps=5), max_steps)


@pytest.mark.parametrize("schedule", [StableDecayConfig(warmup_steps=2, decay_steps=5), AnnealingConfig(warmup_steps=3)], ids=str)
def test_until_the_decay_begins_its_end_does_not_matter(schedule):
    begin = decay_begin(schedule, 11)
    one, other = build_schedule(schedule, 11), build_schedule(schedule, 17)
    assert [one(step) for step in range(begin)] == [other(step) for step in range(begin)]
    assert one(begin + 1) != other(begin + 1)
    assert decay_begin(ScheduleConfig(), 11) is None
