"""Guided alignment: its loss against a plain loop, and models that learn to look where they are told to, however odd that is."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from nmt.alignment.aligner import align
from nmt.alignment.forced import ForcedDecoder
from nmt.commands.assemble import build_updater
from nmt.config import (
    AdamConfig,
    AlignmentConfig,
    BahdanauConfig,
    LinkMethod,
    LossConfig,
    LuongConfig,
    StackConfig,
    TokenizerConfig,
    TokenizerKind,
    TrainConfig,
    TransformerConfig,
)
from nmt.data.batching import make_batch
from nmt.data.prepare import prepare
from nmt.errors import ConfigError
from nmt.models.interface import Seq2Seq
from nmt.training.guided import Guide

CPU = torch.device("cpu")
LINKS = [(0, 0, 2), (0, 0, 0), (0, 3, 1), (1, 1, 1), (1, 2, 0), (1, 2, 1), (1, 2, 3)]


@pytest.mark.parametrize("head", [None, 0, 1])
@pytest.mark.parametrize("shift", [False, True])
def test_the_loss_is_its_equation(head, shift):
    weights = torch.rand(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    guide = Guide("decoder.cross.0", head, shift, 0.05)
    expected = 0.0
    for b, t, s in LINKS:
        count = sum((b, t) == (row, target) for row, target, _ in LINKS)
        values = weights[b, :, t + shift, s].tolist()
        expected -= math.log(sum(values) / 2 if head is None else values[head]) / count
    assert guide.loss_sum(weights, torch.tensor(LINKS)).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda w: guide.loss_sum(w.abs() + 0.1, torch.tensor(LINKS)), weights)


def test_no_links_and_no_weight_are_no_loss():
    guide = Guide("decoder.cross.0", None, False, 0.05)
    assert guide.loss_sum(torch.rand(2, 2, 5, 4), torch.zeros(0, 3, dtype=torch.long)) == 0
    weights = torch.zeros(2, 2, 5, 4, requires_grad=True)
    guide.loss_sum(weights, torch.tensor(LINKS)).backward()
    assert not weights.grad.any()


@pytest.fixture
def misled(run_config, copy_files, tmp_path):
    """The copy task, where each word is said to be that of the source word before its own."""
    lines = (copy_files / "x.de").read_text().splitlines()
    told = [[f"{max(t - 1, 0)}-{t}" for t in range(len(line.split()))] for line in lines]
    (tmp_path / "x.links").write_text("".join(" ".join(links) + "\n" for links in told))

    def make(model, **changes):
        config = run_config(model)
        return replace(config, data=replace(config.data, alignment=str(tmp_path / "x.links")), **changes)

    return make


RECURRENT = {"embedding_dim": 32, "hidden_dim": 48, "embedding_dropout": 0.0, "output_dropout": 0.0}
STACK = StackConfig(num_layers=2)
MODELS = {
    "bahdanau": (BahdanauConfig(**RECURRENT), AlignmentConfig(method=LinkMethod.argmax)),
    "luong": (LuongConfig(**RECURRENT), AlignmentConfig(method=LinkMethod.argmax)),
    "transformer": (
        TransformerConfig(model_dim=32, num_heads=2, feedforward_dim=64, dropout=0.0, encoder=STACK, decoder=STACK),
        AlignmentConfig(method=LinkMethod.argmax, layer=0, head=1),
    ),
}
MODELS["transformer, shifted"] = (MODELS["transformer"][0], replace(MODELS["transformer"][1], shift=True))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_learns_to_look_where_it_is_told_to(misled, name):
    """Of a Transformer one head of one layer, while the others are free."""
    model, alignment = MODELS[name]
    config = misled(
        model,
        alignment=alignment,
        tokenizer=TokenizerConfig(kind=TokenizerKind.word, vocab_size=14),
        optim=AdamConfig(learning_rate=1e-2),
        loss=LossConfig(alignment_weight=1.0),
        train=TrainConfig(max_tokens=512, microbatches=1),
    )
    store = prepare(config.data, config.tokenizer, config.seed)
    update = build_updater(config, store.split("train"), store.tokenizers.vocab_sizes, CPU)
    update.objective.train()
    for step in range(80):
        update(step)
    dev = store.split("dev")
    decoder = ForcedDecoder(update.objective.model.eval(), store.tokenizers, CPU, config.precision)

    def right(settings):
        found = align(decoder, dev.source_lines, dev.target_lines, settings)
        told = [{(max(t - 1, 0), t) for t in range(len(each.target_words))} for each in found]
        return sum(len(links & each.links) for links, each in zip(told, found, strict=True)) / sum(map(len, told))

    assert right(alignment) > 0.95
    if alignment.head is not None:
        assert right(replace(alignment, head=0)) < 0.6


def test_the_gradient_of_an_update_has_that_of_the_guide(misled, family_config):
    """Against both losses from the model itself, one after the other; unsmoothed, so that loss and likelihood are one."""
    loss = LossConfig(alignment_weight=0.7, label_smoothing=0.0)
    config = misled(family_config, loss=loss, train=TrainConfig(max_tokens=128, microbatches=1))
    store = prepare(config.data, config.tokenizer, config.seed)
    update = build_updater(config, store.split("train"), store.tokenizers.vocab_sizes, CPU)
    model: Seq2Seq = update.objective.model.double().eval()
    batch = make_batch(update.split, np.array([3, 1, 7]), with_links=True)
    losses = update.objective(batch)
    losses.loss_sum.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    plain = update.objective(make_batch(update.split, np.array([3, 1, 7])))
    assert plain.alignment_sum == 0
    torch.testing.assert_close(losses.loss_sum, plain.loss_sum + 0.7 * losses.alignment_sum)
    plain.loss_sum.backward()
    without = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    step, name = 1e-6, next(name for name in found if not torch.allclose(found[name], without[name]))
    parameter = dict(model.named_parameters())[name]
    place = (found[name] - without[name]).abs().argmax()
    sides = []
    for change in (step, -2 * step):
        parameter.data.view(-1)[place] += change
        with torch.no_grad():
            sides.append(update.objective(batch).alignment_sum.item())
    slope = 0.7 * (sides[0] - sides[1]) / (2 * step)
    assert (found[name] - without[name]).flatten()[place].item() == pytest.approx(slope, rel=1e-4)


def test_a_head_that_is_not_there_is_refused(misled, family_config):
    config = misled(family_config, loss=LossConfig(alignment_weight=0.1), alignment=AlignmentConfig(head=17))
    store = prepare(config.data, config.tokenizer, config.seed)
    with pytest.raises(ConfigError, match=r"`alignment\.head`.*is 17"):
        build_updater(config, store.split("train"), store.tokenizers.vocab_sizes, CPU)
