"""German inflection: articles, adjectives, nouns and verbs."""

from __future__ import annotations

from enum import IntEnum

from nmt.data.grammar.lexicon import Noun, Verb


class Case(IntEnum):
    """Also the row of a table of endings."""

    NOMINATIVE = 0
    ACCUSATIVE = 1
    DATIVE = 2
    GENITIVE = 3


class Person(IntEnum):
    """The four persons of the corpus, which is also the order of a paradigm; first and third person plural inflect alike."""

    FIRST = 0
    SECOND = 1
    THIRD = 2
    PLURAL = 3


Paradigm = tuple[str, str, str, str]

# Rows are cases; columns are masculine, feminine, neuter and plural.
DEFINITE = (
    ("der", "die", "das", "die"),
    ("den", "die", "das", "die"),
    ("dem", "der", "dem", "den"),
    ("des", "der", "des", "der"),
)
RELATIVE = (*DEFINITE[:2], ("dem", "der", "dem", "denen"), ("dessen", "deren", "dessen", "deren"))
DIESER_ENDINGS = (("er", "e", "es", "e"), ("en", "e", "es", "e"), ("em", "er", "em", "en"), ("es", "er", "es", "er"))
EIN_ENDINGS = (("", "e", "", "e"), ("en", "e", "", "e"), ("em", "er", "em", "en"), ("es", "er", "es", "er"))
WEAK_ENDINGS = (("e", "e", "e", "en"), ("en", "e", "e", "en"), ("en",) * 4, ("en",) * 4)
MIXED_ENDINGS = (("er", "e", "es", "en"), ("en", "e", "es", "en"), ("en",) * 4, ("en",) * 4)
STRONG_ENDINGS = (*DIESER_ENDINGS[:3], ("en", "er", "en", "er"))

PRESENT: dict[str, Paradigm] = {
    "sein": ("bin", "bist", "ist", "sind"),
    "haben": ("habe", "hast", "hat", "haben"),
    "werden": ("werde", "wirst", "wird", "werden"),
    "wissen": ("weiß", "weißt", "weiß", "wissen"),
    "können": ("kann", "kannst", "kann", "können"),
    "müssen": ("muss", "musst", "muss", "müssen"),
    "wollen": ("will", "willst", "will", "wollen"),
}
INSEPARABLE = ("be", "emp", "ent", "er", "ge", "ver", "zer")


def ending(table: tuple[tuple[str, ...], ...], case: Case, gender: str, plural: bool) -> str:
    return table[case][3 if plural else "mfn".index(gender)]


def decline_noun(noun: Noun, case: Case, plural: bool) -> str:
    if plural:
        return noun.german_plural + ("n" if case is Case.DATIVE and not noun.german_plural.endswith(("n", "s")) else "")
    inflected = case is Case.GENITIVE or (noun.weak and case is not Case.NOMINATIVE)
    return noun.genitive if inflected else noun.german


def present(verb: Verb) -> Paradigm:
    """Present tense without the prefix."""
    infinitive = verb.german
    if infinitive in PRESENT:
        return PRESENT[infinitive]
    stem = _stem(infinitive)
    first = f"{stem}e"
    linking = "e" if _needs_linking_e(infinitive) else ""
    second, third = verb.present or (stem + linking + ("t" if stem.endswith(("s", "ß", "z", "x")) else "st"), f"{stem}{linking}t")
    return first, second, third, infinitive


def preterite(verb: Verb) -> Paradigm:
    """Past tense without the prefix."""
    linking = "e" if _needs_linking_e(verb.german) else ""
    return preterite_paradigm(verb.preterite or f"{_stem(verb.german)}{linking}te")


def preterite_paradigm(first: str) -> Paradigm:
    return first, f"{first}st", first, f"{first}n" if first.endswith("e") else f"{first}en"


def participle(verb: Verb) -> str:
    base = verb.german_participle
    if not base:
        linking = "e" if _needs_linking_e(verb.german) else ""
        unaugmented = verb.german.startswith(INSEPARABLE) or verb.german.endswith("ieren")
        base = ("" if unaugmented else "ge") + f"{_stem(verb.german)}{linking}t"
    return verb.prefix + base


def infinitive(verb: Verb) -> str:
    return verb.prefix + verb.german


def _stem(infinitive: str) -> str:
    return infinitive[:-1] if infinitive.endswith(("ern", "eln")) else infinitive[:-2]


def _needs_linking_e(infinitive: str) -> bool:
    """After d and t (find-e-t), and where n or m follows a consonant other than l, r, h (öffn-e-t, zeichn-e-t)."""
    stem = _stem(infinitive)
    return stem.endswith(("d", "t", "chn")) or (stem[-1] in "nm" and stem[-2] not in "aeiouäöülrhnm")
