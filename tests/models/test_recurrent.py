"""What recurrent models share: the encoder's two ways to read a batch, and where dropout acts."""

import dataclasses

import pytest
import torch
from torch import nn

from nmt.config import VARIANTS, Direction, ModelConfig, RecurrentConfig
from nmt.layout import Layout
from nmt.models import build_model
from nmt.models.recurrent import RecurrentEncoder

LENGTHS = [5, 1, 7, 3, 7]


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_steps_read_what_the_library_reads(kind, direction, layers):
    """States, final states and gradients, in float64; what stands at padding does not matter."""
    torch.manual_seed(1)
    encoder = RecurrentEncoder(kind, 11, 26, layers, direction).double()
    embedded = torch.randn(5, 9, 11, dtype=torch.float64)
    layout = Layout.of(LENGTHS, width=9)
    results = []
    for read, padding in ((encoder._by_steps, 3.0), (encoder._by_library, -2.0)):
        encoder.zero_grad()
        inputs = embedded.masked_fill(~layout.mask[..., None], padding).requires_grad_()
        states, final = read(inputs, layout)
        weights = torch.linspace(-1, 1, states.numel(), dtype=torch.float64).view_as(states)
        loss = (states * weights).sum() + sum((i + 2) * (part**2).sum() for i, part in enumerate(final))
        loss.backward(retain_graph=True)
        loss.backward()  # gradients of several micro-batches add up
        gradients = {name: parameter.grad.clone() for name, parameter in encoder.named_parameters()}
        results.append((states, final, inputs.grad, gradients))
    torch.testing.assert_close(results[0], results[1], rtol=1e-11, atol=1e-12)
    assert not results[0][0][~layout.mask].any()


RECURRENT = [cls for cls in VARIANTS[ModelConfig].values() if issubclass(cls, RecurrentConfig)]
PLACES = [(cls, field.name) for cls in RECURRENT for field in dataclasses.fields(cls) if field.name.endswith("dropout")]


@pytest.mark.parametrize(("cls", "place"), PLACES, ids=lambda part: getattr(part, "__name__", part))
def test_every_dropout_acts_in_training_alone(cls, place):
    torch.manual_seed(1)
    still = {name: 0.0 for other, name in PLACES if other is cls}
    model = build_model(cls(embedding_dim=5, hidden_dim=6, **{**still, place: 0.5}), (29, 29)).double()
    layout, ids = Layout.of([4]), torch.tensor([[7, 11, 4, 20]])

    def run(seed):
        torch.manual_seed(seed)
        return model.decode(ids, layout, model.encode(ids, layout))

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    model.eval()
    assert torch.equal(run(1), run(2))
