import io
import json
import os
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmt.config import BuiltinDataConfig, CorpusConfig, FilesDataConfig
from nmt.data import reader
from nmt.data.links import parse_links, swap_links
from nmt.data.pairs import whole
from nmt.data.reader import languages, read_corpus, read_pairs
from nmt.errors import ConfigError, DataError

TEXT = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20).filter(
    lambda s: not s.endswith("\r")
)


def write(path, lines):
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return path


@pytest.mark.promise(3)
@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=9))
def test_any_lines_come_back_as_they_were(pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    sources, targets = [s for s, _ in pairs], [t for _, t in pairs]
    sources[0] = sources[0].removeprefix("\ufeff")
    text = read_pairs(write(folder / "a.de", sources), write(folder / "a.en", targets))
    assert text.sources == sources
    assert text.targets == [targets[0].removeprefix("\ufeff"), *targets[1:]]


@pytest.mark.promise(3)
@pytest.mark.parametrize("extra", ["source", "target"])
def test_one_line_more_on_either_side_is_refused_with_both_counts(tmp_path, extra):
    lines = {"source": ["a"] * 5, "target": ["b"] * 5}
    lines[extra].append("c")
    source, target = write(tmp_path / "x.de", lines["source"]), write(tmp_path / "x.en", lines["target"])
    with pytest.raises(DataError) as error:
        read_pairs(source, target)
    counts = {"source": (6, 5), "target": (5, 6)}[extra]
    assert f"{source} has {counts[0]} lines, but {target} has {counts[1]}" in str(error.value)


def test_an_empty_file_is_named(tmp_path):
    write(tmp_path / "x.de", [])
    with pytest.raises(DataError, match=r"x\.de is empty"):
        read_pairs(tmp_path / "x.de", tmp_path / "x.de")


@pytest.mark.parametrize(("cut", "side"), [(11, "source"), (30, "target"), (53, "source")])
def test_where_files_part_is_found_by_the_lengths_of_their_lines(tmp_path, cut, side):
    random = Random(1)
    lines = {"source": ["x" * random.randint(1, 60) for _ in range(61)]}
    lines["target"] = ["y" * len(line) for line in lines["source"]]
    lines[side][cut : cut + 2] = []
    lines["target"][0] = "y\u2028y"
    with pytest.raises(DataError) as error:
        read_pairs(write(tmp_path / "x.de", lines["source"]), write(tmp_path / "x.en", lines["target"]))
    assert f"they part near line {cut + 1}" in str(error.value)
    assert "1 lines of" in str(error.value)
    assert "U+2028" in str(error.value)


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
    assert languages(FilesDataConfig(bitext="x.tmx", direction="de-en")) == ("de", "en")
    assert languages(FilesDataConfig(source="x.pt-BR.xz", target="x.en", direction="en-pt-BR")) == ("en", "pt-BR")
    with pytest.raises(ConfigError, match=r"`data\.direction` must be de-en or en-de, but is 'de-fr'"):
        languages(FilesDataConfig(source="a.de", target="b.en", direction="de-fr"))
    mixed = {"one": CorpusConfig(source="a.de", target="a.en"), "two": CorpusConfig(source="b.de.gz", target="b.en")}
    assert languages(FilesDataConfig(corpora=mixed)) == ("de", "en")


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


def linked_config(tmp_path, links, sources=("ja", "zwei Worte")):
    source, target = str(write(tmp_path / "x.de", sources)), str(write(tmp_path / "x.en", sources))
    return FilesDataConfig(source=source, target=target, alignment=str(write(tmp_path / "x.links", links)))


def test_links_of_training_text_go_with_their_pairs(tmp_path):
    config = linked_config(tmp_path, ["0-0", "0-1 1p0"])
    assert [block.links for block in read_corpus(config)["train"].blocks()] == [["0-0", "0-1 1p0"]]
    turned = read_corpus(replace(config, direction="en-de"))["train"]
    assert [block.links for block in turned.blocks()] == [["0-0", "1-0 0p1"]]
    part = CorpusConfig(source=config.source, target=config.target, alignment=config.alignment, tag="<x>")
    plain = CorpusConfig(source=config.source, target=config.target)
    mixed = read_corpus(FilesDataConfig(corpora={"one": part, "two": plain}))["train"]
    assert [(block.links, block.tag) for block in mixed.blocks()] == [(["0-0", "0-1 1p0"], "<x>"), (None, None)]


@pytest.mark.parametrize(
    ("links", "sources", "message"),
    [
        (["0-0"], ("a", "b"), "x.links has 1 lines, but the text it aligns has more"),
        (["0-0"] * 3, ("a", "b"), "x.links has more lines than the text it aligns, which has 2"),
        (["1-1", "1-2 2-1"] * 6, ("a b", "c d") * 6, "x.links: no link has a first word, of 12 pairs"),
    ],
)
def test_links_of_training_text_must_fit_it(tmp_path, links, sources, message):
    with pytest.raises(DataError, match=message):
        list(read_corpus(linked_config(tmp_path, links, sources))["train"].blocks())


def test_links_belong_to_two_files():
    with pytest.raises(ConfigError, match=r"`data\.alignment` aligns the lines of two files"):
        read_corpus(FilesDataConfig(bitext="x.tsv", alignment="x.links", direction="de-en"))


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
    assert whole(corpus["train"]).sources == ["eins zwei", "drei"]
    assert whole(corpus["train"]).targets == ["one", "three\u2028"]
    assert corpus.keys() == {"train"}


@pytest.mark.promise(16)
def test_a_dataset_rewritten_in_place_is_read_again(hub, tmp_path):
    config = hub(train=[{"de": "eins", "en": "one"}])
    assert whole(read_corpus(config)["train"]).sources == ["eins"]
    stat = (tmp_path / "hub" / "train.jsonl").stat()
    hub(train=[{"de": "zwei", "en": "two"}])
    os.utime(tmp_path / "hub" / "train.jsonl", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (tmp_path / "hub" / "train.jsonl").stat().st_size == stat.st_size
    assert whole(read_corpus(config)["train"]).sources == ["zwei"]


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
        whole(read_corpus(hub(**splits))["train"])


@pytest.mark.parametrize("missing", ["source", "target"])
def test_a_dataset_stands_in_for_no_single_file(hub, tmp_path, missing):
    config = hub(train=[{"de": "eins", "en": "one"}])
    write(tmp_path / ("no.en" if missing == "source" else "no.de"), ["x"])
    with pytest.raises(DataError, match=r"no\.de: No such file" if missing == "source" else r"no\.en: No such file"):
        read_corpus(config)


@pytest.mark.parametrize("nested", [False, True])
def test_a_local_dataset_stands_in_for_missing_files(tmp_path, nested, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for split in ("train", "validation", "test"):
        pair = {"de": f"{split} eins", "en": f"{split} one"}
        row = {"translation": pair} if nested else pair
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    config = FilesDataConfig(source=str(tmp_path / "no.de"), target=str(tmp_path / "no.en"), hub_name=str(tmp_path))
    corpus = read_corpus(config)
    assert corpus["dev"].sources == ["validation eins"]
    assert {name: whole(pairs).targets for name, pairs in corpus.items()} == {
        "train": ["train one"],
        "dev": ["validation one"],
        "test": ["test one"],
    }


def test_a_hub_out_of_reach_says_what_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = FilesDataConfig(source=str(tmp_path / "no.de"), target="no.en", hub_name=str(tmp_path / "no-such-dataset"))
    with pytest.raises(DataError, match=r"the dataset .*no-such-dataset cannot be loaded from the hub"):
        read_corpus(config)


def test_a_corpus_can_be_turned_round(tmp_path):
    source, target = str(write(tmp_path / "x.de", ["ja doch", "nein"])), str(write(tmp_path / "x.en", ["yes", "no"]))
    links = str(write(tmp_path / "x.align", ["0-0 1p0", "0-0"]))
    config = FilesDataConfig(
        source=source, target=target, test_source=source, test_target=target, test_alignment=links, direction="en-de"
    )
    corpus = read_corpus(config)
    assert (whole(corpus["train"]).sources, whole(corpus["train"]).targets) == (["yes", "no"], ["ja doch", "nein"])
    assert (corpus["test"].sources, corpus["test"].links) == (["yes", "no"], ["0-0 0p1", "0-0"])
    there, back = (read_corpus(BuiltinDataConfig(train_size=7, dev_size=3, test_size=3, direction=d)) for d in (None, "de-en"))
    assert there["test"].sources == back["test"].targets
    assert [parse_links(swap_links(line)) for line in back["test"].links] == [parse_links(line) for line in there["test"].links]


def test_corpora_are_mixed_in_order_with_their_tags(tmp_path):
    corpora = {}
    for name, tag in (("one", "<1>"), ("two", None)):
        for side in ("de", "en"):
            write(tmp_path / f"{name}.{side}", [f"{name} {side}"] * 3)
        corpora[name] = CorpusConfig(source=str(tmp_path / f"{name}.de"), target=str(tmp_path / f"{name}.en"), tag=tag)
    train = read_corpus(FilesDataConfig(corpora=corpora))["train"]
    assert [(block.sources[0], block.tag) for block in train.blocks()] == [("one de", "<1>"), ("two de", None)]
    assert whole(train).sources == ["<1> one de"] * 3 + ["two de"] * 3
    with pytest.raises(ConfigError, match=r"either `data\.corpora` or"):
        read_corpus(FilesDataConfig(corpora=corpora, source="x"))
    with pytest.raises(ConfigError, match=r"`data\.corpora\.one\.weight` must be above 0"):
        read_corpus(FilesDataConfig(corpora={"one": CorpusConfig(source="a", target="b", weight=0)}))
    with pytest.raises(ConfigError, match=r"`data\.corpora\.one\.source` and `data\.corpora\.one\.target` must name"):
        read_corpus(FilesDataConfig(corpora={"one": CorpusConfig(source="a")}, source_language="de", target_language="en"))


def test_standard_input_is_read_once_and_kept(monkeypatch):
    reader._standard_input.cache_clear()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"eins\tone\nzwei\ttwo\n")))
    config = FilesDataConfig(bitext="-", direction="de-en")
    for _ in range(2):
        assert whole(read_corpus(config)["train"]).targets == ["one", "two"]
    reader._standard_input().unlink()
    reader._standard_input.cache_clear()
