"""Muon against torch's own, the singular value decomposition, and Adam."""

import copy
import math

import pytest
import torch
from torch import nn

from nmt.config import AdamConfig, MuonConfig
from nmt.models import build_model
from nmt.training.muon import orthogonal, squares
from nmt.training.optim import build_optimizer

CONFIG = MuonConfig(learning_rate=0.01, momentum=0.9)


@pytest.mark.parametrize("shape", [(3, 5, 13), (2, 13, 5), (1, 7, 7)])
def test_singular_vectors_stay_and_singular_values_come_near_1(shape):
    torch.manual_seed(1)
    matrices = torch.randn(*shape, dtype=torch.float64)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    inner = u.mT @ orthogonal(matrices) @ v.mT
    values = inner.diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(inner, torch.diag_embed(values))
    assert values.min() > 0.5
    assert values.max() < 1.3
    assert not orthogonal(torch.zeros(shape)).any()


@pytest.mark.parametrize("shape", [(5, 13), (13, 5)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_matrices_follow_torch_s_muon(shape, weight_decay):
    torch.manual_seed(2)
    layer = nn.Linear(*shape[::-1], bias=False)
    theirs = copy.deepcopy(layer)
    ours = build_optimizer(layer, MuonConfig(learning_rate=0.01, momentum=0.9, weight_decay=weight_decay))
    reference = torch.optim.Muon(
        theirs.parameters(), lr=0.01, momentum=0.9, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    before = layer.weight.detach().clone()
    for _ in range(3):
        gradient = torch.randn(shape)
        for each, optimizer in ((layer, ours), (theirs, reference)):
            each.weight.grad = gradient.clone()
            optimizer.step()
            optimizer.zero_grad()
    difference = (layer.weight - theirs.weight).abs().max()
    assert difference < 0.03 * (theirs.weight - before).abs().max()  # theirs multiplies in bf16


def test_a_stack_of_squares_is_taken_apart():
    assert [part.shape for part in squares(torch.zeros(15, 5))] == [(5, 5)] * 3
    assert [part.shape for part in squares(torch.zeros(14, 5))] == [(14, 5)]
    assert [part.shape for part in squares(torch.zeros(5, 15))] == [(5, 15)]
    torch.manual_seed(3)
    stack, parts = nn.Linear(5, 10, bias=False), [nn.Linear(5, 5, bias=False) for _ in range(2)]
    gradient = torch.randn(10, 5)
    with torch.no_grad():
        for part, piece in zip(parts, stack.weight.chunk(2), strict=True):
            part.weight.copy_(piece)
    stack.weight.grad = gradient.clone()
    build_optimizer(stack, CONFIG).step()
    for part, piece in zip(parts, gradient.chunk(2), strict=True):
        part.weight.grad = piece.clone()
        build_optimizer(part, CONFIG).step()
    torch.testing.assert_close(stack.weight, torch.cat([part.weight for part in parts]))


def test_embeddings_biases_and_the_output_layer_follow_adam(family_config):
    results = {}
    for kind in (MuonConfig, AdamConfig):
        torch.manual_seed(4)
        model = build_model(family_config, (37, 37))
        optimizer = build_optimizer(model, kind(learning_rate=0.01))
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
        results[kind] = {name: parameter.detach() for name, parameter in model.named_parameters()}
    muon, adam = results.values()
    same = {name for name in muon if torch.equal(muon[name], adam[name])}
    assert same == {name for name in muon if "embeddings" in name or muon[name].ndim == 1}


def test_an_update_is_as_large_as_adam_s():
    torch.manual_seed(5)
    layer = nn.Linear(67, 101, bias=False)
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.randn(101, 67)
    build_optimizer(layer, CONFIG).step()
    size = (layer.weight.detach() - before).square().mean().sqrt() / CONFIG.learning_rate
    assert math.isclose(size, 0.2, rel_tol=0.3)  # Adam's is 0.2 to 0.4 in training (Liu et al. 2025)
