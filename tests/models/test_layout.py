"""Where tokens lie: padded and packed, and the way between."""

import pytest
import torch

from nmt.layout import Layout

LENGTHS = [2, 5, 1]


def test_the_parts_of_a_layout():
    layout = Layout.of(LENGTHS)
    assert (layout.num_sentences, layout.num_tokens, layout.max_length) == (3, 8, 5)
    assert layout.mask.int().tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]]
    assert layout.index.tolist() == [0, 1, 5, 6, 7, 8, 9, 10]
    assert layout.offsets.tolist() == [0, 2, 7, 8]
    assert layout.offsets.dtype is torch.int32
    assert layout.num_positions == 15
    assert Layout.of(LENGTHS, packed=True).num_positions == 8


def test_positions_count_within_a_sentence():
    assert Layout.of(LENGTHS, packed=True).positions().tolist() == [0, 1, 0, 1, 2, 3, 4, 0]
    assert Layout.of(LENGTHS).positions().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("width", [None, 7])
def test_packing_and_padding_are_inverse(width):
    padded, packed = Layout.of(LENGTHS, width=width), Layout.of(LENGTHS, packed=True, width=width)
    tokens = torch.arange(1, 17).view(8, 2)
    rows = padded.pad_packed(tokens)
    assert rows.shape == (3, width or 5, 2)
    assert rows[1, :5].tolist() == tokens[2:7].tolist()
    assert (rows[~padded.mask] == 0).all()
    assert torch.equal(padded.real(rows), tokens)
    assert torch.equal(packed.unpad(rows), tokens)
    assert torch.equal(packed.pad(tokens), rows)
    assert torch.equal(packed.real(tokens), tokens)
    assert padded.pad(rows) is padded.unpad(rows) is rows


def test_selected_sentences_keep_the_width():
    layout = Layout.of(LENGTHS, packed=True).select(torch.tensor([2, 0, 2]))
    assert not layout.packed
    assert layout.max_length == 5
    assert layout.lengths.tolist() == [1, 2, 1]
    assert torch.equal(layout.mask, Layout.of(LENGTHS).mask[[2, 0, 2]])
