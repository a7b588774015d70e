"""Watching attention: which modules hand over their weights, when, and how it ends."""

import pytest
import torch

from nmt.attention.capture import Attention, capture


class Fixed(Attention):
    """Hands over weights that are its ``scale``."""

    def __init__(self, scale):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(scale))

    def forward(self):
        if self.record:
            self.record(self.scale.expand(1, 1, 2, 3), torch.zeros(1, 1, 3, 5), None)


@pytest.fixture
def attentions():
    return {"encoder.self.0": Fixed(1.0), "decoder.cross.0": Fixed(2.0)}


def test_records_come_in_the_order_of_computation(attentions):
    with capture(attentions) as records:
        for name in ("decoder.cross.0", "encoder.self.0", "decoder.cross.0"):
            attentions[name]()
    assert [record.name for record in records] == ["decoder.cross.0", "encoder.self.0", "decoder.cross.0"]
    assert [record.weights[0, 0, 0, 0].item() for record in records] == [2.0, 1.0, 2.0]
    assert records[0].values.shape == (1, 1, 3, 5)
    assert records[0].output_weight is None


def test_only_the_named_are_watched(attentions):
    with capture(attentions, ["encoder.self.0"]) as records:
        for attention in attentions.values():
            attention()
    assert [record.name for record in records] == ["encoder.self.0"]


def test_nothing_is_watched_afterwards(attentions):
    with capture(attentions) as records:
        pass
    with pytest.raises(RuntimeError, match="inside"), capture(attentions):
        raise RuntimeError("inside")
    for attention in attentions.values():
        attention()
    assert records == []


def test_an_unknown_name_is_refused_and_leaves_nothing_watched(attentions):
    unknown = pytest.raises(KeyError, match=r"'decoder\.cross\.1'; there are encoder\.self\.0, decoder\.cross\.0")
    with unknown, capture(attentions, ["encoder.self.0", "decoder.cross.1"]):
        pass
    assert attentions["encoder.self.0"].record is None


def test_records_are_differentiable(attentions):
    with capture(attentions, ["decoder.cross.0"]) as records:
        attentions["decoder.cross.0"]()
    records[0].weights.sum().backward()
    assert attentions["decoder.cross.0"].scale.grad == 6
