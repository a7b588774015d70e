"""The moving average of weights against its formula in a loop."""

from contextlib import suppress

import pytest
import torch
from torch import nn

from nmt.config import LuongConfig
from nmt.models import build_model
from nmt.training.checkpoint import load_weights
from nmt.training.ema import EMA

GOOD, BAD = torch.tensor(0.0), torch.tensor(1.0)


def change(layer):
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter))


@pytest.mark.parametrize("decay", [0.4, 0.999])
def test_the_average_is_the_formula_over_good_updates(decay):
    torch.manual_seed(1)
    layer = nn.Linear(5, 3)
    ema = EMA(layer, decay)
    expected = layer.weight.detach().double()
    good = 0
    for update in range(12):
        if update in (0, 5, 6):
            before = {name: average.clone() for name, average in ema.averages.items()}
            ema.update(BAD)
            assert all(torch.equal(average, before[name]) for name, average in ema.averages.items())
            continue
        change(layer)
        ema.update(GOOD)
        good += 1
        d = min(decay, (1 + good) / (10 + good))
        expected = d * expected + (1 - d) * layer.weight.detach().double()
        torch.testing.assert_close(ema.averages["weight"].double(), expected)
    assert ema.num_updates == good == 9


def test_the_model_computes_with_the_average_for_a_while():
    """A matrix that is shared is one for the average too, and what the weights were comes back to the bit, also after an error."""
    torch.manual_seed(2)
    model = build_model(LuongConfig(embedding_dim=13, hidden_dim=14), (17, 17))
    ema = EMA(model, 0.9)
    for _ in range(3):
        change(model)
        ema.update(GOOD)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    averages = {name: average.clone() for name, average in ema.averages.items()}
    with suppress(KeyboardInterrupt), ema.in_place_of_weights():
        assert model.embeddings.output.weight is model.embeddings.source.weight
        other = build_model(LuongConfig(embedding_dim=13, hidden_dim=14), (17, 17))
        load_weights(other, averages)
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
        raise KeyboardInterrupt
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(average, averages[name]) for name, average in ema.averages.items())


def test_it_goes_on_from_what_was_kept():
    torch.manual_seed(3)
    layer = nn.Linear(5, 3)
    whole = EMA(layer, 0.999)
    for update in range(6):
        change(layer)
        if update == 3:
            part = EMA(layer, 0.999)
            part.load({name: average.clone() for name, average in whole.averages.items()}, float(whole.num_updates))
        whole.update(GOOD)
        if update >= 3:
            part.update(GOOD)
    assert all(torch.equal(average, part.averages[name]) for name, average in whole.averages.items())
