"""Lines in, lines out: order, blanks, batches, modes."""

from dataclasses import replace

import pytest
import torch

from nmt.config import Precision, SearchConfig, TokenizerConfig
from nmt.data.normalization import PLAIN
from nmt.data.tokenizer import EOS, Tokenizer, Tokenizers, learn_pieces
from nmt.decoding.search import search
from nmt.decoding.translator import Translation, Translator
from nmt.layout import Layout
from nmt.models import build_model

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


@pytest.mark.promise(10)
def test_each_line_is_translated_by_the_search_in_its_place(translator):
    translations = translator.translate(LINES)
    assert len({t.text for t in translations}) > 4
    for line, translation in zip(LINES, translations, strict=True):
        if not line.strip():
            continue
        ids = [*translator.tokenizers.source.encode([line])[0], EOS]
        best = search(translator.model, torch.tensor([ids]), Layout.of([len(ids)]), translator.search)[0][0]
        assert_same([translation], [Translation(translator.tokenizers.target.decode([best.ids])[0], best.ids, best.score)])


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


def test_lines_are_normalised_like_training_text(translator):
    composed, raw = "der Hund schläft", "\ufeffder\u00a0 Hund\u2028schla\u0308ft\r"
    assert translator.translate([raw]) == translator.translate([composed])


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
    monkeypatch.setattr(translator.model, "output", lambda hidden: (logits := output(hidden), types.append(logits.dtype))[0])
    assert Translator(
        translator.model, translator.tokenizers, translator.search, translator.device, Precision.auto
    ).precision in (
        Precision.bf16,
        Precision.fp32,
    )
    exact = translator.translate(["Hund"])[0]
    translator.precision = Precision.bf16
    rounded = translator.translate(["Hund"])[0]
    assert set(types) == {torch.float32, torch.bfloat16}
    assert exact.score != rounded.score
