import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nmt.config import BuiltinDataConfig, CleaningConfig, FilesDataConfig, TokenizerConfig, TokenizerKind
from nmt.data import prepare as preparing
from nmt.data.normalization import PLAIN
from nmt.data.prepare import prepare, store_key
from nmt.data.store import Store, write_store
from nmt.errors import DataError

TOKENIZER = TokenizerConfig(kind=TokenizerKind.bpe, vocab_size=60)


@pytest.fixture
def data(tmp_path):
    german = [f"der Satz Nummer {i} ist gut" for i in range(120)]
    english = [f"sentence number {i} is good" for i in range(120)]
    for name, lines in (("x.de", german), ("x.en", english)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    return FilesDataConfig(
        source=str(tmp_path / "x.de"),
        target=str(tmp_path / "x.en"),
        dev_size=11,
        test_size=13,
        store_dir=str(tmp_path / "store"),
    )


def test_ids_decode_to_the_text(data):
    store = prepare(data, TOKENIZER, seed=1)
    dev = store.split("dev")
    assert len(dev) == 11
    assert len(store.split("test")) == 13
    assert len(store.split("train")) == 96
    assert store.tokenizers.source.decode([dev.source(i).tolist() for i in range(11)]) == dev.source_lines
    assert store.tokenizers.target.decode([dev.target(i).tolist() for i in range(11)]) == dev.target_lines
    assert list(dev.source_lengths) == [len(dev.source(i)) for i in range(11)]
    train = store.split("train")
    assert set(store.tokenizers.target.decode([train.target(i).tolist() for i in range(96)])).isdisjoint(dev.target_lines)
    assert store.meta["languages"] == ["de", "en"]
    assert store.meta["cleaning"]["train"]["dropped"]["dev"] == 11
    assert dev.links is None


def test_an_unchanged_input_is_not_prepared_again(data, caplog, monkeypatch):
    first = prepare(data, TOKENIZER, seed=1)
    monkeypatch.setattr("nmt.data.prepare.clean", None)
    with caplog.at_level("INFO"):
        assert prepare(data, TOKENIZER, seed=1).path == first.path
    assert "using the store" in caplog.text


@pytest.mark.promise(16)
def test_a_file_rewritten_in_place_is_noticed(data):
    first = prepare(data, TOKENIZER, seed=1)
    path = data.source
    stat = os.stat(path)
    with open(path, "r+b") as file:
        file.write(b"DER")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert os.stat(path).st_size == stat.st_size
    second = prepare(data, TOKENIZER, seed=1)
    assert second.path != first.path


@pytest.mark.promise(16)
def test_a_file_rewritten_while_it_is_prepared_leaves_no_store(data, monkeypatch):
    learn = preparing.learn_pieces

    def meanwhile(*arguments):
        with open(data.source, "r+b") as file:
            file.write(b"DER")
        return learn(*arguments)

    monkeypatch.setattr(preparing, "learn_pieces", meanwhile)
    with pytest.raises(DataError, match="the input changed while it was prepared"):
        prepare(data, TOKENIZER, seed=1)
    assert os.listdir(data.store_dir) == []


@pytest.mark.parametrize(
    "change",
    [
        {"dev_size": 12},
        {"source_language": "fr"},
        {"cleaning": CleaningConfig(max_length=99)},
    ],
)
def test_every_setting_that_matters_has_a_store_of_its_own(data, change):
    assert store_key(replace(data, **change), TOKENIZER, 1) != store_key(data, TOKENIZER, 1)
    assert store_key(data, replace(TOKENIZER, vocab_size=61), 1) != store_key(data, TOKENIZER, 1)
    assert store_key(data, TOKENIZER, 2) != store_key(data, TOKENIZER, 1)


def test_a_store_says_what_it_was_made_of(data):
    store = prepare(replace(data, licence="CC0"), TOKENIZER, seed=1)
    digests = {
        f"train.{side}": hashlib.sha256(Path(getattr(data, side)).read_bytes()).hexdigest() for side in ("source", "target")
    }
    assert store.meta["inputs"] == digests
    assert store.path == prepare(data, TOKENIZER, seed=1).path


def test_where_things_lie_does_not_matter(data, tmp_path):
    (tmp_path / "moved.de").write_bytes((tmp_path / "x.de").read_bytes())
    moved = replace(data, source=str(tmp_path / "moved.de"), store_dir="elsewhere")
    assert store_key(moved, TOKENIZER, 1) == store_key(data, TOKENIZER, 1)


def test_a_renamed_file_changes_its_language(data, tmp_path):
    before = prepare(data, TOKENIZER, seed=1)
    os.rename(data.source, tmp_path / "x.fr")
    after = prepare(replace(data, source=str(tmp_path / "x.fr")), TOKENIZER, seed=1)
    assert (before.meta["languages"], after.meta["languages"]) == (["de", "en"], ["fr", "en"])


def test_the_seed_matters_only_where_text_is_split_off(data):
    dev = replace(data, dev_source=data.source, dev_target=data.target)
    whole = replace(dev, test_source=data.source, test_target=data.target)
    assert store_key(dev, TOKENIZER, 1) != store_key(dev, TOKENIZER, 2)
    assert store_key(whole, TOKENIZER, 1) == store_key(whole, TOKENIZER, 2)


def test_a_dataset_has_the_store_of_its_text_and_links(data, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "hub").mkdir()
    for split, size in (("train", 40), ("validation", 2), ("test", 1)):
        rows = [{"de": f"{split} Satz {i}", "en": f"{split} sentence {i}"} for i in range(size)]
        (tmp_path / "hub" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = replace(data, source="no.de", target="no.en", hub_name=str(tmp_path / "hub"))
    first = prepare(config, TokenizerConfig(vocab_size=28), seed=1)
    assert first.split("test").links is None
    assert first.path == prepare(config, TokenizerConfig(vocab_size=28), seed=2).path
    (tmp_path / "links").write_text("0-0\n")
    linked = prepare(replace(config, test_alignment=str(tmp_path / "links")), TokenizerConfig(vocab_size=28), seed=1)
    assert linked.split("test").links == ["0-0"]


@pytest.mark.promise(17)
def test_text_of_which_nothing_is_left_says_why(data):
    with pytest.raises(DataError, match=r"no training pair is left after cleaning; dropped: \{'too_long': 120\}"):
        prepare(replace(data, cleaning=CleaningConfig(max_length=2)), TOKENIZER, seed=1)


def test_a_half_written_store_is_not_one(data, monkeypatch):
    def crash(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nmt.data.store.write_json_atomic", crash)
        with pytest.raises(KeyboardInterrupt):
            prepare(data, TOKENIZER, seed=1)
    assert os.listdir(data.store_dir) == []
    assert len(prepare(data, TOKENIZER, seed=1).split("dev")) == 11


def test_a_damaged_tokenizer_is_refused(data):
    store = prepare(data, TOKENIZER, seed=1)
    model = bytearray((store.path / "tokenizer.model").read_bytes())
    model[-1] ^= 1
    (store.path / "tokenizer.model").write_bytes(model)
    with pytest.raises(DataError, match=r"tokenizer\.model: it does not have the hash"):
        Store(store.path, (PLAIN, PLAIN))


def test_raw_text_of_dev_survives_any_character(data, tmp_path):
    odd = ["a\u2028b", "c\x0bd \u00a0", "", "e\u0301"]
    for name in ("dev.de", "dev.en"):
        (tmp_path / name).write_bytes("".join(f"{line}\n" for line in odd).encode())
    config = replace(data, dev_source=str(tmp_path / "dev.de"), dev_target=str(tmp_path / "dev.en"))
    dev = prepare(config, TOKENIZER, seed=1).split("dev")
    assert dev.source_lines == dev.target_lines == odd
    assert dev.source_lengths[2] == 0


def test_the_builtin_corpus_has_gold_links(tmp_path):
    data = BuiltinDataConfig(train_size=300, dev_size=7, test_size=5, store_dir=str(tmp_path))
    store = prepare(data, TokenizerConfig(vocab_size=300), seed=1)
    test = store.split("test")
    assert len(test.links) == 5
    assert test.source(0).dtype == np.uint16
    assert json.loads((store.path / "meta.json").read_text())["splits"]["train"]["pairs"] == 300
    assert store_key(data, TokenizerConfig(vocab_size=300), 2) == store.path.name
    train = store.split("train")
    linked = train.piece_links(np.arange(300))
    assert set(linked[:, 0].tolist()) == set(range(300))
    assert (linked[:, 1] < train.target_lengths[linked[:, 0]]).all()
    assert (linked[:, 2] < train.source_lengths[linked[:, 0]]).all()


def test_another_file_of_links_has_another_store(data, tmp_path):
    links = tmp_path / "x.links"
    links.write_text("0-0\n" * 120)
    linked = replace(data, alignment=str(links))
    first = prepare(linked, TOKENIZER, seed=1)
    assert first.path != prepare(data, TOKENIZER, seed=1).path
    dev = first.split("dev")
    assert dev.links is None  # what a statistical aligner says is no gold
    links.write_text("0-1\n" * 120)
    assert prepare(linked, TOKENIZER, seed=1).path != first.path


def test_two_writers_make_one_store(data):
    store = prepare(data, TOKENIZER, seed=1)
    corpus = {}
    write_store(store.path, corpus, store.tokenizers, {})
    assert len(Store(store.path, (PLAIN, PLAIN)).split("dev")) == 11
