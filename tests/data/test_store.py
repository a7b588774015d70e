import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from nmt.config import TokenizerConfig, TokenizerKind
from nmt.data.normalization import PLAIN, normalize
from nmt.data.pairs import Mixture, ParallelText
from nmt.data.store import Split, Store, store_exists, write_store
from nmt.data.tokenizer import Tokenizer, Tokenizers, learn_pieces
from nmt.errors import DataError

SOURCES = ["der Hund schläft", "", "ein\u2028Haus\r und ein Hund", "e\u0301cole", "Hund ✗"]
TARGETS = ["the dog sleeps", "a house", " \u00a0 ", "school", "dog"]


@pytest.fixture(scope="module")
def tokenizer():
    lines = [normalize(line) for line in SOURCES + TARGETS]
    return Tokenizer(learn_pieces(lines * 3, TokenizerConfig(kind=TokenizerKind.bpe), 41), PLAIN)


@pytest.fixture
def corpus():
    dev = ParallelText(SOURCES[:3], TARGETS[:3], ["0-0 1p1 2-2", "", "0-0"])
    return {"train": ParallelText(SOURCES, TARGETS), "dev": dev}


@pytest.fixture
def store(tmp_path, corpus, tokenizer):
    write_store(tmp_path / "here", corpus, Tokenizers(tokenizer, tokenizer), {"languages": ["de", "en"]})
    return Store(tmp_path / "here", (PLAIN, PLAIN))


def test_rows_are_what_the_tokenizer_says(store, corpus, tokenizer):
    for name, text in corpus.items():
        split = store.split(name)
        assert len(split) == len(text)
        for i, (source, target) in enumerate(zip(text.sources, text.targets, strict=True)):
            (source_ids, target_ids) = tokenizer.encode([normalize(source), normalize(target)])
            assert split.source(i).tolist() == source_ids
            assert split.target(i).tolist() == target_ids
            assert (split.source_lengths[i], split.target_lengths[i]) == (len(source_ids), len(target_ids))
    assert store.meta["splits"]["train"]["target_pieces"] == store.split("train").target_lengths.sum()
    assert store.meta["languages"] == ["de", "en"]


def test_text_and_links_come_back_unchanged(store, corpus):
    dev = store.split("dev")
    assert (dev.source_lines, dev.target_lines, dev.links) == (corpus["dev"].sources, corpus["dev"].targets, corpus["dev"].links)
    assert list(dev.source_lengths > 0) == [True, False, True]
    assert list(dev.target_lengths > 0) == [True, True, False]


def test_arrays_stay_on_the_disk(store):
    row = store.split("train").source(0)
    assert isinstance(row.base, np.memmap)
    assert row.dtype == np.uint16
    assert not row.flags.writeable


def test_a_side_may_be_all_blank(tmp_path, tokenizer):
    write_store(tmp_path / "x", {"dev": ParallelText(["", " "], ["a", "b"])}, Tokenizers(tokenizer, tokenizer), {})
    assert Store(tmp_path / "x", (PLAIN, PLAIN)).split("dev").source(1).tolist() == []


def test_large_vocabularies_have_wide_ids(tmp_path):
    rows = [[70_000, 65_536], [5]]
    large = SimpleNamespace(
        vocab_size=70_001,
        model=b"",
        cuts_words_alone=False,
        encode=lambda lines: rows,
        save=lambda path: path.write_bytes(b""),
    )
    write_store(tmp_path / "x", {"train": ParallelText(["a", "b"], ["a", "b"])}, Tokenizers(large, large), {})
    assert [Split(tmp_path / "x", "train").source(i).tolist() for i in range(2)] == rows


def test_what_is_left_of_a_store_is_replaced(tmp_path, corpus, tokenizer):
    path = tmp_path / "here"
    for left in (path, tmp_path / f"here.{os.getpid()}.tmp"):
        left.mkdir()
        (left / "train.source.ids.npy").write_bytes(b"half")
    assert not store_exists(path)
    write_store(path, corpus, Tokenizers(tokenizer, tokenizer), {})
    assert len(Store(path, (PLAIN, PLAIN)).split("train")) == len(SOURCES)
    assert os.listdir(tmp_path) == ["here"]


@pytest.mark.promise(2)
def test_a_killed_writer_leaves_no_store(tmp_path):
    code = """
import os, sys
from pathlib import Path
import nmt.data.store as module
from nmt.config import TokenizerConfig
from nmt.data.normalization import PLAIN
from nmt.data.pairs import Mixture, ParallelText
from nmt.data.tokenizer import Tokenizer, Tokenizers, learn_pieces
module.os.rename = lambda *_: os._exit(9)
path, text = Path(sys.argv[1]), ParallelText(["ab ba"], ["ba ab"])
tokenizer = Tokenizer(learn_pieces(["ab ba"], TokenizerConfig(), 7), PLAIN)
module.write_store(path, {"train": text}, Tokenizers(tokenizer, tokenizer), {})
"""
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "here")], capture_output=True, timeout=60)
    assert killed.returncode == 9
    assert len(os.listdir(tmp_path)) == 1  # what was written aside, with its meta.json
    assert not store_exists(tmp_path / "here")


@pytest.mark.parametrize("kept_bytes", [0, 50, 130])
def test_an_array_that_was_cut_off_is_named(store, kept_bytes):
    path = store.path / "train.target.offsets.npy"
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(DataError, match=r"here is damaged \(split train: .*delete it"):
        store.split("train")


def test_a_damaged_description_or_a_missing_folder_is_named(store):
    for content in ('{"langua', "[]", "{}"):
        (store.path / "meta.json").write_text(content)
        with pytest.raises(DataError, match=r"here is damaged \(meta\.json"):
            Store(store.path, (PLAIN, PLAIN))
    shutil.rmtree(store.path)
    with pytest.raises(DataError, match=r"here is damaged \(meta\.json"):
        Store(store.path, (PLAIN, PLAIN))


def test_a_flipped_byte_of_the_description_is_named(store):
    """Whether or not it is JSON still, with the same keys."""
    path = store.path / "meta.json"
    content = path.read_bytes()
    for i in range(len(content)):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :])
        with pytest.raises(DataError, match=r"here is damaged \(meta\.json"):
            Store(store.path, (PLAIN, PLAIN))


def test_a_flipped_bit_of_any_file_is_named(store):
    files = [file for file in sorted(store.path.iterdir()) if file.name != "meta.json"]
    assert {file.suffix for file in files} == {".npy", ".txt", ".model"}
    for file in files:
        content = file.read_bytes()
        for i in {0, len(content) // 2, len(content) - 1}:
            file.write_bytes(content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :])
            with pytest.raises(DataError, match=rf"here is damaged \({file.name}: it does not have the hash"):
                Store(store.path, (PLAIN, PLAIN))
        file.unlink()
        with pytest.raises(DataError, match=rf"here is damaged \(.*{file.name}'\)"):
            Store(store.path, (PLAIN, PLAIN))
        file.write_bytes(content)
    Store(store.path, (PLAIN, PLAIN))


def test_a_tag_is_the_first_word_of_its_sources(tmp_path, tokenizer):
    text = ParallelText(["Hund", "ein Haus"], ["dog", "a house"], ["0-0", "1p0 1-1"], tag="ein")
    write_store(tmp_path / "x", {"train": text, "test": text}, Tokenizers(tokenizer, tokenizer), {}, keep_train_text=True)
    store = Store(tmp_path / "x", (PLAIN, PLAIN))
    test = store.split("test")
    assert (test.source_lines, test.target_lines) == (["ein Hund", "ein ein Haus"], text.targets)
    assert test.links == ["1-0", "2p0 2-1"]
    train = store.split("train")
    assert train.source(1).tolist() == test.source(1).tolist() == tokenizer.encode(["ein ein Haus"])[0]
    assert train.lines("source", np.array([1, 0])) == ["ein ein Haus", "ein Hund"]
    assert train.lines("target", np.array([0])) == ["dog"]


LINKED = {
    "one": ParallelText(["der Hund schläft", "", "Hund ein", "a b c"], ["the dog sleeps", "a", "dog", "c b a"], None),
    "two": ParallelText(["ein Haus", "ein Hund", "x"], ["a house", "a dog", "y"], ["0p0 0p1 1-1", "", "0-0"]),
    "three": ParallelText(["der Hund schläft"], ["the dog"], ["0-0 1-1 2p1 2p0"], tag="ein"),
}


def links_by_loops(tokenizer, text, i):
    """Of a pair with its tag before it: every target piece with every source piece whose words are linked, possible ones if no other."""
    if not text.links:
        return []
    links = [(int(link[0]) + bool(text.tag), int(link[2]), link[1] == "-") for link in text.links[i].split()]
    sure = {t for _, t, is_sure in links if is_sure}
    chosen = {(s, t) for s, t, is_sure in links if is_sure or t not in sure}
    sides = []
    for line in (f"{text.tag or ''} {text.sources[i]}", text.targets[i]):
        pieces = tokenizer.pieces(tokenizer.encode([line])[0])
        sides.append([sum(piece.startswith("\u2581") for piece in pieces[: k + 1]) - 1 for k in range(len(pieces))])
    source, target = sides
    return [[t, s] for t in range(len(target)) for s in range(len(source)) if (source[s], target[t]) in chosen]


@pytest.mark.parametrize("names", [("one", "two", "three"), ("two", "one"), ("three",)], ids=str)
def test_links_of_training_text_are_those_of_pieces(tmp_path, tokenizer, names):
    text = Mixture({name: LINKED[name] for name in names})
    write_store(tmp_path / "x", {"train": text}, Tokenizers(tokenizer, tokenizer), {})
    train = Store(tmp_path / "x", (PLAIN, PLAIN)).split("train")
    pairs = [(LINKED[name], i) for name in names for i in range(len(LINKED[name]))]
    chosen = np.array([*range(len(pairs)), 0, len(pairs) - 1])
    found = train.piece_links(chosen)
    expected = [[row, *link] for row, i in enumerate(chosen) for link in links_by_loops(tokenizer, *pairs[i])]
    assert len(expected) > 3
    assert sorted(found.tolist()) == sorted(expected)


def test_text_without_links_has_no_files_of_them(tmp_path, tokenizer):
    write_store(tmp_path / "x", {"train": LINKED["one"]}, Tokenizers(tokenizer, tokenizer), {})
    assert not list((tmp_path / "x").glob("*links*"))


def test_a_link_to_no_word_names_the_pair(tmp_path, tokenizer):
    text = ParallelText(["ein Hund"], ["a dog"], ["0-0 2-1"])
    with pytest.raises(DataError, match="the links of 'ein Hund': link 2-1 points to source word 2, but the source has 2 words"):
        write_store(tmp_path / "x", {"train": text}, Tokenizers(tokenizer, tokenizer), {})
