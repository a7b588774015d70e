"""Long lines: what is cut, where, and that nothing is lost but what should be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.config import LongLines
from nmt.decoding.long_lines import shorten


def count(texts):
    """A piece for every character but blanks, and one for every word."""
    return [len(text.replace(" ", "")) + len(text.split()) for text in texts]


TEXT = 'He said "Stop!" and left. She did not (why?) ask... Then 3.14 of them came. 我们走。你好！ok'


CUTS = {
    40: ['He said "Stop!" and left. ', "She did not (why?) ask... ", "Then 3.14 of them came. 我们走。你好！ok"],
    25: ['He said "Stop!" ', "and left. ", "She did not (why?) ", "ask... ", "Then 3.14 of them came. ", "我们走。你好！ok"],
    12: [
        *("He said ", '"Stop!" ', "and left. ", "She did not ", "(why?) ", "ask... "),
        *("Then 3.14 ", "of them ", "came. 我们走。", "你好！ok"),
    ],
    5: None,
    2: None,
}


@pytest.mark.parametrize(("limit", "expected"), CUTS.items(), ids=str)
def test_split(limit, expected):
    parts = shorten(TEXT, limit, LongLines.split, count)
    assert "".join(parts) == TEXT
    assert max(count(parts)) <= limit
    if expected:
        assert parts == expected


def test_truncate():
    assert shorten("aa bb cc dd", 7, LongLines.truncate, count) == ["aa bb "]
    assert shorten("aa bb cc dd", 6, LongLines.truncate, count) == ["aa bb "]
    assert shorten("a. b. c.", 7, LongLines.truncate, count) == ["a. b. "]
    assert shorten("abcdefgh ij", 5, LongLines.truncate, count) == ["ab"]  # a character counts with its own start of a word


def test_keep():
    assert shorten(TEXT, 3, LongLines.keep, count) == [TEXT]


@given(st.text(alphabet="ab. !?。\"')", min_size=1), st.integers(2, 9))
def test_parts_are_the_line(text, limit):
    line = " ".join(text.split())
    if not line:
        return
    parts = shorten(line, limit, LongLines.split, count)
    assert "".join(parts) == line
    assert max(count(parts)) <= limit
    assert line.startswith(shorten(line, limit, LongLines.truncate, count)[0])
