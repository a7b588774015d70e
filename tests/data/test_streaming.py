"""What is done a block at a time, against the same in plain words, with everything in memory."""

import json
import random
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmt.config import CleaningConfig, FilesDataConfig, Overlap, TokenizerConfig, TokenizerKind
from nmt.data import cleaning, pairs, prepare
from nmt.data.bitext import PairFiles
from nmt.data.cleaning import clean, report_dict, split_off
from nmt.data.filters import Reason
from nmt.data.lines import read_lines
from nmt.data.normalization import PLAIN, UNUSUAL, normalize
from nmt.data.pairs import ParallelText, whole
from nmt.data.store import Store
from nmt.data.tokenizer import Tokenizer, learn_pieces
from nmt.errors import ConfigError, DataError

NORMALIZERS = (PLAIN, PLAIN)


def plain_clean(corpus, config):
    """Kept training pairs, and the report."""
    report = {name: {"read": len(some), "kept": 0, "dropped": {}, "repaired": {}, "overlap": {}} for name, some in corpus.items()}
    held_out = [pair for name, some in corpus.items() if name != "train" for pair in some]
    kept, seen, dropped, overlap = [], set(), Counter(), Counter()
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
        elif source == target and long > config.max_copy_length:
            dropped["copy"] += 1
        else:
            known = {kind for kind in ("pair", "source", "target") if fold(raw, kind) in {fold(p, kind) for p in held_out}}
            overlap.update(known)
            if config.deduplicate and (source, target) in seen:
                dropped["duplicate"] += 1
            elif known & KNOWN[config.remove_overlap]:
                dropped["overlap"] += 1
            else:
                kept.append(raw)
            seen.add((source, target))
    report["train"]["dropped"] = in_order(dropped)
    report["train"]["overlap"] = {kind: overlap[kind] for kind in ("pair", "source", "target") if overlap[kind]}
    result = {**corpus, "train": kept}
    count(result, report)
    return result, report


KNOWN = {Overlap.none: set(), Overlap.pair: {"pair"}, Overlap.side: {"source", "target"}}


def in_order(dropped):
    return {reason.name.lower(): dropped[reason.name.lower()] for reason in Reason if dropped[reason.name.lower()]}


def plain_split_off(corpus, report, sizes, seed, overlap=Overlap.pair):
    train = corpus["train"]
    drawn = random.Random(seed).sample(range(len(train)), sum(sizes.values()))
    result = dict(corpus)
    dropped = Counter(report["train"]["dropped"])
    for name, size in sizes.items():
        result[name] = [train[i] for i in sorted(drawn[:size])]
        drawn = drawn[size:]
        report[name] = {"read": size, "kept": 0, "dropped": {}, "repaired": {}, "overlap": {}}
        dropped[name] = size
    places = set(random.Random(seed).sample(range(len(train)), sum(sizes.values())))
    held_out = {(kind, fold(pair, kind)) for name in sizes for pair in result[name] for kind in KNOWN[overlap]}
    result["train"] = [
        pair
        for i, pair in enumerate(train)
        if i not in places and not any((kind, fold(pair, kind)) in held_out for kind in KNOWN[overlap])
    ]
    dropped["overlap"] += len(train) - sum(sizes.values()) - len(result["train"])
    report["train"]["dropped"] = in_order(dropped)
    count(result, report)
    return result


def fold(pair, kind):
    source, target = (normalize(side).casefold() for side in pair)
    return {"pair": (source, target), "source": source, "target": target}[kind]


def count(corpus, report):
    for name, some in corpus.items():
        repaired = Counter()
        for pair in some:
            if any(UNUSUAL.search(side) for side in pair):
                repaired["characters"] += 1
            if not all(unicodedata.is_normalized("NFC", side) for side in pair):
                repaired["nfc"] += 1
            if any("\r" in side for side in pair):
                repaired["carriage_return"] += 1
        in_turn = ("characters", "nfc", "carriage_return")
        report[name] |= {"kept": len(some), "repaired": {kind: repaired[kind] for kind in in_turn if repaired[kind]}}


def text(some):
    return ParallelText([source for source, _ in some], [target for _, target in some])


def pairs_of(some):
    return list(zip(whole(some).sources, whole(some).targets, strict=True))


@pytest.fixture(params=[3, 8192])
def blocks(request, monkeypatch):
    """Blocks that a few pairs fill, and slices of hashes that a few hashes fill; or those that are used."""
    monkeypatch.setattr(pairs, "BLOCK_PAIRS", request.param)
    monkeypatch.setattr(cleaning, "SLICE", request.param)


ODD = ["", "x\0", "e\u0301", "\u00e9", "a\u00a0 b", "a\tb", "\u2028", "a\rb"]
LINES = st.sampled_from(["a", "b", "A", "B a", "c b a d", "a b c d e f", *ODD])
PAIRS = st.lists(st.tuples(LINES, LINES), min_size=1, max_size=40)


@pytest.mark.promise(15, 20)
@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("given_splits", [(), ("dev",), ("test",), ("dev", "test")])
@settings(max_examples=30, deadline=None)
@given(train=PAIRS, dev=PAIRS, test=PAIRS, dedup=st.booleans(), overlap=st.sampled_from(Overlap), seed=st.integers(0, 9))
def test_cleaning_and_splitting_off_do_what_they_say(given_splits, train, dev, test, dedup, overlap, seed):
    config = CleaningConfig(max_length=5, max_ratio=2.0, max_copy_length=3, deduplicate=dedup, remove_overlap=overlap)
    given_pairs = {"train": train, **{name: some for name, some in (("dev", dev), ("test", test)) if name in given_splits}}
    expected, expected_report = plain_clean(given_pairs, config)
    cleaned, report = clean({name: text(some) for name, some in given_pairs.items()}, config, NORMALIZERS)
    as_json = json.dumps(expected_report)  # the order of the reasons too, because it stands in the store
    assert json.dumps(report_dict(report)) == as_json
    assert {name: pairs_of(some) for name, some in cleaned.items()} == expected
    sizes = {name: 1 for name in ("dev", "test") if name not in given_splits}
    if sum(sizes.values()) > len(expected["train"]) // 2:
        with pytest.raises(ConfigError):
            split_off(cleaned, report, 1, 1, seed)
        return
    if sizes:
        expected = plain_split_off(expected, expected_report, sizes, seed, overlap)
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
        lines = [lines[i] for i in sorted(random.Random(0).sample(range(len(lines)), limit))]
    tokenizer = Tokenizer(learn_pieces(lines, settings, 40), NORMALIZERS[0])
    assert store.tokenizers.source.model == store.tokenizers.target.model == tokenizer.model
    report["train"]["repaired"]["crlf"] = 600
    assert store.meta["cleaning"] == report
    for name, some in expected.items():
        for i, side in enumerate(("source", "target")):
            rows = tokenizer.encode([normalize(pair[i]) for pair in some])
            offsets = np.cumsum([0, *map(len, rows)])
            for kind, array in (("ids", np.array([i for row in rows for i in row], dtype=np.uint16)), ("offsets", offsets)):
                np.save(tmp_path / "expected.npy", array)
                assert (store.path / f"{name}.{side}.{kind}.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
            assert store.meta["splits"][name][f"{side}_pieces"] == offsets[-1]
        if name != "train":
            assert store.split(name).source_lines == [source for source, _ in some]
    assert Store(store.path, NORMALIZERS).meta == store.meta


@pytest.mark.usefixtures("blocks")
def test_files_are_read_alike_as_a_whole_and_in_blocks(tmp_path):
    content = "\ufeffeins\r\nzwei\u2028\n\rdrei\r\r\n\n\ufefffünf"
    (tmp_path / "x.de").write_bytes(content.encode())
    (tmp_path / "x.en").write_bytes(content.encode())
    files = PairFiles(tmp_path / "x.de", tmp_path / "x.en")
    expected = ["eins", "zwei\u2028", "\rdrei\r", "", "\ufefffünf"]
    assert read_lines(tmp_path / "x.de") == expected
    assert [pairs_of(files), pairs_of(files)] == [list(zip(expected, expected, strict=True))] * 2


def test_a_text_that_grows_while_it_is_read_is_noticed(tmp_path):
    for name in ("x.de", "x.en"):
        (tmp_path / name).write_text("eins\nzwei\n")
    cleaned, _ = clean({"train": PairFiles(tmp_path / "x.de", tmp_path / "x.en")}, CleaningConfig(), NORMALIZERS)
    for name in ("x.de", "x.en"):
        (tmp_path / name).write_text("eins\nzwei\ndrei\n")
    with pytest.raises(DataError, match="changed while it was read: it had 2 pairs, and now has 3"):
        whole(cleaned["train"])
