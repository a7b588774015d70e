"""Lines in, lines out: order, blanks, batches, modes."""

from dataclasses import replace
from random import Random

import pytest
import torch

from nmt import distributed
from nmt.config import LongLines, Precision, SearchConfig, TokenizerConfig
from nmt.data.normalization import PLAIN
from nmt.data.tokenizer import EOS, Tokenizer, Tokenizers, learn_pieces
from nmt.decoding.search import search
from nmt.decoding.translator import Translation, Translator
from nmt.layout import Layout
from nmt.models import build_model
from nmt.operand import product_type

LINES = [
    "der Hund schläft",
    "",
    "ein kleiner Hund sieht den grossen Baum und schläft",
    "ein Baum",
    " \u00a0\u2028\t",
    "der Baum sieht den Hund",
    "Hund",
    "der Hund schläft",
    "den kleinen Baum sieht der grosse Hund",
]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(learn_pieces([line for line in LINES if line.strip()], TokenizerConfig(), 31), PLAIN)


@pytest.fixture
def translator(family_config, tokenizer):
    torch.manual_seed(4)
    model = build_model(family_config, (tokenizer.vocab_size, tokenizer.vocab_size)).eval()
    for parameter in model.parameters():
        parameter.data *= 2  # distributions with something to choose
    config = SearchConfig(beam_size=3, max_length_ratio=1.0, max_length_offset=4, max_sentences=4)
    return Translator(model, Tokenizers(tokenizer, tokenizer), config, torch.device("cpu"), Precision.fp32)


def assert_same(found, expected):
    assert [(t.text, t.ids) for t in found] == [(t.text, t.ids) for t in expected]
    assert [t.score for t in found] == pytest.approx([t.score for t in expected], abs=1e-3)
    assert [t.rank for t in found] == pytest.approx([t.rank for t in expected], abs=1e-3)


def searched(translator, line, **options):
    """The hypotheses of a line by itself, as translations."""
    ids = [*translator.tokenizers.source.encode([line])[0], EOS]
    hypotheses = search(translator.model, torch.tensor([ids]), Layout.of([len(ids)]), translator.search, **options)[0]
    texts = translator.tokenizers.target.decode([hypothesis.ids for hypothesis in hypotheses])
    return [Translation(text, h.ids, h.score, h.rank) for text, h in zip(texts, hypotheses, strict=True)]


@pytest.mark.promise(10)
def test_each_line_is_translated_by_the_search_in_its_place(translator):
    translations = translator.translate(LINES)
    assert len({t.text for t in translations}) > 4
    for line, translation in zip(LINES, translations, strict=True):
        if line.strip():
            assert_same([translation], searched(translator, line)[:1])
            assert translation.parts == ((line, translation.text),)


def test_processes_share_the_batches(translator, monkeypatch):
    """Of three, two translate a batch each; together they have what one has."""
    expected = translator.translate(LINES)
    nothing = {i: [] for i in range(len(LINES))}
    parts = []
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    monkeypatch.setattr(distributed, "gathered", lambda part: parts.append(dict(part)) or [nothing])
    for rank in range(3):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        translator.translate(LINES)
    assert list(map(len, parts)) == [4, 3, 0]
    monkeypatch.setattr(distributed, "gathered", lambda part: parts)
    assert_same(translator.translate(LINES), expected)


@pytest.mark.parametrize("num_best", [1, 3])
def test_n_best_lists(translator, num_best):
    translator.search = replace(translator.search, num_best=num_best)
    for line, translations in zip(LINES, translator.n_best(LINES), strict=True):
        if line.strip():
            assert_same(translations, searched(translator, line)[:num_best])
        else:
            assert translations == [Translation("", [], 0.0)]


def test_prefixes_stay_with_their_lines(translator):
    prefixes = ["Hund", "Baum", "", "ein Hu", " ", "\ufeffder", "我", "der Hund", "ein"]
    for line, prefix, translation in zip(LINES, prefixes, translator.n_best(LINES, prefixes), strict=True):
        ids = translator.tokenizers.target.encode([prefix.strip(" \ufeff")])[0]
        assert translation[0].ids[: len(ids)] == (ids if line.strip() else [])
        if line.strip():
            assert_same(translation, searched(translator, line, prefixes=[ids])[:1])
    assert translator.n_best(LINES, [""] * len(LINES)) == translator.n_best(LINES)


@pytest.mark.parametrize("size", [1, 5])
def test_samples_depend_on_seed_and_line_number_alone(translator, size):
    translator.search = replace(translator.search, sample=True, num_best=2, max_sentences=3)
    whole = translator.n_best(LINES)
    assert whole[0] != whole[7], "the same line, in other places"
    for number, (line, translations) in enumerate(zip(LINES, whole, strict=True)):
        if line.strip():
            assert_same(translations, searched(translator, line, seeds=[(1, number, 0)]))
    translator.search = replace(translator.search, max_sentences=size)
    parts = [translator.n_best(LINES[begin : begin + size], num_before=begin) for begin in range(0, len(LINES), size)]
    for again, translations in zip((each for part in parts for each in part), whole, strict=True):
        assert_same(again, translations)
    translator.seed = 2
    assert translator.n_best(LINES) != whole


@pytest.mark.parametrize("how", LongLines, ids=str)
def test_long_lines(translator, how, caplog):
    line = "der Hund schläft. ein kleiner Hund sieht den Baum. ein Baum"
    sentences = ["der Hund schläft.", "ein kleiner Hund sieht den Baum.", "ein Baum"]
    longest = max(len(ids) for ids in translator.tokenizers.source.encode(sentences))
    translator.search = replace(translator.search, max_source_length=longest, long_lines=how, num_best=2)
    short, empty, (best, second) = translator.n_best(["der Hund", "", line], num_before=4)
    assert [len(short), len(empty)] == [2, 1]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"1 of 3 lines, line 7 the first, have more than {longest} pieces" in record.getMessage()
    assert "".join(source for source, _ in best.parts) == (line if how is not LongLines.truncate else best.parts[0][0])
    if how is LongLines.keep:
        assert_same([best, second], searched(translator, line)[:2])
    elif how is LongLines.truncate:
        (part,) = best.parts
        assert line.startswith(part[0])
        assert len(part[0]) > len(sentences[0])
        assert_same([best, second], searched(translator, part[0].strip())[:2])
    else:
        of_sentences = [searched(translator, sentence) for sentence in sentences]
        for place, found in enumerate((best, second)):
            parts = [n_best[place] for n_best in of_sentences]
            assert found.text == " ".join(part.text for part in parts)
            assert found.ids == [piece for part in parts for piece in part.ids]
            assert found.score == pytest.approx(sum(part.score for part in parts), abs=1e-3)
            assert found.rank == pytest.approx(sum(part.rank for part in parts) / 3, abs=1e-3)


def test_parts_of_a_line_that_are_alike_are_all_translated(translator):
    translator.search = replace(translator.search, max_source_length=9, long_lines=LongLines.split)
    (translation,) = translator.translate(["ein Baum. ein Baum. ein Baum."])
    assert len(translation.parts) == 3
    assert len({text for _, text in translation.parts}) == 1


@pytest.mark.parametrize("changes", [{}, {"sample": True}, {"coverage_penalty": 0.2, "no_repeat_ngram": 3}], ids=str)
def test_in_double_precision_hypotheses_do_not_depend_on_the_size_of_a_batch(family_config, tokenizer, changes):
    torch.manual_seed(8)
    model = build_model(family_config, (tokenizer.vocab_size, tokenizer.vocab_size)).double().eval()
    words = ["der", "den", "Hund", "Baum", "sieht", "schläft", "ein", "kleiner", "grosse", "und"]
    lines = [" ".join(words[(i * i + 3 * j) % len(words)] for j in range(i % 3 + 1)) for i in range(11)]
    found = []
    for size in (1, 4, 64):
        config = SearchConfig(beam_size=3, max_length_ratio=0.5, max_length_offset=2, max_sentences=size, **changes)
        found.append(
            Translator(model, Tokenizers(tokenizer, tokenizer), config, torch.device("cpu"), Precision.fp32).translate(lines)
        )
    for other in found[1:]:
        assert [t.ids for t in other] == [t.ids for t in found[0]]
        assert [t.score for t in other] == pytest.approx([t.score for t in found[0]], abs=1e-10)


@pytest.mark.promise(10)
def test_a_line_without_words_stays_blank(translator):
    translations = translator.translate(LINES)
    assert [i for i, t in enumerate(translations) if t == Translation("", [], 0.0)] == [1, 4]
    assert translator.translate(["", "\u200b"]) == [Translation("", [], 0.0)] * 2
    assert translator.translate([]) == []


@pytest.mark.promise(10)
@pytest.mark.parametrize("beam_size", [1, 3])
def test_translations_do_not_depend_on_batches_or_order(translator, beam_size):
    translator.search = replace(translator.search, beam_size=beam_size, max_sentences=1)
    alone = translator.translate(LINES)
    translator.search = replace(translator.search, beam_size=beam_size, max_sentences=7)
    assert_same(translator.translate(LINES), alone)
    assert_same(translator.translate(LINES[::-1]), alone[::-1])


FAMILIES = ["bahdanau-additive", "luong-general-feeding-1", "transformer-pre-three_way"]


@pytest.mark.long
@pytest.mark.promise(10)
@pytest.mark.parametrize("family_config", FAMILIES, ids=str, indirect=True)
@pytest.mark.parametrize(("precision", "most"), [(torch.float64, 0), (torch.float32, 2)])
def test_many_lines_do_not_depend_on_their_batches(translator, precision, most):
    """Of 400 lines none in float64, and in float32 at most 0.5 %, where rounding decides between hypotheses that are as good."""
    random = Random(5)
    words = sorted({word for line in LINES for word in line.split()})
    lines = [" ".join(random.choices(words, k=random.randint(1, 9))) for _ in range(400)]
    translator.model.to(precision)
    found = []
    for size in (1, 7, 64):
        translator.search = replace(translator.search, max_sentences=size)
        found.append([translation.ids for translation in translator.translate(lines)])
    for others in found[1:]:
        assert sum(ids != other for ids, other in zip(found[0], others, strict=True)) <= most


def test_lines_are_normalised_like_training_text(translator):
    composed, raw = "der Hund schläft", "\ufeffder\u00a0 Hund\u2028schla\u0308ft\r"
    assert_same(translator.translate([raw]), translator.translate([composed]))


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_and_the_mode_is_put_back(translator, training, monkeypatch):
    modes = []
    encode = translator.model.encode
    monkeypatch.setattr(translator.model, "encode", lambda *given: (modes.append(translator.model.training), encode(*given))[1])
    translator.model.train(training)
    translator.translate(LINES)
    assert modes == [False, False]
    assert all(module.training is training for module in translator.model.modules())

    monkeypatch.setattr(translator.model, "encode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        translator.translate(LINES)
    assert translator.model.training is training


def test_a_translation_is_one_line(translator, monkeypatch):
    monkeypatch.setattr(translator.tokenizers.target, "decode", lambda rows: ["ein\u2028Hund\r\nund\x0bein Baum"] * len(rows))
    assert translator.translate(["Hund"])[0].text == "ein Hund und ein Baum"


def test_precision_is_resolved_and_used(translator, monkeypatch):
    types = []
    output = translator.model.output

    def recorded(hidden):
        logits = output(hidden)
        types.append((product_type(hidden), logits.dtype))
        return logits

    monkeypatch.setattr(translator.model, "output", recorded)
    assert Translator(
        translator.model, translator.tokenizers, translator.search, translator.device, Precision.auto
    ).precision in (
        Precision.bf16,
        Precision.fp32,
    )
    exact = translator.translate(["Hund"])[0]
    translator.precision = Precision.bf16
    rounded = translator.translate(["Hund"])[0]
    assert set(types) == {(torch.float32, torch.float32), (torch.bfloat16, torch.float32)}
    assert exact.score != rounded.score
