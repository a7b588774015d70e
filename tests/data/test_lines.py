"""Bytes to lines: ends, marks, compression, damage."""

import bz2
import gzip
import lzma

import pyarrow
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nmt.data.lines import COMPRESSIONS, line_blocks, read_lines
from nmt.errors import DataError

PACK = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pyarrow.compress(data, codec="zstd", asbytes=True),
}


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.promise(3)
@settings(max_examples=60, deadline=None)
@given(lines=st.lists(st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"")), max_size=9))
def test_lines_of_any_bytes_are_what_stands_between_line_feeds(lines, tmp_path_factory):
    content = b"".join(line + b"\n" for line in lines)
    assume(not content.startswith(tuple(COMPRESSIONS.values())))
    expected = [line.removesuffix(b"\r") for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n")[:-1]]
    path = write(tmp_path_factory.mktemp("bytes") / "x", content)
    kept = [line.encode("utf-8", "surrogateescape") for block in line_blocks(path, strict=False) for line in block.lines]
    assert kept == expected


@pytest.mark.promise(3)
def test_only_newlines_end_a_line(tmp_path):
    odd = "one\u2028two\u0085three\x0bfour\x0cfive\rsix\x1cseven"
    assert read_lines(write(tmp_path / "x", f"{odd}\nlast\n".encode())) == [odd, "last"]


def test_windows_ends_and_a_byte_order_mark_are_dropped_and_counted(tmp_path):
    path = write(tmp_path / "x", b"\xef\xbb\xbfeins\r\nzwei\ndrei\r\n")
    assert read_lines(path) == ["eins", "zwei", "drei"]
    (block,) = line_blocks(path)
    assert block.repaired == {"crlf": 2, "byte_order_mark": 1}


def test_a_last_line_without_end_counts(tmp_path):
    assert read_lines(write(tmp_path / "x", b"eins\nzwei")) == ["eins", "zwei"]


def test_invalid_utf8_is_named_with_line_and_byte(tmp_path):
    path = write(tmp_path / "train.de", b"gut\nsch\xfcler\n")
    with pytest.raises(DataError, match=r"train\.de:2: invalid UTF-8 at byte 4 \(0xfc\)"):
        read_lines(path)
    assert [line for block in line_blocks(path, strict=False) for line in block.lines] == ["gut", "sch\udcfcler"]


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("times", [1, 2])
def test_a_compressed_file_is_known_by_its_content(tmp_path, kind, times):
    packed = PACK[kind]("schön\ngut\n".encode()) * times  # packed files may be put one behind the other
    assert read_lines(write(tmp_path / "plain-name.de", packed)) == ["schön", "gut"] * times


@pytest.mark.parametrize("kind", PACK)
def test_a_compressed_file_that_is_cut_off_or_damaged_is_named(tmp_path, kind):
    content = b"".join(b"some text %d that is long enough\n" % i for i in range(5000))
    packed = PACK[kind](content)
    with pytest.raises(DataError, match=r"x\.packed: ."):
        read_lines(write(tmp_path / "x.packed", packed[: len(packed) // 2]))
    with pytest.raises(DataError, match=r"x\.packed: ."):
        read_lines(write(tmp_path / "x.packed", packed[:40] + b"\xff\xff\xff\xff" + packed[44:]))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.de: No such file"):
        read_lines(tmp_path / "nowhere.de")
    with pytest.raises(DataError, match="Is a directory"):
        read_lines(tmp_path)
