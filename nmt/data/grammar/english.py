"""English inflection: verbs and adjectives."""

from __future__ import annotations

from nmt.data.grammar.german import Paradigm
from nmt.data.grammar.lexicon import Adjective, Verb

BE_PRESENT: Paradigm = ("am", "are", "is", "are")
BE_PAST: Paradigm = ("was", "were", "was", "were")
UNREAL: Paradigm = ("were",) * 4
HAVE: Paradigm = ("have", "have", "has", "have")
DO: Paradigm = ("do", "do", "does", "do")
DOUBLING = ("forget", "begin", "travel")


def split_particle(verb: Verb) -> tuple[str, str]:
    """The verb and its particle, empty for most: turn, on; of an idiom, all its other words."""
    base, _, particle = verb.english.partition(" ")
    return base, particle


def present(verb: Verb) -> Paradigm:
    base, _ = split_particle(verb)
    return BE_PRESENT if base == "be" else (base, base, third_person(base), base)


def past(verb: Verb) -> Paradigm:
    base, _ = split_particle(verb)
    form = verb.past or _regular_past(base)
    return BE_PAST if base == "be" else (form, form, form, form)


def participle(verb: Verb) -> str:
    return verb.participle or _regular_past(split_particle(verb)[0])


def third_person(base: str) -> str:
    if base.endswith(("s", "sh", "ch", "x", "o")):
        return f"{base}es"
    return f"{base[:-1]}ies" if _ends_in_consonant_y(base) else f"{base}s"


def gerund(verb: Verb) -> str:
    base, _ = split_particle(verb)
    if base.endswith("ie"):
        return f"{base[:-2]}ying"
    if base.endswith("e") and not base.endswith("ee"):
        return f"{base[:-1]}ing"
    return f"{_doubled(base)}ing"


def superlative(adjective: Adjective) -> str:
    if adjective.comparative.startswith("more "):
        return f"most {adjective.english}"
    return f"{adjective.comparative[:-2]}est"


def _regular_past(base: str) -> str:
    if base.endswith("e"):
        return f"{base}d"
    return f"{base[:-1]}ied" if _ends_in_consonant_y(base) else f"{_doubled(base)}ed"


def _ends_in_consonant_y(base: str) -> bool:
    return base.endswith("y") and base[-2] not in "aeiou"


def _doubled(base: str) -> str:
    """With the last consonant doubled where English does before -ing and -ed: swimm-, forgett-."""
    vowels = sum(letter in "aeiou" for letter in base)
    short = len(base) > 2 and base[-1] not in "aeiouwxy" and base[-2] in "aeiou" and base[-3] not in "aeiou"
    return base + base[-1] if short and (vowels == 1 or base in DOUBLING) else base
