"""Text as models read it, and back."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmt.config import NormalizationConfig
from nmt.data.normalization import REPLACEMENTS, Normalizer, normalize


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("e\u0301cole", "\u00e9cole"),
        ("a\u2028b\u0085c\x0bd\te", "a b c d e"),
        ("\u00a0no\u00a0break\u202f", "no break"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("\u2581mark\u2581of a\x7fblank\x00", "mark of a blank"),
        ("  two   blanks ", "two blanks"),
        ("ﬁ Ｗ …", "ﬁ Ｗ …"),  # NFC, not NFKC: these are other characters
    ],
)
def test_normalize(line, expected):
    assert normalize(line) == expected


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=30))
def test_normalize_is_stable_and_splits_on_blanks_alone(line):
    once = normalize(line)
    assert normalize(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once.split(" ") == (once.split() or [""])


def plainly_normal(line):
    return " ".join(unicodedata.normalize("NFC", line.translate(REPLACEMENTS)).split())


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab \u00e9e\u0301\u00a0\t\u2028\u0085\u1100\u1161\u2581\u00ad"), max_size=7))
def test_what_is_normal_is_left_as_it_is(line):
    assert normalize(line) == plainly_normal(line)


def test_no_character_is_taken_for_normal():
    for code in range(0x110000):
        line = f"a{chr(code)}b"
        assert normalize(line) == plainly_normal(line), hex(code)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "Er sagte: „Ja, z.B. 3,5 %.“"),
        ({"punctuation": True}, 'Er sagte: "Ja, z.B. 3,5%."'),
        ({"tokenize": True}, "Er sagte : „ Ja , z.B. 3,5 % . “"),
        ({"punctuation": True, "tokenize": True, "lowercase": True}, 'er sagte : " ja , z.b. 3,5 % . "'),
    ],
)
def test_steps_of_moses(settings, expected):
    assert Normalizer(NormalizationConfig(**settings), "de")("Er sagte:  „Ja, z.B. 3,5\u00a0%.“") == expected


def test_what_was_tokenized_is_joined_again():
    normalizer = Normalizer(NormalizationConfig(tokenize=True), "en")
    line = "It's a dog's life, isn't it?"
    assert normalizer(line) != line
    assert normalizer.restore(normalizer(line)) == line
