"""Extracted attention: every layer and head, the right pieces and words, whatever else is in the batch, and files that say the same."""

import json

import numpy as np
import pytest
import torch

from nmt.alignment import extraction
from nmt.alignment.extraction import extract, write_jsonl, write_npz
from nmt.alignment.forced import ForcedDecoder
from nmt.attention.capture import capture
from nmt.config import Precision, StackConfig, TokenizerConfig, TransformerConfig
from nmt.data.normalization import PLAIN
from nmt.data.tokenizer import BOS, EOS, Tokenizer, Tokenizers, learn_pieces
from nmt.layout import Layout
from nmt.models import build_model

SOURCES = ["the small dog sees a cat .", "dogs", "", "a  cat sleeps", "a dog"]
TARGETS = ["der kleine Hund sieht eine Katze .", "Hunde schlafen", "Hunde", "die Katze", " "]
TRANSFORMER = TransformerConfig(
    model_dim=12, num_heads=3, feedforward_dim=17, encoder=StackConfig(num_layers=2), decoder=StackConfig(num_layers=1)
)


@pytest.fixture(scope="module")
def tokenizers():
    tokenizer = Tokenizer(learn_pieces(SOURCES + TARGETS, TokenizerConfig(), 31), PLAIN)
    return Tokenizers(tokenizer, tokenizer)


def build(config, tokenizers):
    torch.manual_seed(3)
    return build_model(config, tokenizers.vocab_sizes).eval()


@pytest.fixture
def model(tokenizers):
    return build(TRANSFORMER, tokenizers)


def extracted(model, tokenizers, max_tokens=1_000, **options):
    decoder = ForcedDecoder(model, tokenizers, torch.device("cpu"), Precision.fp32, max_tokens)
    return list(extract(decoder, SOURCES, TARGETS, **options))


@torch.no_grad()
def alone(model, tokenizers, source, target):
    """All attentions of a pair that nothing stands beside."""
    source_ids, target_ids = (
        tokenizer.encode([line])[0] for tokenizer, line in ((tokenizers.source, source), (tokenizers.target, target))
    )
    with capture(model.attentions()) as records:
        memory = model.encode(torch.tensor([[*source_ids, EOS]]), Layout.of([len(source_ids) + 1]))
        model.decode(torch.tensor([[BOS, *target_ids]]), Layout.of([len(target_ids) + 1]), memory)
    pieces = tokenizers.source.pieces(source_ids), tokenizers.target.pieces(target_ids)
    return pieces, {record.name: record.weights[0].numpy() for record in records}


@pytest.mark.parametrize("max_tokens", [17, 1000])
@pytest.mark.parametrize("block", [2, 1000])
def test_every_layer_and_head_of_every_pair(family_config, tokenizers, max_tokens, block, monkeypatch):
    monkeypatch.setattr(extraction, "BLOCK_PAIRS", block)
    model = build(family_config, tokenizers)
    found = extracted(model, tokenizers, max_tokens=max_tokens)
    assert len(found) == 5
    for i, attention in enumerate(found):
        (source, target), expected = alone(model, tokenizers, SOURCES[i], TARGETS[i])
        assert attention.source == [*source, "</s>"]
        assert attention.target_in == ["<s>", *target]
        assert attention.target_out == [*target, "</s>"]
        if i in (2, 4):
            assert attention.weights == {}
            continue
        assert list(attention.weights) == list(model.attentions())
        for name, weights in attention.weights.items():
            np.testing.assert_allclose(weights, expected[name], atol=1e-6)
            assert weights.dtype == np.float32


def test_words_are_sums_over_keys_and_means_over_queries(model, tokenizers):
    pieces, words = extracted(model, tokenizers)[0], extracted(model, tokenizers, of_words=True)[0]
    assert words.source == ["the", "small", "dog", "sees", "a", "cat", ".", "</s>"]
    assert words.target_in == ["<s>", "der", "kleine", "Hund", "sieht", "eine", "Katze", "."]
    assert words.target_out == ["der", "kleine", "Hund", "sieht", "eine", "Katze", ".", "</s>"]

    def begins(labels):
        """Where words begin: each mark is one, and so is each piece with the mark of a beginning."""
        return [i for i, label in enumerate(labels) if label in ("<s>", "</s>") or label.startswith("\u2581")]

    sides = {
        "encoder.self": (pieces.source, pieces.source),
        "decoder.self": (pieces.target_out, pieces.target_in),
        "decoder.cross": (pieces.target_out, pieces.source),
    }
    for name, weights in pieces.weights.items():
        queries, keys = (begins(labels) for labels in sides[name.rpartition(".")[0]])
        expected = np.add.reduceat(np.add.reduceat(weights, keys, axis=2), queries, axis=1)
        expected /= np.diff([*queries, weights.shape[1]])[:, None]
        np.testing.assert_allclose(words.weights[name], expected, atol=1e-6)
        np.testing.assert_allclose(words.weights[name].sum(-1), 1, atol=1e-5)


def test_only_what_is_named(model, tokenizers):
    [first, *_] = extracted(model, tokenizers, names=["decoder.cross.0"])
    assert list(first.weights) == ["decoder.cross.0"]
    assert first.weights["decoder.cross.0"].shape == (3, len(first.target_out), len(first.source))
    with pytest.raises(KeyError, match=r"decoder\.cross\.1.*there are encoder\.self\.0"):
        extracted(model, tokenizers, names=["decoder.cross.1"])


def test_files_say_the_same(model, tokenizers, tmp_path):
    found = extracted(model, tokenizers)
    assert write_npz(tmp_path / "made", iter(found)) == 5
    assert write_jsonl(tmp_path / "made", iter(found)) == 5
    sentences = [json.loads(line) for line in (tmp_path / "made/sentences.jsonl").read_text().splitlines()]
    objects = [json.loads(line) for line in (tmp_path / "made/attention.jsonl").read_text().splitlines()]
    with np.load(tmp_path / "made/attention.npz", allow_pickle=False) as arrays:
        assert len(arrays.files) == 3 * len(model.attentions())
        for i, attention in enumerate(found):
            labels = {"source": attention.source, "target_in": attention.target_in, "target_out": attention.target_out}
            assert sentences[i] == labels
            weights = objects[i].pop("weights")
            assert objects[i] == labels
            assert list(weights) == list(attention.weights)
            for name, rows in attention.weights.items():
                np.testing.assert_array_equal(arrays[f"sentence_{i:04d}/{name}"], rows)
                np.testing.assert_allclose(weights[name], rows, atol=1e-5)


def test_a_failure_leaves_no_file(model, tokenizers, tmp_path):
    def broken():
        yield extracted(model, tokenizers)[0]
        raise RuntimeError("inside")

    for write in (write_npz, write_jsonl):
        with pytest.raises(RuntimeError, match="inside"):
            write(tmp_path, broken())
    assert list(tmp_path.iterdir()) == []
