"""Diagnostics against plain loops, and on attention of which one sees what it does."""

import json
import math
from collections import Counter

import numpy as np
import pytest
import torch

from nmt.alignment.aligner import Alignment, align
from nmt.alignment.diagnostics import Diagnostics, diagnose, diagnose_heads, diagnose_sentence, write_diagnostics
from nmt.alignment.extraction import SentenceAttention, extract
from nmt.alignment.forced import ForcedDecoder
from nmt.config import AlignmentConfig, Precision, StackConfig, TokenizerConfig, TransformerConfig
from nmt.data.normalization import PLAIN
from nmt.data.tokenizer import Tokenizer, Tokenizers, learn_pieces
from nmt.models import build_model

SOURCES = ["the small dog sees a cat .", "", "a cat sleeps , a dog !"]
TARGETS = ["der kleine Hund sieht eine Katze .", "Hunde", "die Katze"]


@pytest.fixture(scope="module")
def decoder():
    """Of a model with attention that is not flat."""
    tokenizer = Tokenizer(learn_pieces(SOURCES + TARGETS, TokenizerConfig(), 31), PLAIN)
    tokenizers = Tokenizers(tokenizer, tokenizer)
    torch.manual_seed(3)
    config = TransformerConfig(
        model_dim=12, num_heads=2, feedforward_dim=17, encoder=StackConfig(num_layers=2), decoder=StackConfig(num_layers=1)
    )
    model = build_model(config, tokenizers.vocab_sizes).eval()
    for parameter in model.parameters():
        parameter.data *= 3
    return ForcedDecoder(model, tokenizers, torch.device("cpu"), Precision.fp32)


def by_loops(attentions, name, head):
    """Every measure of a head, a query and a key at a time."""
    keys_of = {
        a: attentions[a].target_in if name.startswith("decoder.self") else attentions[a].source for a in range(len(attentions))
    }
    counts = Counter(key for a, keys in keys_of.items() if attentions[a].weights for key in keys)
    totals, offsets, num_queries = Counter(), [], 0
    for a, attention in enumerate(attentions):
        if not attention.weights:
            continue
        keys, rows = keys_of[a], attention.weights[name][head]
        fewest = min(counts[key] for key in keys if key not in ("<s>", "</s>"))
        for q, row in enumerate(rows):
            num_queries += 1
            place = q * (len(keys) - 1) / max(len(rows) - 1, 1)
            for k, (key, weight) in enumerate(zip(keys, map(float, row), strict=True)):
                totals["entropy"] -= weight * math.log(weight) if weight else 0
                totals["marks"] += weight * (key in ("<s>", "</s>"))
                totals["punctuation"] += weight * (key.strip("\u2581") in (".", ",", "!", ""))
                totals["diagonal"] += weight * (abs(k - place) <= 1)
            best = int(np.argmax(row))
            totals["rarest"] += keys[best] not in ("<s>", "</s>") and counts[keys[best]] == fewest
            offsets.append(best - q)
    means = {measure: total / num_queries for measure, total in totals.items()}
    return means, max(map(offsets.count, offsets)) / num_queries, offsets


def test_heads_are_what_loops_say(decoder):
    attentions = list(extract(decoder, SOURCES, TARGETS))
    found = diagnose_heads(attentions)
    assert list(found) == list(decoder.model.attentions())
    for name, heads in found.items():
        assert len(heads) == 2
        for number, head in enumerate(heads):
            means, positional, offsets = by_loops(attentions, name, number)
            for measure, mean in means.items():
                assert getattr(head, measure) == pytest.approx(mean, abs=1e-5), (name, number, measure)
            assert head.positional == pytest.approx(positional)
            assert offsets.count(head.offset) == max(map(offsets.count, offsets))


def sentence(weights):
    """Three source words and a full stop, of which ``rare`` occurs once, and what the decoder attends to in them."""
    source = ["\u2581a", "\u2581rare", "\u2581a", ".", "</s>"]
    return SentenceAttention(source, ["<s>", "x", "y"], ["x", "y", "</s>"], {"decoder.cross.0": np.array([weights], np.float32)})


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([4, 4, 4], {"marks": 1.0, "punctuation": 0.0, "rarest": 0.0}),
        ([3, 3, 3], {"punctuation": 1.0, "marks": 0.0}),
        ([0, 2, 4], {"diagonal": 1.0}),
        ([1, 2, 3], {"positional": 1.0, "offset": 1}),
        ([1, 1, 1], {"rarest": 1.0, "entropy": 0.0}),
    ],
)
def test_what_a_head_looks_at_is_seen(columns, expected):
    [head] = diagnose_heads([sentence(np.eye(5)[columns])])["decoder.cross.0"]
    for measure, value in expected.items():
        assert getattr(head, measure) == pytest.approx(value), measure
    [flat] = diagnose_heads([sentence(np.full((3, 5), 0.2))])["decoder.cross.0"]
    assert flat.entropy == pytest.approx(math.log(5), abs=1e-6)


def aligned(weights):
    weights = np.array(weights, np.float32)
    return Alignment(["s"] * weights.shape[1], ["t"] * weights.shape[0], weights, frozenset())


def test_sentences_by_hand():
    found = diagnose_sentence(aligned([[0.9, 0.0, 0.0], [0.8, 0.1, 0.0], [0.0, 0.2, 0.7], [0.3, 0.5, 0.1]]))
    assert found.coverage == pytest.approx([2.0, 0.8, 0.8])
    assert found.untranslated == pytest.approx((0 + 0.2 + 0.2) / 3)
    assert found.repeated == pytest.approx(1 / 3)
    assert found.monotonicity == pytest.approx(2 / 3)  # 0, 0, 2, 1
    assert diagnose_sentence(aligned([[1.0]])).monotonicity == 1
    assert diagnose_sentence(aligned(np.zeros((0, 3)))) is None


def test_sentences_are_ranked():
    sentences = {
        i: diagnose_sentence(aligned(weights))
        for i, weights in {2: [[1.0, 0.0]], 5: [[0.5, 0.5]], 7: [[0.0, 0.0]], 8: [[0.0, 1.0]]}.items()
    }
    diagnostics = Diagnostics({}, sentences)
    assert diagnostics.worst("untranslated", 3) == [7, 2, 5]
    assert diagnostics.mean("untranslated") == pytest.approx((0.5 + 0.5 + 1 + 0.5) / 4)


def test_all_of_a_model(decoder, tmp_path):
    config = AlignmentConfig(layer=0, head=1)
    found = diagnose(decoder, SOURCES, TARGETS, config)
    assert list(found.sentences) == [0, 2]
    alignments = align(decoder, SOURCES, TARGETS, config)
    assert all(found.sentences[i] == diagnose_sentence(alignments[i]) for i in found.sentences)
    means = found.means()
    heads = found.heads["decoder.cross.0"]
    assert means["heads/decoder.cross.0/entropy"] == pytest.approx((heads[0].entropy + heads[1].entropy) / 2)
    assert means["translations/repeated"] == pytest.approx(sum(s.repeated for s in found.sentences.values()) / 2)
    assert len(means) == 4 * 6 + 3
    write_diagnostics(tmp_path, found)
    written = json.loads((tmp_path / "diagnostics.json").read_text())
    assert written["pairs"] == 2
    assert written["means"] == means
    assert written["heads"]["decoder.cross.0"][1]["marks"] == heads[1].marks
    first = written["worst"]["untranslated"][0]
    assert first["source_words"] == SOURCES[found.worst("untranslated", 1)[0]].split()
    assert diagnose(decoder, [""], ["a"], config).means() == {}
