"""Noun phrases, pronouns and prepositional phrases, each worded in both languages from one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nmt.data.grammar.german import (
    DEFINITE,
    DIESER_ENDINGS,
    EIN_ENDINGS,
    MIXED_ENDINGS,
    RELATIVE,
    STRONG_ENDINGS,
    WEAK_ENDINGS,
    Case,
    Person,
    decline_noun,
    ending,
)
from nmt.data.grammar.lexicon import Adjective, Noun, Preposition
from nmt.data.grammar.words import Phrase, Tie, Word, Words


@dataclass(frozen=True, slots=True)
class Determiner:
    """``german`` is the stem that the endings of an article word are added to; ``adjectives`` are the endings it asks for."""

    english: str
    english_plural: str
    german: str
    endings: tuple[tuple[str, ...], ...]
    adjectives: tuple[tuple[str, ...], ...]
    definite: bool = True


UNINFLECTED = (("",) * 4,) * 4

THE = Determiner("the", "the", "", DEFINITE, WEAK_ENDINGS)
THIS = Determiner("this", "these", "dies", DIESER_ENDINGS, WEAK_ENDINGS)
EVERY = Determiner("every", "", "jed", DIESER_ENDINGS, WEAK_ENDINGS)
WHICH = Determiner("which", "which", "welch", DIESER_ENDINGS, WEAK_ENDINGS)
A = Determiner("a", "", "ein", EIN_ENDINGS, MIXED_ENDINGS, definite=False)
NO = Determiner("no", "no", "kein", EIN_ENDINGS, MIXED_ENDINGS, definite=False)
BARE = Determiner("", "", "", UNINFLECTED, STRONG_ENDINGS, definite=False)
POSSESSIVES: Mapping[str, Determiner] = {
    english: Determiner(english, english, german, EIN_ENDINGS, MIXED_ENDINGS)
    for english, german in {"my": "mein", "your": "dein", "his": "sein", "her": "ihr", "our": "unser"}.items()
}
"""Without "their", which is "ihr" like "her": the German sentence would not tell the English one."""
QUANTIFIERS: Sequence[Determiner] = (
    *(
        Determiner("", english, german, UNINFLECTED, STRONG_ENDINGS, definite=False)
        for english, german in {"two": "zwei", "three": "drei", "four": "vier", "five": "fünf", "ten": "zehn"}.items()
    ),
    Determiner("", "many", "viel", DIESER_ENDINGS, STRONG_ENDINGS, definite=False),
    Determiner("", "some", "einig", DIESER_ENDINGS, STRONG_ENDINGS, definite=False),
)


@dataclass(frozen=True, slots=True)
class Description:
    """An adjective before its noun; ``superlative`` only after a definite article."""

    adjective: Adjective
    superlative: str = ""
    tie: Tie = field(default_factory=Tie)

    def english(self) -> Words:
        return [Word(text, (self.tie,)) for text in (self.superlative or self.adjective.english).split()]

    def german(self, suffix: str) -> Word:
        stem = self.adjective.german_superlative if self.superlative else self.adjective.stem
        return Word(stem + suffix, (self.tie,))


@dataclass(slots=True)
class NounPhrase:
    """A determiner, adjectives, a noun and what follows it.

    ``modifier`` (a genitive, a prepositional phrase or a relative clause) is worded already. With ``negation`` an indefinite phrase
    is negated: English "not ... a" or "not ... any", German "kein", which says both words.
    """

    noun: Noun
    determiner: Determiner
    plural: bool = False
    descriptions: tuple[Description, ...] = ()
    modifier: Phrase | None = None
    negation: Tie | None = None
    tie: Tie = field(default_factory=Tie)
    determiner_tie: Tie = field(default_factory=Tie)

    @property
    def person(self) -> Person:
        return Person.PLURAL if self.plural else Person.THIRD

    @property
    def is_pronoun(self) -> bool:
        return False

    @property
    def definite(self) -> bool:
        return self.determiner.definite or "name" in self.noun.classes

    def english(self, *, subject: bool = False) -> Words:
        words = self._english_determiner()
        for description in self.descriptions:
            words += description.english()
        noun = self.noun.english_plural if self.plural else self.noun.english
        words += [Word(text, (self.tie,)) for text in noun.split()]
        return words + self.modifier.english if self.modifier else words

    def german(self, case: Case) -> Words:
        determiner = NO if self.negation else self.determiner
        suffix = ending(determiner.adjectives, case, self.noun.gender, self.plural)
        words = self._german_determiner(determiner, case)
        words += [description.german(suffix) for description in self.descriptions]
        words.append(Word(decline_noun(self.noun, case, self.plural), (self.tie,)))
        return words + self.modifier.german if self.modifier else words

    def _english_determiner(self) -> Words:
        if self.negation:
            return [Word("any" if self.plural or not self.noun.german_plural else "a", (), (self.determiner_tie,))]
        text = self.determiner.english_plural if self.plural else self.determiner.english
        return [Word(text, (self.determiner_tie,))] if text else []

    def _german_determiner(self, determiner: Determiner, case: Case) -> Words:
        text = determiner.german + ending(determiner.endings, case, self.noun.gender, self.plural)
        sure = (self.determiner_tie, self.negation) if self.negation else (self.determiner_tie,)
        return [Word(text, sure)] if text else []


@dataclass(frozen=True, slots=True)
class Pronoun:
    """``german`` is nominative, accusative and dative."""

    english_subject: str
    english_object: str
    forms: tuple[str, ...]
    person: Person
    tie: Tie = field(default_factory=Tie)

    @property
    def is_pronoun(self) -> bool:
        return True

    @property
    def definite(self) -> bool:
        return True

    def english(self, *, subject: bool) -> Words:
        return [Word(self.english_subject if subject else self.english_object, (self.tie,))]

    def german(self, case: Case) -> Words:
        return [Word(self.forms[case], (self.tie,))]


PRONOUNS: Mapping[str, tuple[str, str, tuple[str, ...], Person]] = {
    "I": ("I", "me", ("ich", "mich", "mir"), Person.FIRST),
    "you": ("you", "you", ("du", "dich", "dir"), Person.SECOND),
    "he": ("he", "him", ("er", "ihn", "ihm"), Person.THIRD),
    "she": ("she", "her", ("sie", "sie", "ihr"), Person.THIRD),
    "we": ("we", "us", ("wir", "uns", "uns"), Person.PLURAL),
    "us": ("us", "us", ("uns", "uns", "uns"), Person.PLURAL),
    "they": ("they", "them", ("sie", "sie", "ihnen"), Person.PLURAL),
    "who": ("who", "whom", ("wer", "wen", "wem"), Person.THIRD),
    "what": ("what", "what", ("was", "was"), Person.THIRD),
    "this": ("this", "this", ("das", "das"), Person.THIRD),
}
REFLEXIVES = {"I": ("mich",), "you": ("dich",), "we": ("uns",)}
IT_FORMS = {"m": ("er", "ihn", "ihm"), "f": ("sie", "sie", "ihr"), "n": ("es", "es", "ihm")}


def pronoun(name: str) -> Pronoun:
    return Pronoun(*PRONOUNS[name])


def pronoun_for(phrase: NounPhrase) -> Pronoun:
    """The personal pronoun that stands for a thing: in German its gender is that of the noun."""
    return pronoun("they") if phrase.plural else Pronoun("it", "it", IT_FORMS[phrase.noun.gender], Person.THIRD)


@dataclass(frozen=True, slots=True)
class RelativePronoun:
    """Stands for ``head`` inside a relative clause, with its gender and number.

    English: that after a superlative, who and whom for people, which for all else.
    """

    head: NounPhrase
    tie: Tie = field(default_factory=Tie)

    @property
    def person(self) -> Person:
        return self.head.person

    @property
    def is_pronoun(self) -> bool:
        return True

    @property
    def definite(self) -> bool:
        return True

    def english(self, *, subject: bool) -> Words:
        if any(description.superlative for description in self.head.descriptions):
            return [Word("that", (self.tie,))]
        human = "who" if subject else "whom"
        return [Word(human if "human" in self.head.noun.classes else "which", (self.tie,))]

    def german(self, case: Case) -> Words:
        return [Word(ending(RELATIVE, case, self.head.noun.gender, self.head.plural), (self.tie,))]


@dataclass(frozen=True, slots=True)
class Correlative:
    """A conjunction of two parts, one before each of the phrases that it joins."""

    english: tuple[str, str]
    german: tuple[str, str]
    person: Person


CORRELATIVES: Sequence[Correlative] = (
    Correlative(("both", "and"), ("sowohl", "als auch"), Person.PLURAL),
    Correlative(("neither", "nor"), ("weder", "noch"), Person.THIRD),
    Correlative(("either", "or"), ("entweder", "oder"), Person.THIRD),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two noun phrases, both in the singular, joined by a conjunction of two parts."""

    conjunction: Correlative
    first: NounPhrase
    second: NounPhrase
    first_tie: Tie = field(default_factory=Tie)
    second_tie: Tie = field(default_factory=Tie)

    @property
    def person(self) -> Person:
        return self.conjunction.person

    @property
    def is_pronoun(self) -> bool:
        return False

    @property
    def definite(self) -> bool:
        return True

    def english(self, *, subject: bool = False) -> Words:
        return self._joined(self.conjunction.english, self.first.english(), self.second.english())

    def german(self, case: Case) -> Words:
        return self._joined(self.conjunction.german, self.first.german(case), self.second.german(case))

    def _joined(self, conjunction: tuple[str, str], first: Words, second: Words) -> Words:
        before, between = conjunction
        opening = [Word(text, (self.first_tie,)) for text in before.split()]
        return [*opening, *first, *(Word(text, (self.second_tie,)) for text in between.split()), *second]


Nominal = NounPhrase | Pronoun | RelativePronoun | Pair
"""What can be the subject or an object of a clause."""


def exchangeable(subject: Nominal, other: Nominal) -> bool:
    """Whether neither case nor number would tell a German subject from an accusative object in another than the usual order."""
    return subject.person == other.person and all(
        [word.text for word in nominal.german(Case.NOMINATIVE)] == [word.text for word in nominal.german(Case.ACCUSATIVE)]
        for nominal in (subject, other)
    )


def reflexive(subject: Nominal) -> str:
    """The accusative reflexive pronoun."""
    if isinstance(subject, Pronoun):
        return REFLEXIVES.get(subject.english_subject, ("sich",))[0]
    return "sich"


CONTRACTIONS = {
    ("in", "dem"): "im",
    ("an", "dem"): "am",
    ("zu", "dem"): "zum",
    ("zu", "der"): "zur",
    ("von", "dem"): "vom",
    ("in", "das"): "ins",
}


def place_phrase(preposition: Preposition, nominal: NounPhrase) -> Phrase:
    """A position, as of a preposition of the lexicon."""
    ties: dict[int, Tie] = {j: Tie() for _, j, _ in preposition.links}
    sure = {i: (ties[j],) for i, j, is_sure in preposition.links if is_sure}
    possible = {i: (ties[j],) for i, j, is_sure in preposition.links if not is_sure}
    english = [Word(text, sure.get(i, ()), possible.get(i, ())) for i, text in enumerate(preposition.english.split())]
    german = [Word(text, (ties[j],)) for j, text in enumerate(preposition.german.split())]
    return Phrase(english + nominal.english(), german + nominal.german(Case.DATIVE))


def prepositional_phrase(prepositions: tuple[str, ...], nominal: Nominal, case: Case) -> Phrase:
    """A noun phrase after an English and a German preposition; preposition and definite article contract to one German word."""
    tie = Tie()
    english = [Word(prepositions[0], (tie,)), *nominal.english(subject=False)]
    return Phrase(english, prepend_preposition(Word(prepositions[1], (tie,)), nominal, case))


def prepend_preposition(preposition: Word, nominal: Nominal, case: Case) -> Words:
    words = nominal.german(case)
    first = words[0]
    contracted = CONTRACTIONS.get((preposition.text, first.text))
    if contracted is None or not (isinstance(nominal, NounPhrase) and nominal.determiner is THE):
        return [preposition, *words]
    return [Word(contracted, preposition.sure, preposition.possible + first.sure + first.possible), *words[1:]]


def genitive(phrase: NounPhrase) -> Phrase:
    """A genitive attribute: English "of", which German says by the case alone."""
    german = phrase.german(Case.GENITIVE)
    of = Tie()
    german[0] = Word(german[0].text, german[0].sure, (of,))
    return Phrase([Word("of", (), (of,)), *phrase.english()], german)
