import numpy as np
import pytest
import torch

from nmt.data.batching import IdPairs, make_batch
from nmt.data.store import Split
from nmt.data.tokenizer import BOS, EOS, PAD


class ListSplit(Split):
    """A split of given ids."""

    def __init__(self, pairs):
        sides = {side: [row[i] for row in pairs] for i, side in enumerate(("source", "target"))}
        self._ids = {side: np.concatenate(rows).astype(np.uint16) for side, rows in sides.items()}
        self._offsets = {side: np.cumsum([0, *map(len, rows)]) for side, rows in sides.items()}


def given_ids(pairs):
    return IdPairs(*zip(*pairs, strict=True))


@pytest.mark.parametrize("kind", [ListSplit, given_ids])
@pytest.mark.parametrize("packed", [False, True])
def test_a_batch_has_its_marks(packed, kind):
    split = kind([([5, 6], [7]), ([8], [9, 10, 11])])
    batch = make_batch(split, np.array([1, 0]), packed=packed)
    rows = {
        "source": [[8, EOS], [5, 6, EOS]],
        "target_in": [[BOS, 9, 10, 11], [BOS, 7]],
        "target_out": [[9, 10, 11, EOS], [7, EOS]],
    }
    for name, expected in rows.items():
        layout = batch.source_layout if name == "source" else batch.target_layout
        values = getattr(batch, name)
        assert layout.real(values).tolist() == [i for row in expected for i in row]
        if not packed:
            width = max(map(len, expected))
            assert values.tolist() == [row + [PAD] * (width - len(row)) for row in expected]
    assert batch.num_tokens == 6
    assert batch.to(torch.device("cpu")).sentences.tolist() == [1, 0]


@pytest.mark.parametrize("max_tokens", [1, 9, 100])
def test_given_pairs_are_all_in_batches_within_the_budget(max_tokens):
    """But for a pair that is longer, which is alone; a side may have no pieces."""
    pairs = given_ids([([5] * n, [6] * (11 - n)) for n in range(12)])
    buckets = pairs.buckets(max_tokens)
    assert sorted(i for bucket in buckets for i in bucket) == list(range(12))
    for bucket in buckets:
        batch = make_batch(pairs, bucket)
        longest = max(batch.source_layout.max_length, batch.target_layout.max_length)
        assert longest * len(bucket) <= max(max_tokens, 12)
        assert batch.target_layout.lengths.tolist() == [12 - i for i in bucket]
    assert IdPairs([], []).buckets(max_tokens) == []
