"""Importance of heads against the definition, one pair and one head at a time."""

import copy

import pytest
import torch
from torch.nn import functional as F

from nmt.alignment.forced import ForcedDecoder
from nmt.alignment.importance import head_importance, least_important
from nmt.config import Precision, StackConfig, TokenizerConfig, TokenizerKind, TransformerConfig
from nmt.data.normalization import PLAIN
from nmt.data.tokenizer import BOS, EOS, Tokenizer, Tokenizers, learn_pieces
from nmt.layout import Layout
from nmt.models import build_model

HEADS, WIDTH = 3, 6
SOURCES = ["a b c", "d", "", "e f g h i j", "b"]
TARGETS = ["c b", "f", "a", "i j", ""]


@pytest.fixture(scope="module")
def tokenizers():
    tokenizer = Tokenizer(learn_pieces(["a b c d", "e f g h i j"], TokenizerConfig(kind=TokenizerKind.char), 16), PLAIN)
    return Tokenizers(tokenizer, tokenizer)


@pytest.fixture
def model(tokenizers):
    torch.manual_seed(1)
    config = TransformerConfig(
        model_dim=HEADS * WIDTH,
        num_heads=HEADS,
        feedforward_dim=29,
        dropout=0.3,
        encoder=StackConfig(num_layers=1),
        decoder=StackConfig(num_layers=2),
    )
    return build_model(config, tokenizers.vocab_sizes).double().eval()


def nll(model, source, target):
    layouts = Layout.of([len(source) + 1]), Layout.of([len(target) + 1])
    memory = model.encode(torch.tensor([[*source, EOS]]), layouts[0])
    logits = model.output(model.decode(torch.tensor([[BOS, *target]]), layouts[1], memory))
    return F.cross_entropy(logits[0], torch.tensor([*target, EOS]), reduction="sum")


@torch.no_grad()
def by_definition(model, tokenizers, name, head):
    """The mean over pairs of |dL / dg|, where g scales the head's part of the output matrix; by differences."""
    step, total = 1e-5, 0.0
    ids = zip(tokenizers.source.encode(SOURCES), tokenizers.target.encode(TARGETS), strict=True)
    for source, target in [pair for pair in ids if all(pair)]:
        sides = []
        for gate in (1 + step, 1 - step):
            scaled = copy.deepcopy(model)
            scaled.attentions()[name].output.weight[:, head * WIDTH : (head + 1) * WIDTH] *= gate
            sides.append(nll(scaled, source, target))
        total += abs(float(sides[0] - sides[1])) / (2 * step)
    return total


@pytest.mark.parametrize("max_tokens", [4, 100])
def test_importance_is_its_definition(model, tokenizers, max_tokens):
    decoder = ForcedDecoder(model, tokenizers, torch.device("cpu"), Precision.fp32, max_tokens)
    found = head_importance(decoder, SOURCES, TARGETS)
    assert list(found) == list(model.attentions())
    for name, values in found.items():
        expected = torch.tensor([by_definition(model, tokenizers, name, head) for head in range(HEADS)])
        torch.testing.assert_close(torch.tensor(values), expected / expected.norm(), atol=1e-4, rtol=1e-3)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(attention.gates is None for attention in model.attentions().values())


def test_the_least_important_go_first():
    importance = {"a": [0.9, 0.1, 0.2], "b": [0.3, 0.4, 0.5]}
    own = {"a": 3, "b": 3}
    assert least_important(importance, 1 / 3, own) == {"a": [1, 2]}
    assert least_important(importance, 0.5, own) == {"a": [1, 2], "b": [0]}
    assert least_important(importance, 0.99, own) == {"a": [1, 2], "b": [0, 1]}  # each keeps one


def test_heads_that_share_keys_stay_as_many():
    importance = {"a": [0.1, 0.2, 0.9, 0.8]}
    assert least_important(importance, 0.5, {"a": 2}) == {}
    assert least_important(importance, 0.5, {"a": 1}) == {"a": [0, 1]}
