"""What is done a block at a time, against the same in plain words, with everything in memory."""

import json
import random
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmt.config import CleaningConfig, FilesDataConfig, TokenizerConfig, TokenizerKind
from nmt.data import cleaning, prepare, reader
from nmt.data.cleaning import UNUSUAL, clean, normalize, report_dict, split_off
from nmt.data.reader import PairFiles, ParallelText, read_lines, whole
from nmt.data.store import Store
from nmt.data.tokenizer import Tokenizer
from nmt.errors import ConfigError


def plain_clean(corpus, config):
    """Kept training pairs, and the report."""
    report = {name: {"read": len(pairs), "kept": 0, "dropped": {}, "repaired": {}} for name, pairs in corpus.items()}
    held_out = {fold(pair) for name, pairs in corpus.items() if name != "train" for pair in pairs}
    kept, seen, dropped = [], set(), Counter()
    for raw in corpus["train"]:
        source, target = map(normalize, raw)
        short, long = sorted([len(source.split()), len(target.split())])
        if "\0" in "".join(raw):
            dropped["nul"] += 1
        elif short == 0:
            dropped["empty"] += 1
        elif long > config.max_length:
            dropped["too_long"] += 1
        elif long > config.max_ratio * short:
            dropped["ratio"] += 1
        elif config.deduplicate and (source, target) in seen:
            dropped["duplicate"] += 1
        else:
            seen.add((source, target))
            if config.remove_overlap and fold(raw) in held_out:
                dropped["overlap"] += 1
            else:
                kept.append(raw)
    report["train"]["dropped"] = dict(dropped)
    result = {**corpus, "train": kept}
    count(result, report)
    return result, report


def plain_split_off(corpus, report, sizes, seed):
    train = corpus["train"]
    drawn = random.Random(seed).sample(range(len(train)), sum(sizes.values()))
    result = dict(corpus)
    dropped = Counter(report["train"]["dropped"])
    for name, size in sizes.items():
        result[name] = [train[i] for i in sorted(drawn[:size])]
        drawn = drawn[size:]
        report[name] = {"read": size, "kept": 0, "dropped": {}, "repaired": {}}
        dropped[name] = size
    held_out = {fold(pair) for name in sizes for pair in result[name]}
    result["train"] = [pair for pair in train if fold(pair) not in held_out]
    dropped["overlap"] += len(train) - sum(sizes.values()) - len(result["train"])
    report["train"]["dropped"] = dict(dropped)
    count(result, report)
    return result


def fold(pair):
    return "\t".join(map(normalize, pair)).casefold()


def count(corpus, report):
    for name, pairs in corpus.items():
        repaired = Counter()
        for pair in pairs:
            if any(UNUSUAL.search(side) for side in pair):
                repaired["characters"] += 1
            if not all(unicodedata.is_normalized("NFC", side) for side in pair):
                repaired["nfc"] += 1
        report[name] |= {"kept": len(pairs), "repaired": dict(repaired)}


def text(pairs):
    return ParallelText([source for source, _ in pairs], [target for _, target in pairs])


def pairs_of(some):
    return list(zip(whole(some).sources, whole(some).targets, strict=True))


@pytest.fixture(params=[3, 8192])
def blocks(request, monkeypatch):
    """Blocks that a few pairs fill, and slices of hashes that a few hashes fill; or those that are used."""
    monkeypatch.setattr(reader, "BLOCK_PAIRS", request.param)
    monkeypatch.setattr(cleaning, "SLICE", request.param)


LINES = st.sampled_from(["a", "b", "A", "", "a b c d e f", "x\0", "e\u0301", "\u00e9", "a\u00a0 b", "a\tb", "\u2028", "B a"])
PAIRS = st.lists(st.tuples(LINES, LINES), min_size=1, max_size=40)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("given_splits", [(), ("dev",), ("test",), ("dev", "test")])
@settings(max_examples=30, deadline=None)
@given(train=PAIRS, dev=PAIRS, test=PAIRS, dedup=st.booleans(), overlap=st.booleans(), seed=st.integers(0, 9))
def test_cleaning_and_splitting_off_do_what_they_say(given_splits, train, dev, test, dedup, overlap, seed):
    config = CleaningConfig(max_length=5, max_ratio=2.0, deduplicate=dedup, remove_overlap=overlap)
    given_pairs = {"train": train, **{name: pairs for name, pairs in (("dev", dev), ("test", test)) if name in given_splits}}
    expected, expected_report = plain_clean(given_pairs, config)
    cleaned, report = clean({name: text(pairs) for name, pairs in given_pairs.items()}, config)
    as_json = json.dumps(expected_report)  # the order of the reasons too, because it stands in the store
    assert json.dumps(report_dict(report)) == as_json
    assert {name: pairs_of(some) for name, some in cleaned.items()} == expected
    sizes = {name: 1 for name in ("dev", "test") if name not in given_splits}
    if sum(sizes.values()) > len(expected["train"]) // 2:
        with pytest.raises(ConfigError):
            split_off(cleaned, report, 1, 1, seed)
        return
    if sizes:
        expected = plain_split_off(expected, expected_report, sizes, seed)
    split = split_off(cleaned, report, 1, 1, seed)
    assert {name: pairs_of(some) for name, some in split.items()} == expected
    assert list(split) == list(expected)
    assert json.dumps(report_dict(report)) == json.dumps(expected_report)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("limit", [1_000_000, 50])
def test_a_store_is_what_numpy_would_save_of_the_whole(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(prepare, "MAX_TRAINING_LINES", limit)
    numbers = random.Random(5)
    words = ["null", "eins", "Zwei", "drei", "vie\u0301r", "fünf"]
    train = [tuple(" ".join(numbers.choices(words, k=numbers.randint(0, 5))) for _ in range(2)) for _ in range(300)]
    for i, name in enumerate(("x.de", "x.en")):
        (tmp_path / name).write_text("".join(f"{pair[i]}\r\n" for pair in train))
    data = FilesDataConfig(
        source=str(tmp_path / "x.de"), target=str(tmp_path / "x.en"), dev_size=9, test_size=8, store_dir=str(tmp_path / "store")
    )
    settings = TokenizerConfig(kind=TokenizerKind.bpe, vocab_size=40)
    store = prepare.prepare(data, settings, seed=3)

    cleaned, report = plain_clean({"train": train}, data.cleaning)
    expected = plain_split_off(cleaned, report, {"dev": 9, "test": 8}, seed=3)
    lines = [normalize(pair[i]) for i in (0, 1) for pair in expected["train"]]
    if len(lines) > limit:
        lines = random.Random(0).sample(lines, limit)
    tokenizer = Tokenizer.train(lines, settings)
    assert store.tokenizer.model == tokenizer.model
    assert store.meta["cleaning"] == report
    for name, pairs in expected.items():
        for i, side in enumerate(("source", "target")):
            rows = tokenizer.encode([normalize(pair[i]) for pair in pairs])
            offsets = np.cumsum([0, *map(len, rows)])
            for kind, array in (("ids", np.array([i for row in rows for i in row], dtype=np.uint16)), ("offsets", offsets)):
                np.save(tmp_path / "expected.npy", array)
                assert (store.path / f"{name}.{side}.{kind}.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
            assert store.meta["splits"][name][f"{side}_pieces"] == offsets[-1]
        if name != "train":
            assert store.split(name).source_lines == [source for source, _ in pairs]
    assert Store(store.path).meta == store.meta


@pytest.mark.usefixtures("blocks")
def test_files_are_read_alike_as_a_whole_and_in_blocks(tmp_path):
    content = "\ufeffeins\r\nzwei\u2028\n\rdrei\r\r\n\n\ufefffünf"
    (tmp_path / "x.de").write_bytes(content.encode())
    (tmp_path / "x.en").write_bytes(content.encode())
    pairs = PairFiles(tmp_path / "x.de", tmp_path / "x.en")
    expected = ["eins", "zwei\u2028", "\rdrei\r", "", "\ufefffünf"]
    assert read_lines(tmp_path / "x.de") == expected
    assert [pairs_of(pairs), pairs_of(pairs)] == [list(zip(expected, expected, strict=True))] * 2


def test_a_text_that_grows_while_it_is_read_is_noticed(tmp_path):
    for name in ("x.de", "x.en"):
        (tmp_path / name).write_text("eins\nzwei\n")
    cleaned, _ = clean({"train": PairFiles(tmp_path / "x.de", tmp_path / "x.en")}, CleaningConfig())
    for name in ("x.de", "x.en"):
        (tmp_path / name).write_text("eins\nzwei\ndrei\n")
    with pytest.raises(reader.DataError, match="changed while it was read: it had 2 pairs, and now has 3"):
        whole(cleaned["train"])
