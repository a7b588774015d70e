import gzip
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmt.config import BuiltinDataConfig, FilesDataConfig
from nmt.data.reader import languages, read_corpus, read_lines, read_pairs
from nmt.errors import ConfigError, DataError

TEXT = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20).filter(
    lambda s: not s.endswith("\r")
)


def write(path, lines):
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return path


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=9))
def test_any_lines_come_back_as_they_were(pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    sources, targets = [s for s, _ in pairs], [t for _, t in pairs]
    sources[0] = sources[0].removeprefix("\ufeff")
    text = read_pairs(write(folder / "a.de", sources), write(folder / "a.en", targets))
    assert text.sources == sources
    assert text.targets == [targets[0].removeprefix("\ufeff"), *targets[1:]]


@pytest.mark.parametrize("extra", ["source", "target"])
def test_one_line_more_on_either_side_is_refused_with_both_counts(tmp_path, extra):
    lines = {"source": ["a"] * 5, "target": ["b"] * 5}
    lines[extra].append("c")
    source, target = write(tmp_path / "x.de", lines["source"]), write(tmp_path / "x.en", lines["target"])
    with pytest.raises(DataError) as error:
        read_pairs(source, target)
    counts = {"source": (6, 5), "target": (5, 6)}[extra]
    assert f"{source} has {counts[0]} lines, but {target} has {counts[1]}" in str(error.value)


def test_only_newlines_end_a_line(tmp_path):
    odd = "one\u2028two\u0085three\x0bfour\x0cfive\rsix\x1cseven"
    assert read_lines(write(tmp_path / "x", [odd, "last"])) == [odd, "last"]


def test_windows_ends_and_a_byte_order_mark_are_dropped(tmp_path):
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfeins\r\nzwei\r\n")
    assert read_lines(tmp_path / "x") == ["eins", "zwei"]


def test_a_last_line_without_end_counts(tmp_path):
    (tmp_path / "x").write_bytes(b"eins\nzwei")
    assert read_lines(tmp_path / "x") == ["eins", "zwei"]


def test_invalid_utf8_is_named_with_line_and_byte(tmp_path):
    (tmp_path / "train.de").write_bytes(b"gut\nsch\xfcler\n")
    with pytest.raises(DataError, match=r"train\.de:2: invalid UTF-8 at byte 4 \(0xfc\)"):
        read_lines(tmp_path / "train.de")


def test_gzip_is_known_by_its_content(tmp_path):
    (tmp_path / "plain-name.de").write_bytes(gzip.compress("schön\ngut\n".encode()))
    assert read_lines(tmp_path / "plain-name.de") == ["schön", "gut"]


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:20] + b"\0\0\0" + data[23:]])
def test_a_damaged_gzip_is_named(tmp_path, damage):
    (tmp_path / "x.gz").write_bytes(damage(gzip.compress(b"some text that is long enough\n" * 50)))
    with pytest.raises(DataError, match=r"x\.gz: "):
        read_lines(tmp_path / "x.gz")


def test_missing_and_empty_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.de: No such file"):
        read_lines(tmp_path / "nowhere.de")
    write(tmp_path / "x.de", [])
    with pytest.raises(DataError, match=r"x\.de is empty"):
        read_pairs(tmp_path / "x.de", tmp_path / "x.de")


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("2-0", "link 2-0 points to source word 2, but the source has 2 words"),
        ("0p2", "link 0-2 points to target word 2, but the target has 2 words"),
        ("0:1", "but is '0:1'"),
        ("0-", "but is '0-'"),
        ("٠-٠", "but is '٠-٠'"),
    ],
)
def test_gold_links_are_checked(tmp_path, link, message):
    source, target = write(tmp_path / "x.de", ["ja", "zwei Worte"]), write(tmp_path / "x.en", ["yes", "two words"])
    with pytest.raises(DataError) as error:
        read_pairs(source, target, write(tmp_path / "x.align", ["0-0", f"1p1 {link}"]))
    assert "x.align:2: " in str(error.value)
    assert message in str(error.value)


def test_languages_come_from_suffixes_or_settings():
    assert languages(FilesDataConfig(source="my.de", target="x/my.en.gz")) == ("de", "en")
    assert languages(FilesDataConfig(source="a", target="b.en", source_language="fr")) == ("fr", "en")
    assert languages(BuiltinDataConfig()) == ("en", "de")
    with pytest.raises(ConfigError, match=r"data\.source_language"):
        languages(FilesDataConfig(source="a", target="b.en"))


def test_files_must_be_named():
    with pytest.raises(ConfigError, match=r"data\.source.*data\.target"):
        read_corpus(FilesDataConfig(source="a.de"))


@pytest.mark.parametrize("side", ["dev_source", "dev_target", "test_source", "test_target"])
def test_files_must_be_named_in_pairs(side):
    split = side.split("_")[0]
    with pytest.raises(ConfigError, match=rf"data\.{split}_source` and `data\.{split}_target` must name the two files"):
        read_corpus(FilesDataConfig(source="a.de", target="a.en", **{side: "b"}))


def test_gold_links_belong_to_the_test_text(tmp_path):
    source, target = str(write(tmp_path / "x.de", ["ja"])), str(write(tmp_path / "x.en", ["yes"]))
    links = str(write(tmp_path / "x.align", ["0p0"]))
    config = FilesDataConfig(source=source, target=target, test_source=source, test_target=target, test_alignment=links)
    assert read_corpus(config)["test"].links == ["0p0"]
    with pytest.raises(ConfigError, match=r"data\.test_alignment"):
        read_corpus(FilesDataConfig(source=source, target=target, test_alignment=links))
    write(tmp_path / "x.align", ["0-0", "0-0"])
    with pytest.raises(DataError, match=r"x\.align has 2 lines, but the text it aligns has 1"):
        read_corpus(config)


def test_sizes_of_the_builtin_corpus_are_positive():
    with pytest.raises(ConfigError, match=r"data\.dev_size` must be at least 1, but is 0"):
        read_corpus(BuiltinDataConfig(dev_size=0))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Writes a local dataset and gives the configuration that reads it in place of files."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "hub"
    folder.mkdir()

    def make(**splits):
        for split, rows in splits.items():
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return FilesDataConfig(source=str(tmp_path / "no.de"), target=str(tmp_path / "no.en"), hub_name=str(folder))

    return make


def test_a_row_of_a_dataset_is_one_line(hub):
    corpus = read_corpus(hub(train=[{"de": "eins\nzwei", "en": "one"}, {"de": "drei", "en": "three\u2028"}]))
    assert corpus["train"].sources == ["eins zwei", "drei"]
    assert corpus["train"].targets == ["one", "three\u2028"]
    assert corpus.keys() == {"train"}


def test_a_dataset_rewritten_in_place_is_read_again(hub, tmp_path):
    config = hub(train=[{"de": "eins", "en": "one"}])
    assert read_corpus(config)["train"].sources == ["eins"]
    stat = (tmp_path / "hub" / "train.jsonl").stat()
    hub(train=[{"de": "zwei", "en": "two"}])
    os.utime(tmp_path / "hub" / "train.jsonl", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (tmp_path / "hub" / "train.jsonl").stat().st_size == stat.st_size
    assert read_corpus(config)["train"].sources == ["zwei"]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (
            {"train": [{"de": "eins", "en": "one"}, {"de": None, "en": "two"}]},
            r"split train, row 2: de must be text, but is None",
        ),
        ({"train": [{"de": "eins", "fr": "un"}]}, r"split train: no column en; there are \['de', 'fr'\]"),
        ({"test": [{"de": "eins", "en": "one"}]}, r"has no split train; there are \['test'\]"),
    ],
)
def test_a_dataset_that_does_not_fit_is_named(hub, splits, message):
    with pytest.raises(DataError, match=message):
        read_corpus(hub(**splits))


@pytest.mark.parametrize("missing", ["source", "target"])
def test_a_dataset_stands_in_for_no_single_file(hub, tmp_path, missing):
    config = hub(train=[{"de": "eins", "en": "one"}])
    write(tmp_path / ("no.en" if missing == "source" else "no.de"), ["x"])
    with pytest.raises(DataError, match=r"no\.de: No such file" if missing == "source" else r"no\.en: No such file"):
        read_corpus(config)


@pytest.mark.parametrize("nested", [False, True])
def test_a_local_dataset_stands_in_for_missing_files(tmp_path, nested, caplog, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for split in ("train", "validation", "test"):
        pair = {"de": f"{split} eins", "en": f"{split} one"}
        row = {"translation": pair} if nested else pair
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    config = FilesDataConfig(source=str(tmp_path / "no.de"), target=str(tmp_path / "no.en"), hub_name=str(tmp_path))
    with caplog.at_level("INFO"):
        corpus = read_corpus(config)
    assert "instead" in caplog.text
    assert corpus["dev"].sources == ["validation eins"]
    assert {name: text.targets for name, text in corpus.items()} == {
        "train": ["train one"],
        "dev": ["validation one"],
        "test": ["test one"],
    }


def test_a_hub_out_of_reach_says_what_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = FilesDataConfig(source=str(tmp_path / "no.de"), target="no.en", hub_name=str(tmp_path / "no-such-dataset"))
    with pytest.raises(DataError, match=r"no\.de is not there, and the dataset .*no-such-dataset cannot be loaded"):
        read_corpus(config)
