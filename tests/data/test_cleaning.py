import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmt.config import CleaningConfig, Overlap
from nmt.data import cleaning
from nmt.data.cleaning import format_report, report_dict
from nmt.data.filters import num_words
from nmt.data.normalization import PLAIN
from nmt.data.pairs import Mixture, ParallelText, Tagged, whole
from nmt.errors import ConfigError


def corpus(pairs, **others):
    return {"train": text(pairs), **{name: text(split) for name, split in others.items()}}


def text(pairs):
    return ParallelText([s for s, _ in pairs], [t for _, t in pairs])


def clean(texts, config):
    """The cleaned text in memory, the selection that it comes from, and the report."""
    selected, report = cleaning.clean(texts, config, (PLAIN, PLAIN))
    return Cleaned(selected), report


class Cleaned(dict):
    def __init__(self, selected):
        super().__init__({name: whole(pairs) for name, pairs in selected.items()})
        self.selected = selected


def split_off(cleaned, *args, **kwargs):
    return Cleaned(cleaning.split_off(cleaned.selected, *args, **kwargs))


@pytest.mark.promise(15, 20)
def test_each_reason_is_counted():
    pairs = [
        ("gut", "good"),
        ("gut", "good"),
        ("", "nothing"),
        ("\u2028", "blank"),
        ("wort " * 12, "word " * 12),
        ("eins", "one two three four"),
        ("nul\0", "nul"),
        ("Die Probe", "the TEST"),
        ("b\udcfcro", "office"),
        ("x" * 99, "y"),
        ("one and the same", "one and the same"),
        ("3 von 17", "3 of 18"),
    ]
    config = CleaningConfig(max_length=10, max_characters=98, max_ratio=3.0, match_digits=True)
    cleaned, report = clean(corpus(pairs, test=[("die probe", "The test")]), config)
    train = report["train"]
    expected = {
        "duplicate": 1,
        "empty": 2,
        "too_long": 2,
        "ratio": 1,
        "nul": 1,
        "overlap": 1,
        "invalid_utf8": 1,
        "copy": 1,
        "digits": 1,
    }
    assert dict(train.dropped) == expected
    assert (train.read, train.kept) == (12, 1)
    assert cleaned["train"].sources == ["gut"]


def test_filters_can_be_off():
    pairs = [("a", "b"), ("a", "b")]
    cleaned, _ = clean(corpus(pairs, dev=[("a", "b")]), CleaningConfig(deduplicate=False, remove_overlap=Overlap.none))
    assert len(cleaned["train"]) == 2


def test_dev_and_test_stay_as_they_were():
    raw = [("", "x\u2028y"), ("e\u0301", "  z ")]
    cleaned, report = clean(corpus([("a", "b")], dev=raw, test=raw), CleaningConfig())
    assert cleaned["dev"].targets == ["x\u2028y", "  z "]
    assert (report["dev"].read, report["dev"].kept) == (2, 2)


def test_repairs_are_counted():
    _, report = clean(corpus([("e\u0301", "a"), ("b\u0085c", "d"), ("fine", "fine")]), CleaningConfig())
    assert dict(report["train"].repaired) == {"nfc": 1, "characters": 1}


WORDS = st.sampled_from(["a", "b", "A", "", "a b c d e f", "\0", "e\u0301"])


@pytest.mark.promise(15)
@settings(max_examples=80, deadline=None)
@given(pairs=st.lists(st.tuples(WORDS, WORDS), max_size=30), held_out=st.lists(st.tuples(WORDS, WORDS), max_size=3))
def test_kept_and_dropped_make_read(pairs, held_out):
    cleaned, report = clean(corpus(pairs, dev=held_out), CleaningConfig(max_length=5, max_ratio=2.0))
    for split in report.values():
        assert split.read == split.kept + sum(split.dropped.values())
    assert report["train"].kept == len(cleaned["train"])
    again, _ = clean(corpus(pairs, dev=held_out), CleaningConfig(max_length=5, max_ratio=2.0))
    assert again == cleaned
    unseen = set(zip(cleaned["train"].sources, cleaned["train"].targets, strict=True))
    assert len(unseen) == len(cleaned["train"])
    assert not {(s.casefold(), t.casefold()) for s, t in unseen} & {
        (PLAIN(s).casefold(), PLAIN(t).casefold()) for s, t in held_out
    }


def test_splitting_off_keeps_the_count_and_the_splits_apart():
    pairs = [(f"satz {i}", f"sentence {i}") for i in range(97)] + [("Satz 3", "Sentence 3")]
    cleaned, report = clean(corpus(pairs), CleaningConfig())
    split = split_off(cleaned, report, 20, 20, seed=1)
    train = report["train"]
    assert (len(split["dev"]), len(split["test"])) == (20, 20)
    assert train.kept == len(split["train"]) == 98 - 40 - train.dropped["overlap"]
    assert train.read == train.kept + train.dropped.total()
    folded = [{(s.casefold(), t.casefold()) for s, t in zip(p.sources, p.targets, strict=True)} for p in split.values()]
    assert not folded[0] & (folded[1] | folded[2])
    assert split_off(*clean(corpus(pairs), CleaningConfig()), 20, 20, seed=1) == split
    assert split_off(*clean(corpus(pairs), CleaningConfig()), 20, 20, seed=2) != split


def test_text_that_is_split_off_is_raw():
    pairs = [(f"e\u0301 \u00a0{i}", f"  {i}\r x") for i in range(9)]
    cleaned, report = clean(corpus(pairs), CleaningConfig())
    split = split_off(cleaned, report, 2, 2, seed=1)
    assert set(zip(split["test"].sources, split["test"].targets, strict=True)) <= set(pairs)
    assert {name: dict(split.repaired) for name, split in report.items()} == {
        "train": {"characters": 5, "nfc": 5, "carriage_return": 5},
        "dev": {"characters": 2, "nfc": 2, "carriage_return": 2},
        "test": {"characters": 2, "nfc": 2, "carriage_return": 2},
    }


def test_only_what_is_missing_is_split_off():
    cleaned, report = clean(corpus([(f"a{i}", f"b{i}") for i in range(9)], test=[("x", "y")]), CleaningConfig())
    split = split_off(cleaned, report, 2, 999, seed=1)
    assert {name: len(text) for name, text in split.items()} == {"train": 7, "dev": 2, "test": 1}


@pytest.mark.parametrize("size", [0, -3])
def test_a_split_of_nothing_is_refused(size):
    cleaned, report = clean(corpus([("a", "b")]), CleaningConfig())
    with pytest.raises(ConfigError, match=rf"data\.test_size` must be at least 1, but is {size}"):
        split_off(cleaned, report, 1, size, seed=1)


def test_too_little_text_to_split_says_what_is_possible():
    cleaned, report = clean(corpus([(f"a{i}", f"b{i}") for i in range(10)]), CleaningConfig())
    with pytest.raises(ConfigError, match=r"`data.dev_size` \(5\) and `data.test_size` \(5\).*at most 2 each"):
        split_off(cleaned, report, 5, 5, seed=1)


def test_the_table_has_every_reason():
    _, report = clean(corpus([("a", ""), ("b", "b")], dev=[("c", "c")]), CleaningConfig())
    table = format_report(report_dict(report))
    assert "- empty" in table
    assert "train" in table
    assert "dev" in table


@pytest.mark.parametrize(
    ("line", "words"),
    [("ein Haus", 2), ("schöne Häuser", 2), ("我喜欢你", 4), ("我 喜欢 U2 的歌", 6), ("สวัสดีชาวโลก", 3), ("ねこ", 2)],
)
def test_words_are_counted_where_no_blanks_part_them(line, words):
    assert num_words(line) == words


@pytest.mark.promise(20)
def test_text_that_shares_a_side_with_dev_is_counted_and_dropped_on_request():
    pairs = [("gut", "good"), ("gut", "well"), ("fein", "Good"), ("neu", "new")]
    _, report = clean(corpus(pairs, dev=[("GUT", "good")]), CleaningConfig())
    assert dict(report["train"].overlap) == {"pair": 1, "source": 2, "target": 2}
    assert dict(report["train"].dropped) == {"overlap": 1}
    cleaned, _ = clean(corpus(pairs, dev=[("GUT", "good")]), CleaningConfig(remove_overlap=Overlap.side))
    assert cleaned["train"].sources == ["neu"]


@pytest.mark.parametrize("keep", [False, True])
def test_aligned_text_is_kept_out_of_training_unless_asked_for(keep):
    cleaned, _ = clean(corpus([("a", "b"), ("c", "d")], gold=[("A", "b")]), CleaningConfig(keep_gold=keep))
    assert cleaned["train"].sources == (["a", "c"] if keep else ["c"])


def test_each_corpus_of_a_mixture_has_its_counts():
    mixture = Mixture({"one": text([("a", "b"), ("", "x")]), "two": Tagged(text([("a", "b"), ("c", "d"), ("e", "f")]), "<2>")})
    cleaned, report = clean({"train": mixture, "dev": text([("e", "f")])}, CleaningConfig())
    assert [dict(report[name].dropped) for name in ("train.one", "train.two")] == [{"empty": 1}, {"duplicate": 1, "overlap": 1}]
    assert (report["train"].read, report["train"].kept) == (5, 2)
    assert cleaned.selected["train"].sizes == {"one": 1, "two": 1}
    assert cleaned["train"].sources == ["a", "<2> c"]


def test_what_looks_like_a_fault_of_the_text_is_said(caplog):
    clean(corpus([("wort " * 4 + str(i), "wort " * 4 + str(i)) for i in range(9)]), CleaningConfig())
    assert "9 of 9 training pairs have equal sides" in caplog.text
    clean(corpus([("a\rb", "c")]), CleaningConfig())
    assert "1 pairs of train have carriage returns" in caplog.text
