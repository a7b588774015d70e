"""Ten thousand corpora that nobody would write: bytes, lines and pairs of every kind."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nmt.config import CleaningConfig, FilesDataConfig, InvalidUtf8, Overlap, TextFormat
from nmt.data.bitext import PairFiles
from nmt.data.cleaning import clean, report_dict
from nmt.data.lines import COMPRESSIONS
from nmt.data.normalization import PLAIN
from nmt.data.pairs import whole
from nmt.data.reader import read_corpus
from nmt.errors import DataError

MANY = settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))

CHARACTERS = st.sampled_from("aB \t\r\n\0\ufeff\u2028\u0085\x0b\x0c\x1c\u00a0\u3000e\u0301\u00e9\u202e\u72ac\U0001f600<>&|\u2581")
BYTES = st.lists(st.one_of(st.binary(max_size=5), st.text(CHARACTERS, max_size=8).map(str.encode)), max_size=12).map(b"".join)
WORDS = st.sampled_from(
    ["a", "A", "b", "", " ", "ab ba", "a b c d e f g", "x\0", "e\u0301", "\u00e9", "7", "\u72ac\u72ac", "\udcff", "\r"]
)
PAIRS = st.lists(st.tuples(WORDS, WORDS), max_size=25)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def attempt(call):
    """What it gives, or what it refuses with."""
    try:
        return call(), ""
    except DataError as error:
        return None, str(error)


@pytest.mark.long
@pytest.mark.promise(3)
@MANY
@given(source=BYTES, target=BYTES)
def test_any_two_files_are_aligned_line_by_line_or_refused(folder, source, target):
    for name, content in (("x.de", source), ("x.en", target)):
        (folder / name).write_bytes(content)
    lines = [content.removesuffix(b"\n").split(b"\n") if content else [] for content in (source, target)]
    text, refusal = attempt(lambda: whole(PairFiles(folder / "x.de", folder / "x.en", strict=False)))
    if text is None:
        assert "x.de" in refusal or "x.en" in refusal
        packed = any(content.startswith(tuple(COMPRESSIONS.values())) for content in (source, target))
        counts = [len(some) for some in lines]
        assert packed or counts[0] != counts[1] or not counts[0] or 1 in counts  # a byte order mark alone is no line
        return
    assert len(text.sources) == len(text.targets) == len(lines[0])
    for some, expected in zip((text.sources, text.targets), lines, strict=True):
        kept = [line.encode("utf-8", "surrogateescape") for line in some]
        assert kept[1:] == [line.removesuffix(b"\r") for line in expected[1:]]


@pytest.mark.long
@pytest.mark.promise(3)
@MANY
@given(content=BYTES, kind=st.sampled_from([TextFormat.tsv, TextFormat.jsonl, TextFormat.tmx, TextFormat.po]))
def test_any_bytes_are_read_or_refused_with_the_name_of_the_file(folder, content, kind):
    path = folder / "x"
    path.write_bytes(content)
    config = FilesDataConfig(bitext=str(path), format=kind, direction="de-en")
    text, refusal = attempt(lambda: whole(read_corpus(config)["train"]))
    if text is None:
        assert str(path) in refusal
        assert "\n" not in refusal
    else:
        assert len(text.sources) == len(text.targets)


@pytest.mark.long
@pytest.mark.promise(15, 20)
@MANY
@given(
    train=PAIRS,
    dev=PAIRS,
    overlap=st.sampled_from(Overlap),
    limits=st.tuples(st.sampled_from([None, 2, 5]), st.sampled_from([None, 1.5]), st.sampled_from([None, 0, 2])),
    digits=st.booleans(),
)
def test_every_pair_is_kept_or_counted(folder, train, dev, overlap, limits, digits):
    corpus = {}
    for name, pairs in (("train", train), ("dev", [pair for pair in dev if "\udcff" not in "".join(pair)])):
        rows = "".join(json.dumps({"de": s, "en": t}) + "\n" for s, t in pairs)
        (folder / f"{name}.jsonl").write_text(rows)
        if pairs:
            config = FilesDataConfig(bitext=str(folder / f"{name}.jsonl"), direction="de-en")
            corpus[name] = whole(read_corpus(config)["train"])
    if "train" not in corpus:
        return
    config = CleaningConfig(
        max_length=limits[0],
        max_ratio=limits[1],
        max_copy_length=limits[2],
        match_digits=digits,
        remove_overlap=overlap,
        invalid_utf8=InvalidUtf8.drop,
    )
    cleaned, report = clean(corpus, config, (PLAIN, PLAIN), processes=1)
    again, second = clean(corpus, config, (PLAIN, PLAIN), processes=1)
    assert report_dict(report) == report_dict(second)
    for split in report.values():
        assert split.read == split.kept + split.dropped.total()
    kept = whole(cleaned["train"])
    assert (kept.sources, kept.targets) == (whole(again["train"]).sources, whole(again["train"]).targets)
    pairs = [(PLAIN(s), PLAIN(t)) for s, t in zip(kept.sources, kept.targets, strict=True)]
    assert len(set(pairs)) == len(pairs) == report["train"].kept
    assert all(s and t for s, t in pairs)
    if overlap is not Overlap.none and "dev" in corpus:
        known = {
            (PLAIN(s).casefold(), PLAIN(t).casefold()) for s, t in zip(corpus["dev"].sources, corpus["dev"].targets, strict=True)
        }
        assert not known & {(s.casefold(), t.casefold()) for s, t in pairs}
