"""What is frozen stays as it is, and names that are wrong are refused."""

import re

import pytest
import torch

from nmt.config import TransformerConfig, Tying
from nmt.errors import ConfigError
from nmt.layout import Layout
from nmt.models import build_model
from nmt.training.freezing import freeze
from nmt.training.loss import output_loss


def model(tying=Tying.three_way):
    return build_model(TransformerConfig(model_dim=22, num_heads=2, feedforward_dim=29, tying=tying), (31, 31))


def frozen(model):
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


def test_a_name_means_a_module_and_all_in_it():
    whole = model()
    freeze(whole, ["encoder", "decoder.1.feedforward", "decoder_norm.bias"])
    expected = {name for name, _ in whole.named_parameters() if name.startswith(("encoder.", "decoder.1.feedforward."))}
    assert frozen(whole) == expected | {"decoder_norm.bias"}
    assert "encoder_norm.weight" not in frozen(whole)


def test_what_is_shared_is_frozen_everywhere():
    shared = model()
    freeze(shared, ["embeddings.output.weight"])
    assert frozen(shared) == {"embeddings.source.weight"}  # its first name
    apart = model(Tying.none)
    freeze(apart, ["embeddings.source"])
    assert frozen(apart) == {"embeddings.source.weight"}
    assert apart.embeddings.output.weight.requires_grad


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("encodr", "did you mean `encoder`?"),
        ("embedding.source", "did you mean `embeddings.source`?"),
        (
            "enc",
            "but no parameter of the model is there; it consists of decoder, decoder_norm, embeddings, encoder, encoder_norm",
        ),
        ("", "`train.freeze` names ''"),
    ],
)
def test_a_name_that_nothing_has_is_refused(name, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        freeze(model(), ["encoder", name])


def test_something_must_be_left_to_train():
    with pytest.raises(ConfigError, match=r"`train.freeze` leaves nothing to train: embeddings, encoder, encoder_norm, decoder"):
        freeze(model(), ["embeddings", "encoder", "encoder_norm", "decoder", "decoder_norm"])


def test_gradients_of_the_others_are_the_same(family_config):
    source, target = Layout.of([5, 3, 7]), Layout.of([4, 6, 2])
    gradients = []
    for names in ([], ["encoder"], ["embeddings", "encoder"]):
        torch.manual_seed(1)
        whole = build_model(family_config, (31, 31)).double()
        freeze(whole, names)
        source_ids, target_ids = torch.randint(4, 31, (3, 7)), torch.randint(4, 31, (3, 6))
        hidden = whole.decode(target_ids, target, whole.encode(source_ids, source))
        loss, _ = output_loss(
            target.real(hidden),
            whole.output_layer().weight,
            whole.output_layer().bias,
            target.real(target_ids),
            label_smoothing=0.1,
            chunk_size=5,
        )
        loss.backward()
        gradients.append({name: parameter.grad for name, parameter in whole.named_parameters()})
        assert {name for name, gradient in gradients[-1].items() if gradient is None} == frozen(whole)
    for some in gradients[1:]:
        for name, gradient in some.items():
            if gradient is not None:
                torch.testing.assert_close(gradient, gradients[0][name])
