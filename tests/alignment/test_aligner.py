"""Alignments read from attention: the right rows, columns, layer, head and words, whatever else is in the batch."""

import json

import numpy as np
import pytest
import torch

from nmt.alignment.aligner import align, read_alignments, write_alignments
from nmt.alignment.attribution import cross_attention_name
from nmt.alignment.forced import ForcedDecoder
from nmt.config import AlignmentConfig, LinkMethod, Precision, TokenizerConfig
from nmt.data.links import parse_links
from nmt.data.normalization import PLAIN
from nmt.data.tokenizer import BOS, EOS, Tokenizer, Tokenizers, learn_pieces
from nmt.errors import ConfigError, DataError
from nmt.models import build_model

SOURCES = [
    "the small dog sees a cat .",
    "dogs",
    "",
    "a cat sleeps",
    "the  cat\u00a0sees  dogs ",
    "\u2581 the\u2581dog",
    "我们 dog",
]
TARGETS = ["der kleine Hund sieht eine Katze .", "Hunde schlafen", "Hunde", " ", "die Katze sieht Hunde", "der Hund", "wir"]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(learn_pieces(SOURCES[:5] + TARGETS, TokenizerConfig(), 37), PLAIN)


@pytest.fixture
def model(family_config, tokenizer):
    torch.manual_seed(3)
    return build_model(family_config, (tokenizer.vocab_size, tokenizer.vocab_size)).eval()


def align_all(model, tokenizer, sources=SOURCES, targets=TARGETS, config=None, **options):
    config = config or AlignmentConfig(method=LinkMethod.argmax)
    decoder = ForcedDecoder(model, Tokenizers(tokenizer, tokenizer), torch.device("cpu"), Precision.fp32, **options)
    return align(decoder, sources, targets, config)


def word_attention_by_steps(model, tokenizer, source, target, shift=False):
    """Attention of the top layer, mean over heads, from stepping the decoder through one sentence; words by a loop.

    A piece's is that of the step that predicts it, or with ``shift`` of the one that reads it.
    """
    from nmt.layout import Layout

    source_ids, target_ids = (ids[0] for ids in (tokenizer.encode([source]), tokenizer.encode([target])))
    memory = model.encode(torch.tensor([[*source_ids, EOS]]), Layout.of([len(source_ids) + 1]))
    state = model.init_state(memory)
    words = np.zeros((len(target.split()), len(source.split())))
    counts = np.zeros(len(words))
    t = -1
    if shift:
        state = model.step(torch.tensor([BOS]), state, memory).state
    for previous, piece in zip(target_ids if shift else [BOS, *target_ids], tokenizer.pieces(target_ids), strict=False):
        output = model.step(torch.tensor([previous]), state, memory, with_attention=True)
        state = output.state
        t += piece.startswith("\u2581")
        counts[t] += 1
        s = -1
        for j, source_piece in enumerate(tokenizer.pieces(source_ids)):
            s += source_piece.startswith("\u2581")
            words[t, s] += output.attention[0, j].item()
    return words / counts[:, None]


@pytest.mark.parametrize("shift", [False, True])
@torch.no_grad()
def test_rows_are_the_attention_that_predicts_or_reads_each_word(model, tokenizer, shift):
    config = AlignmentConfig(method=LinkMethod.argmax, shift=shift)
    for i, alignment in enumerate(align_all(model, tokenizer, config=config, max_tokens=31)):
        if i in (2, 3):
            assert alignment.links == frozenset()
            assert alignment.weights.size == 0
            assert alignment.weights.shape == (len(alignment.target_words), len(alignment.source_words))
            continue
        source, target = " ".join(alignment.source_words), " ".join(alignment.target_words)
        expected = word_attention_by_steps(model, tokenizer, source, target, shift)
        np.testing.assert_allclose(alignment.weights, expected, atol=1e-5)
        assert alignment.weights.dtype == np.float32
        assert (alignment.weights.sum(1) < 1).all()  # what goes to the end of the source is left out
        assert alignment.links == {(int(np.argmax(row)), t) for t, row in enumerate(alignment.weights)}


def test_words_are_those_of_the_line(model, tokenizer):
    words = [alignment.source_words for alignment in align_all(model, tokenizer)]
    assert words[0] == ["the", "small", "dog", "sees", "a", "cat", "."]
    assert words[4] == ["the", "cat", "sees", "dogs"]
    assert words[5] == ["the", "dog"]
    assert words[6] == ["我们", "dog"]


def test_batches_change_neither_order_nor_weights(model, tokenizer):
    together = align_all(model, tokenizer)
    for budget in (1, 23):
        for first, second in zip(together, align_all(model, tokenizer, max_tokens=budget), strict=True):
            assert first.target_words == second.target_words
            np.testing.assert_allclose(first.weights, second.weights, atol=1e-6)


def test_blank_pairs_alone(model, tokenizer):
    assert [a.links for a in align_all(model, tokenizer, ["", "a"], ["b", "\u3000"])] == [frozenset(), frozenset()]
    assert align_all(model, tokenizer, [], []) == []


def test_layer_and_head(model, tokenizer):
    names = [name for name in model.attentions() if name.startswith("decoder.cross")]
    assert [cross_attention_name(model, layer) for layer in range(-len(names), len(names))] == 2 * names
    for layer in (len(names), -len(names) - 1):
        with pytest.raises(ConfigError, match=rf"`alignment.layer`.*{-len(names)} to {len(names) - 1}.*is {layer}"):
            align_all(model, tokenizer, config=AlignmentConfig(layer=layer))
    num_heads = 2 if len(names) > 1 else 1
    with pytest.raises(ConfigError, match=rf"`alignment.head`.*0 to {num_heads - 1}.*is {num_heads}"):
        align_all(model, tokenizer, config=AlignmentConfig(head=num_heads))
    mean = align_all(model, tokenizer)[0].weights
    heads = [align_all(model, tokenizer, config=AlignmentConfig(head=head))[0].weights for head in range(num_heads)]
    np.testing.assert_allclose(np.mean(heads, axis=0), mean, atol=1e-6)
    if len(names) > 1:
        lowest = align_all(model, tokenizer, config=AlignmentConfig(layer=0))[0].weights
        assert not np.allclose(lowest, mean)
        assert not np.allclose(*heads)


def test_what_is_written_can_be_read_back(model, tokenizer, tmp_path):
    alignments = align_all(model, tokenizer)
    gold = [parse_links("0-0 1p1")] + [parse_links("")] * 6
    scores = write_alignments(tmp_path / "made", alignments, gold)
    lines = (tmp_path / "made" / "links.txt").read_text().splitlines()
    assert [parse_links(line).sure for line in lines] == [alignment.links for alignment in alignments]
    pairs = [json.loads(line) for line in (tmp_path / "made" / "sentences.jsonl").read_text().splitlines()]
    with np.load(tmp_path / "made" / "attention.npz", allow_pickle=False) as arrays:
        assert len(arrays.files) == len(alignments)
        for i, alignment in enumerate(alignments):
            assert pairs[i] == {"source": alignment.source_words, "target": alignment.target_words}
            np.testing.assert_array_equal(arrays[f"sentence_{i:04d}"], alignment.weights)
    for found, alignment in zip(read_alignments(tmp_path / "made"), alignments, strict=True):
        assert (found.source_words, found.target_words) == (alignment.source_words, alignment.target_words)
        assert found.links == alignment.links
        np.testing.assert_array_equal(found.weights, alignment.weights)
    written = json.loads((tmp_path / "made" / "scores.json").read_text())
    assert written["sure_and_possible"]["aer"] == scores["sure_and_possible"].aer
    assert written["sure_only"]["num_possible"] == 1


def test_without_gold_links_there_are_no_scores(model, tokenizer, tmp_path):
    assert write_alignments(tmp_path, align_all(model, tokenizer)) == {}
    assert not (tmp_path / "scores.json").exists()


def test_gold_links_that_count_from_1_are_refused(model, tokenizer, tmp_path):
    gold = [parse_links("1-1 7-7")] + [parse_links("")] * 6
    with pytest.raises(DataError, match="line 1: link 7-7 points to source word 7, but the source has 7 words"):
        write_alignments(tmp_path / "refused", align_all(model, tokenizer), gold)
    assert not (tmp_path / "refused").exists()


@torch.no_grad()
def test_what_goes_to_the_end_of_the_source_is_made_up_for(model, tokenizer):
    plain = align_all(model, tokenizer)
    full = align_all(model, tokenizer, config=AlignmentConfig(method=LinkMethod.argmax, without_end=True))
    for before, after in zip(plain, full, strict=True):
        if before.weights.size:
            np.testing.assert_allclose(after.weights, before.weights / before.weights.sum(1, keepdims=True), rtol=1e-5)
            assert after.links == before.links
