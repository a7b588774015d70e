"""Heads that are gone: what is left computes what it did, and what was theirs is nowhere any more."""

import copy

import pytest
import torch

from nmt.attention.capture import capture
from nmt.attention.pruning import remove_heads
from nmt.config import AttentionConfig, Distribution, Position, Score, SelfAttentionConfig, TransformerConfig
from nmt.layout import Layout
from nmt.models import build_model
from nmt.refusals import unremovable

VOCAB, HEADS = 37, 4
OPTIONS = {
    "plain": {},
    "gain": {"score": Score.learned_scaled_dot},
    "sink": {"distribution": Distribution.sink},
    "entmax": {"distribution": Distribution.entmax},
    "one key": {"num_kv_heads": 1},
}


def build(position=Position.sinusoidal, **options):
    torch.manual_seed(1)
    own = SelfAttentionConfig(**options)
    config = TransformerConfig(
        model_dim=20 if position is not Position.rotary else 24,
        num_heads=HEADS,
        feedforward_dim=29,
        dropout=0.0,
        position=position,
        encoder_self=own,
        decoder_self=own,
        decoder_cross=AttentionConfig(**options),
    )
    model = build_model(config, (VOCAB, VOCAB)).double().eval()
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 or name.endswith("self_attention.bias.weight"):
            torch.nn.init.normal_(parameter)
    return model


def run(model):
    source, target = torch.tensor([[7, 11, 4, 20], [5, 9, 3, 0]]), torch.tensor([[2, 9, 5], [2, 17, 8]])
    memory = model.encode(source, Layout.of([4, 3]))
    hidden = model.decode(target, Layout.of([3, 3]), memory)
    state, steps = model.init_state(memory), []
    for t in range(3):
        output = model.step(target[:, t], state, memory)
        state, steps = output.state, [*steps, output.hidden]
    return hidden, torch.stack(steps, 1)


@pytest.mark.parametrize("heads", [[1], [0, 3]])
@pytest.mark.parametrize("name", ["encoder.self.1", "decoder.self.0", "decoder.cross.2"])
@pytest.mark.parametrize("options", OPTIONS)
@torch.no_grad()
def test_what_is_left_computes_what_it_did(options, name, heads):
    """As if what the lost heads give were nothing."""
    model = build(**OPTIONS[options])
    silenced, pruned = copy.deepcopy(model), copy.deepcopy(model)
    width = model.config.model_dim // HEADS
    for head in heads:
        silenced.attentions()[name].output.weight[:, head * width : (head + 1) * width] = 0
    remove_heads(pruned.attentions()[name], heads)
    for found, expected in zip(run(pruned), run(silenced), strict=True):
        torch.testing.assert_close(found, expected)
    gone = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in pruned.parameters())
    own_keys = 0 if options == "one key" else 2
    assert gone >= len(heads) * width * ((1 + own_keys) * (model.config.model_dim + 1) + model.config.model_dim)


@pytest.mark.parametrize("position", [Position.alibi, Position.buckets, Position.rotary])
@torch.no_grad()
def test_positions_stay_with_their_heads(position):
    model = build(position)
    name = "encoder.self.0"
    with capture(model.attentions(), [name]) as before:
        run(model)
    remove_heads(model.attentions()[name], [0, 2])
    with capture(model.attentions(), [name]) as after:
        run(model)
    torch.testing.assert_close(after[0].weights, before[0].weights[:, [1, 3]])


@torch.no_grad()
def test_groups_lose_as_many_each():
    model = build(num_kv_heads=2)
    attention, width = model.attentions()["decoder.cross.1"], 5
    silenced = copy.deepcopy(model)
    for head in (1, 2):
        silenced.attentions()["decoder.cross.1"].output.weight[:, head * width : (head + 1) * width] = 0
    remove_heads(attention, [1, 2])
    assert (attention.num_heads, attention.num_kv_heads) == (2, 2)
    torch.testing.assert_close(run(model)[0], run(silenced)[0])


def test_a_model_is_built_without_its_pruned_heads():
    config = build().config
    config.pruned_heads = {"decoder.self.1": [0, 2], "encoder.self.0": [3]}
    pruned = build_model(config, (VOCAB, VOCAB)).double()
    whole = build()
    for name, heads in config.pruned_heads.items():
        remove_heads(whole.attentions()[name], heads)
    shapes = [{name: value.shape for name, value in model.state_dict().items()} for model in (pruned, whole)]
    assert shapes[0] == shapes[1]
    pruned.load_state_dict(whole.state_dict())
    torch.testing.assert_close(run(pruned.eval())[0], run(whole)[0])


@pytest.mark.parametrize(
    ("heads", "keys", "why"),
    [
        ([4], 4, "there is no head 4, only 0 to 3"),
        ([0, 1, 2, 3], 4, "at least one head must be left"),
        ([0], 2, "equally many must be left in each of the 2 groups"),
        ([0, 1], 2, "equally many"),
        ([0, 2], 2, None),
        ([0, 1, 2], 4, None),
        ([0, 1, 2], 1, None),
    ],
)
def test_what_cannot_go(heads, keys, why):
    found = unremovable(heads, HEADS, keys)
    assert found is None if why is None else why in found
