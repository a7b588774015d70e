"""Pieces that are drawn anew whenever training text is read."""

from itertools import pairwise
from random import Random

import numpy as np
import pytest
import torch

from nmt.config import FilesDataConfig, TokenizerConfig, TokenizerKind
from nmt.data.batching import make_batch
from nmt.data.prepare import prepare
from nmt.data.sampled import SampledSplit

ALPHA = 0.3
SYLLABLES = ["ba", "kel", "lim", "mo", "nu", "sat"]


@pytest.fixture(scope="module", params=[TokenizerKind.unigram, TokenizerKind.bpe], ids=lambda kind: kind.name)
def store(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sampling")
    for name in ("x.de", "x.en"):
        random = Random(1)
        lines = [" ".join("".join(random.choices(SYLLABLES, k=3)) for _ in range(7)) for _ in range(211)]
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    data = FilesDataConfig(
        source=str(folder / "x.de"),
        target=str(folder / "x.en"),
        dev_size=7,
        test_size=5,
        store_dir=str(folder / "store"),
    )
    data.cleaning.max_copy_length = None
    return prepare(data, TokenizerConfig(kind=request.param, vocab_size=90, sampling_alpha=ALPHA), seed=1)


def drawn(store, seed, sentences=(3, 17, 5)):
    torch.manual_seed(seed)
    return make_batch(SampledSplit(store, ALPHA), np.array(sentences))


def test_a_batch_spells_its_text_in_pieces_that_follow_the_seed(store):
    batches = [drawn(store, seed) for seed in (1, 1, 2)]
    assert torch.equal(batches[0].source, batches[1].source)
    assert torch.equal(batches[0].target_in, batches[1].target_in)
    assert not torch.equal(batches[0].source, batches[2].source)
    split = store.split("train")
    for batch in batches:
        flat = batch.source_layout.real(batch.source).tolist()
        ends = np.cumsum([0, *batch.source_layout.lengths.tolist()])
        rows = [flat[begin : end - 1] for begin, end in pairwise(ends)]
        plain = [split.source(i).tolist() for i in (3, 17, 5)]
        assert store.tokenizers.source.decode(rows) == store.tokenizers.source.decode(plain)
        assert rows != plain


def test_the_two_sides_are_drawn_apart(store):
    """The two sides have the same text here."""
    batch = drawn(store, 1, range(40))
    assert batch.source_layout.real(batch.source).tolist() != batch.target_layout.real(batch.target_out).tolist()


def test_planned_lengths_are_those_of_the_mean_draw(store):
    split, sampled = store.split("train"), SampledSplit(store, ALPHA)
    everything = np.arange(len(split))
    torch.manual_seed(0)
    growth = np.mean([sampled.gather("target", everything)[1].sum() for _ in range(5)]) / split.target_lengths.sum()
    assert growth == pytest.approx(store.meta["growth"]["target"], rel=0.03)
    assert growth > 1.05
    expected = np.ceil(split.target_lengths * store.meta["growth"]["target"])
    assert np.array_equal(sampled.target_lengths, expected)


def test_dev_is_not_drawn(store):
    dev = store.split("dev")
    assert dev.source(0).tolist() == store.tokenizers.source.encode(dev.source_lines[:1])[0]
