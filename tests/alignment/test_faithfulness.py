"""Faithfulness against its definition, a pair, a target word and an erasure at a time."""

import itertools
from functools import cache

import numpy as np
import pytest
import torch

from nmt.alignment.attribution import raw_attribution
from nmt.alignment.faithfulness import ERASURE, RANDOM, faithfulness
from nmt.alignment.forced import ForcedDecoder
from nmt.config import AlignmentConfig, Attribution, BahdanauConfig, Precision, StackConfig, TokenizerConfig, TransformerConfig
from nmt.data.batching import IdPairs, make_batch
from nmt.data.normalization import PLAIN
from nmt.data.tokenizer import BOS, EOS, Tokenizer, Tokenizers, learn_pieces
from nmt.layout import Layout
from nmt.models import build_model

SOURCES = ["the small dog sees a cat .", "dogs", "", "a cat  sleeps", "dog cats"]
TARGETS = ["der kleine Hund sieht eine Katze .", "Hunde schlafen", "Hunde", "die Katze", ""]
MODELS = {
    "bahdanau": BahdanauConfig(embedding_dim=13, hidden_dim=14),
    "transformer": TransformerConfig(
        model_dim=12, num_heads=2, feedforward_dim=17, encoder=StackConfig(num_layers=1), decoder=StackConfig(num_layers=2)
    ),
}


@pytest.fixture(scope="module")
def tokenizers():
    tokenizer = Tokenizer(learn_pieces(SOURCES + TARGETS, TokenizerConfig(), 31), PLAIN)
    return Tokenizers(tokenizer, tokenizer)


@pytest.fixture(params=MODELS)
def model(request, tokenizers):
    torch.manual_seed(3)
    model = build_model(MODELS[request.param], tokenizers.vocab_sizes).double().eval()
    for parameter in model.parameters():
        parameter.data *= 2  # so that predictions differ
    return model


def measured(model, tokenizers, sources=SOURCES, targets=TARGETS, **options):
    decoder = ForcedDecoder(model, tokenizers, torch.device("cpu"), Precision.fp32, max_tokens=61)
    return faithfulness(decoder, sources, targets, AlignmentConfig(), **options)


def word_probs(model, tokenizers, words, kept, target):
    """The probability of each target word where only these source words are read."""
    source = [piece for s in kept for piece in tokenizers.source.encode([words[s]])[0]]
    ids = tokenizers.target.encode([target])[0]
    memory = model.encode(torch.tensor([[*source, EOS]]), Layout.of([len(source) + 1]))
    hidden = model.decode(torch.tensor([[BOS, *ids]]), Layout.of([len(ids) + 1]), memory)
    probs = model.output(hidden)[0].softmax(-1)
    of_words = []
    for t, (piece, text) in enumerate(zip(ids, tokenizers.target.pieces(ids), strict=True)):
        if text.startswith("\u2581"):
            of_words.append(1.0)
        of_words[-1] *= probs[t, piece].item()
    return np.array(of_words)


def order(model, tokenizers, source, target, method):
    """For each target word the source words by what the method says of them, from the top; words by loops."""
    source_ids, target_ids = tokenizers.source.encode([source])[0], tokenizers.target.encode([target])[0]
    given = make_batch(IdPairs([source_ids], [target_ids]), np.array([0]))
    scores = raw_attribution(model, given, AlignmentConfig(attribution=method))[0]
    words = np.zeros((len(target.split()), len(source.split())))
    t = -1
    for row, piece in enumerate(tokenizers.target.pieces(target_ids)):
        t += piece.startswith("\u2581")
        s = -1
        for column, source_piece in enumerate(tokenizers.source.pieces(source_ids)):
            s += source_piece.startswith("\u2581")
            words[t, s] += scores[row, column].item()
    return [sorted(range(len(row)), key=lambda s, row=row: -row[s]) for row in words]


@torch.no_grad()
def test_it_is_its_definition_and_no_single_word_does_more_than_the_best(model, tokenizers):
    found = measured(model, tokenizers, counts=(1, 3))

    @cache
    def probs(i, kept):
        return word_probs(model, tokenizers, SOURCES[i].split(), kept, TARGETS[i])

    for method, count in itertools.product(Attribution, (1, 3)):
        without, alone = [], []
        for i in (0, 3) if count == 1 else (0,):  # others have a blank side, or too few words
            words = SOURCES[i].split()
            everything = probs(i, tuple(range(len(words))))
            for t, ranked in enumerate(order(model, tokenizers, " ".join(words), TARGETS[i], method)):
                without.append(everything[t] - probs(i, tuple(sorted(ranked[count:])))[t])
                alone.append(everything[t] - probs(i, tuple(sorted(ranked[:count])))[t])
        assert found[method.name].comprehensiveness[count] == pytest.approx(np.mean(without), abs=1e-9)
        assert found[method.name].sufficiency[count] == pytest.approx(np.mean(alone), abs=1e-9)
    firsts = [of_method.comprehensiveness[1] for of_method in found.values()]
    assert firsts == sorted(firsts, reverse=True)
    assert set(found) == {method.name for method in Attribution} | {RANDOM, ERASURE}
    best = found[ERASURE].comprehensiveness[1]
    assert all(of_method.comprehensiveness[1] <= best for of_method in found.values())
    assert found[RANDOM].comprehensiveness[1] < best


@pytest.mark.parametrize("model", ["transformer"], indirect=True)
def test_chance_is_that_of_the_seed(model, tokenizers):
    first, same, other = (measured(model, tokenizers, counts=(1,), seed=seed)[RANDOM] for seed in (1, 1, 2))
    assert first == same != other


@pytest.mark.parametrize("model", ["transformer"], indirect=True)
def test_pairs_that_are_too_short_say_nothing(model, tokenizers):
    assert list(measured(model, tokenizers, SOURCES[3:4], TARGETS[3:4], counts=(1, 3))["attention"].sufficiency) == [1]
    assert measured(model, tokenizers, SOURCES[1:2], TARGETS[1:2]) == {}
