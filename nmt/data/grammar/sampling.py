"""Random phrases and clauses that make sense: every choice is among the lexicon's classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from nmt.data.grammar import english
from nmt.data.grammar.clauses import Tense
from nmt.data.grammar.german import Case
from nmt.data.grammar.lexicon import Classes, Lexicon, Noun, Verb
from nmt.data.grammar.phrases import (
    BARE,
    EVERY,
    POSSESSIVES,
    QUANTIFIERS,
    THE,
    THIS,
    A,
    Description,
    Determiner,
    Nominal,
    NounPhrase,
    Pronoun,
    genitive,
    place_phrase,
    prepositional_phrase,
    pronoun,
)
from nmt.data.grammar.words import Phrase

Entry = TypeVar("Entry")

HUMAN: Classes = frozenset({"human"})
NOTHING: Classes = frozenset()
PERSONAL = ("I", "you", "he", "she", "we", "they")
EVENTS = ("object", "recipient", "placement", "possession", "position", "intransitive", "goal")
PUBLIC: Classes = frozenset({"public", "sight", "eatery", "shop", "transport", "town", "structure", "wild", "plant"})


def ownable(classes: Classes) -> bool:
    """Whether a possessive goes with it: not with what is public, and of people only with those one has."""
    return PUBLIC.isdisjoint(classes) and ("person" not in classes or "related" in classes)


class NothingFits(LookupError):
    """What is said so far leaves no verb or noun to go on with: the sentence is to be drawn anew."""


class Sampler:
    """Draws the parts of one sentence after another; no noun and no verb is drawn twice within one."""

    def __init__(self, lexicon: Lexicon, random: Random) -> None:
        self.lexicon = lexicon
        self.random = random
        (self.copula,) = (verb for verb in lexicon.verbs if verb.frame == "copula")
        self._used: set[Noun] = set()
        self._said: set[str] = set()
        self._pools: dict[object, Sequence[object]] = {}

    def begin(self) -> None:
        """A new sentence."""
        self._used.clear()
        self._said.clear()

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def choice(self, entries: Sequence[Entry]) -> Entry:
        if not entries:
            raise NothingFits
        return entries[int(self.random.random() * len(entries))]

    def fitting(self, key: object, entries: Sequence[Entry], fits: Callable[[Entry], bool]) -> Sequence[Entry]:
        """The entries that fit, in the order of the table; found once for each ``key``."""
        if key not in self._pools:
            self._pools[key] = [entry for entry in entries if fits(entry)]
        return self._pools[key]  # type: ignore[return-value]

    def noun(self, classes: Classes) -> Noun:
        nouns = self.fitting(classes, self.lexicon.nouns, lambda noun: not classes.isdisjoint(noun.classes))
        noun = self.choice([noun for noun in nouns if noun not in self._used])
        self._used.add(noun)
        return noun

    def verbs(self, frames: tuple[str, ...], subject: Classes | None = None, without: Classes = NOTHING) -> Sequence[Verb]:
        """The verbs of the frames that were not drawn yet, take such a subject and have none of the flags."""
        verbs = self.fitting(
            ("verbs", frames, subject, without),
            self.lexicon.verbs,
            lambda verb: (
                verb.frame in frames
                and without.isdisjoint(verb.flags)
                and (subject is None or not subject.isdisjoint(verb.subject))
            ),
        )
        return [verb for verb in verbs if verb.english not in self._said]

    def draw_verb(self, verbs: Sequence[Verb]) -> Verb:
        verb = self.choice(verbs)
        self._said.add(verb.english)
        return verb

    def adverbial(self, kind: str, tense: Tense) -> Phrase | None:
        entries = self.fitting(
            (kind, tense), self.lexicon.adverbials, lambda entry: entry.kind == kind and tense.value in entry.tenses
        )
        return self.choice(entries).phrase() if entries else None

    def noun_phrase(self, classes: Classes, *, definite: bool | None = None, plain: bool = False) -> NounPhrase:
        """A phrase about something of ``classes``; ``plain`` leaves room after the noun."""
        return self.phrase_about(self.noun(classes), definite=definite, plain=plain)

    def phrase_about(self, noun: Noun, *, definite: bool | None = None, plain: bool = False) -> NounPhrase:
        """A phrase about ``noun``, as of :meth:`noun_phrase`."""
        if not noun.classes.isdisjoint({"name", "capital"}):
            return NounPhrase(noun, BARE)
        if "relational" in noun.classes:
            return NounPhrase(noun, THE, modifier=genitive(self.noun_phrase(noun.of, definite=True, plain=True)))
        if "kin" in noun.classes:
            return NounPhrase(noun, self.possessive(), plural="sibling" in noun.classes and self.chance(0.2))
        plural = bool(noun.german_plural) and self.chance(0.25)
        phrase = NounPhrase(noun, self.determiner(noun, plural, definite), plural)
        phrase.descriptions = self.descriptions(noun, superlative=phrase.determiner is THE)
        if not plain:
            phrase.modifier = self.modifier(phrase)
        return phrase

    def single(self, noun: Noun) -> NounPhrase:
        """One definite thing or person that is not described further."""
        if "name" in noun.classes:
            return NounPhrase(noun, BARE)
        return NounPhrase(noun, self.possessive() if "kin" in noun.classes else self.determiner(noun, False, True))

    def possessive(self) -> Determiner:
        return self.choice(tuple(POSSESSIVES.values()))

    def determiner(self, noun: Noun, plural: bool, definite: bool | None) -> Determiner:
        if definite if definite is not None else self.chance(0.6):
            if self.chance(0.25) and ownable(noun.classes):
                return self.possessive()
            return THIS if self.chance(0.15) else THE
        if plural:
            return self.choice(QUANTIFIERS) if self.chance(0.7) else BARE
        if not noun.german_plural:
            return BARE
        return EVERY if definite is None and "human" in noun.classes and self.chance(0.1) else A

    def descriptions(self, noun: Noun, *, superlative: bool = False) -> tuple[Description, ...]:
        """No, one or two adjectives, the second of two a colour."""
        if not self.chance(0.45):
            return ()
        fitting = self.fitting(
            ("attribute", noun),
            self.lexicon.adjectives,
            lambda entry: "attribute" in entry.uses and not entry.classes.isdisjoint(noun.classes),
        )
        if not fitting:
            return ()
        adjective = self.choice(fitting)
        colours = [entry for entry in fitting if entry.colour]
        if not adjective.colour and colours and self.chance(0.3):
            return Description(adjective), Description(self.choice(colours))
        most = english.superlative(adjective) if superlative and adjective.comparative and self.chance(0.15) else ""
        return (Description(adjective, most),)

    def modifier(self, phrase: NounPhrase) -> Phrase | None:
        """What follows the noun: a genitive, a position or clothing."""
        noun = phrase.noun
        if noun.of and phrase.determiner is THE and self.chance(0.4):
            return genitive(self.noun_phrase(noun.of, definite=True, plain=True))
        if "person" in noun.classes and phrase.determiner in (THE, A) and self.chance(0.12):
            clothing = self.noun(frozenset({"clothing", "luggage"}))
            return prepositional_phrase(
                ("with", "mit"), NounPhrase(clothing, A, descriptions=self.descriptions(clothing)), Case.DATIVE
            )
        if phrase.determiner is THE and self.chance(0.08):
            if "person" in noun.classes:
                return self.position(frozenset({"outdoors", "work", "public"}))
            if "animal" in noun.classes:
                return self.position(frozenset({"outdoors"}))
        return None

    def position(self, classes: Classes) -> Phrase:
        """Where something is: German with the dative."""
        phrase = self.place(classes)
        prepositions = self.fitting(
            ("position", phrase.noun),
            self.lexicon.prepositions,
            lambda entry: not entry.classes.isdisjoint(phrase.noun.classes),
        )
        if prepositions and (not phrase.noun.at or self.chance(0.3)):
            return place_phrase(self.choice(prepositions), phrase)
        return prepositional_phrase(phrase.noun.at, phrase, Case.DATIVE)

    def destination(self, classes: Classes, column: str = "to") -> Phrase:
        """Where something goes: German with the accusative after a preposition that can also say where something is."""
        phrase = self.place(classes)
        prepositions: tuple[str, ...] = getattr(phrase.noun, column)
        case = Case.ACCUSATIVE if prepositions[1] in ("in", "an", "auf") else Case.DATIVE
        return prepositional_phrase(prepositions, phrase, case)

    def place(self, classes: Classes) -> NounPhrase:
        noun = self.noun(classes)
        if "capital" in noun.classes:
            return NounPhrase(noun, BARE)
        return NounPhrase(noun, THE, descriptions=self.descriptions(noun) if self.chance(0.6) else ())

    def person(self, tense: Tense) -> Pronoun:
        """A personal pronoun; "du" has a preterite that nobody says, and the corpus has none."""
        return pronoun(self.choice([name for name in PERSONAL if name != "you" or tense is not Tense.PAST]))

    def subject(self, tense: Tense, classes: Classes = HUMAN, *, definite: bool | None = None) -> Nominal:
        if "human" in classes and self.chance(0.25):
            return self.person(tense)
        return self.noun_phrase(classes, definite=definite)
