import numpy as np
import pytest
import torch

from nmt.data.batching import make_batch
from nmt.data.store import Split
from nmt.data.tokenizer import BOS, EOS, PAD


class ListSplit(Split):
    """A split of given ids."""

    def __init__(self, pairs):
        sides = {side: [row[i] for row in pairs] for i, side in enumerate(("source", "target"))}
        self._ids = {side: np.concatenate(rows).astype(np.uint16) for side, rows in sides.items()}
        self._offsets = {side: np.cumsum([0, *map(len, rows)]) for side, rows in sides.items()}


@pytest.mark.parametrize("packed", [False, True])
def test_a_batch_has_its_marks(packed):
    split = ListSplit([([5, 6], [7]), ([8], [9, 10, 11])])
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
