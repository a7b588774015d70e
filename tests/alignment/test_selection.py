"""The layer and head that align best: found again where they were made best, by gold links and by agreement."""

import itertools

import pytest
import torch

from nmt.alignment.aligner import align
from nmt.alignment.forced import ForcedDecoder
from nmt.alignment.links import alignment_scores
from nmt.alignment.selection import Candidate, best_by_agreement, best_by_gold, candidates
from nmt.config import AlignmentConfig, LinkMethod, LuongConfig, Precision, StackConfig, TokenizerConfig, TransformerConfig
from nmt.data.links import Links
from nmt.data.normalization import PLAIN
from nmt.data.tokenizer import Tokenizer, Tokenizers, learn_pieces
from nmt.models import build_model

SOURCES = ["the small dog sees a cat .", "", "a cat  sleeps", "the dog sees the small cat ."]
TARGETS = ["der kleine Hund sieht eine Katze .", "Hunde", "die Katze", "der Hund sieht die kleine Katze ."]
ARGMAX = AlignmentConfig(method=LinkMethod.argmax)
TRANSFORMER = TransformerConfig(
    model_dim=12, num_heads=3, feedforward_dim=17, encoder=StackConfig(num_layers=1), decoder=StackConfig(num_layers=2)
)


@pytest.fixture(scope="module")
def tokenizers():
    tokenizer = Tokenizer(learn_pieces(SOURCES + TARGETS, TokenizerConfig(), 31), PLAIN)
    return Tokenizers(tokenizer, tokenizer)


def build(config, tokenizers, seed=3):
    torch.manual_seed(seed)
    model = build_model(config, tokenizers.vocab_sizes).eval()
    for parameter in model.parameters():
        parameter.data *= 3  # so that heads differ
    return ForcedDecoder(model, tokenizers, torch.device("cpu"), Precision.fp32)


def test_every_layer_head_and_row_is_tried(tokenizers):
    decoder = build(TRANSFORMER, tokenizers)
    found = candidates(decoder, SOURCES, TARGETS, ARGMAX)
    tried = [(each.config.layer, each.config.head, each.config.shift) for each in found]
    assert tried == list(itertools.product((0, 1), (None, 0, 1, 2), (False, True)))
    for candidate in found:
        assert candidate.config.method is LinkMethod.argmax
        alignments = align(decoder, SOURCES, TARGETS, candidate.config)
        assert candidate.links == [alignment.links for alignment in alignments]
    recurrent = candidates(build(LuongConfig(embedding_dim=5, hidden_dim=6), tokenizers), SOURCES, TARGETS, ARGMAX)
    assert [(each.config.head, each.config.shift) for each in recurrent] == [(None, False), (None, True)]


def test_the_one_that_gold_was_made_of_is_found(tokenizers):
    found = candidates(build(TRANSFORMER, tokenizers), SOURCES, TARGETS, ARGMAX)
    distinct = {tuple(candidate.links): candidate for candidate in reversed(found)}
    assert len(distinct) > 8
    for candidate in distinct.values():
        gold = [Links(links, links) for links in candidate.links]
        assert best_by_gold(found, gold) == (candidate, 0.0)
    gold = [
        Links(frozenset({(0, 0)}), frozenset({(0, 0), (1, 1)})) if source else Links(frozenset(), frozenset())
        for source in SOURCES
    ]
    best, rate = best_by_gold(found, gold)
    assert rate == min(alignment_scores(each.links, gold).aer for each in found) == alignment_scores(best.links, gold).aer


def test_the_two_that_agree_are_found():
    def made(layer, *links):
        return Candidate(AlignmentConfig(layer=layer), [frozenset(of_pair) for of_pair in links])

    forward = [made(0, {(0, 0), (1, 0)}, {(2, 1)}), made(1, {(0, 0), (1, 2)}, {(2, 1)})]
    backward = [made(0, {(0, 1)}, set()), made(1, {(0, 0), (2, 1)}, {(1, 1)}), made(2, {(0, 0), (2, 1)}, {(1, 1)})]
    there, back, share = best_by_agreement(forward, backward)
    assert (there.config.layer, back.config.layer) == (1, 1)
    assert share == pytest.approx(2 * 2 / 6)
    assert best_by_agreement(forward[:1], [made(0, set(), set())])[2] == 0
