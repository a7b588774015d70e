"""Statements of one clause. Each construction draws one sentence pair, as its first line shows."""

from __future__ import annotations

from nmt.data.grammar import english as english_forms
from nmt.data.grammar.clause_sampling import (
    classes_of,
    eventful,
    sample_clause,
    sample_state,
)
from nmt.data.grammar.clauses import LET, MODALS, Role, Tense
from nmt.data.grammar.german import Case, Person
from nmt.data.grammar.lexicon import Classes
from nmt.data.grammar.phrases import (
    BARE,
    CORRELATIVES,
    NO,
    QUANTIFIERS,
    A,
    NounPhrase,
    Pair,
    pronoun,
)
from nmt.data.grammar.sampling import Sampler
from nmt.data.grammar.sentences import declarative, fronted, verb_first
from nmt.data.grammar.words import Example, Tie, Word, example

SIMPLE = (Tense.PRESENT, Tense.PAST)
SUBSTANTIAL = ("object", "recipient", "goal", "placement")
PERSON: Classes = frozenset({"person"})


def statement(sampler: Sampler) -> Example:
    """The boy is reading a book in the garden now."""
    tense = sampler.choice((Tense.PRESENT, Tense.PROGRESSIVE, Tense.PAST))
    return declarative(sample_clause(sampler, tense))


def fronted_adverbial(sampler: Sampler) -> Example:
    """Yesterday the boy bought a book: the German subject follows the verb."""
    tense = sampler.choice((Tense.PRESENT, Tense.PAST, Tense.PAST, Tense.FUTURE))
    clause = sample_clause(sampler, tense, fits=eventful)
    if clause.place and clause.verb.frame != "position" and sampler.chance(0.4):
        return fronted(clause, Role.PLACE)
    clause.frequency = None
    clause.time = clause.time or sampler.adverbial("time", tense)
    return fronted(clause, Role.TIME)


def present_perfect(sampler: Sampler) -> Example:
    """The girl has already eaten the apple."""
    return declarative(sample_clause(sampler, Tense.PERFECT))


def future(sampler: Sampler) -> Example:
    """We will visit our aunt next week."""
    return declarative(sample_clause(sampler, Tense.FUTURE))


def modal_verb(sampler: Sampler) -> Example:
    """She wants to sell the old car."""
    modal = sampler.choice(MODALS)
    return declarative(sample_clause(sampler, modal.tense, modal=modal))


def negation(sampler: Sampler) -> Example:
    """He does not know the teacher; I have not bought any apples."""
    if sampler.chance(0.3):
        modal = sampler.choice([modal for modal in MODALS if modal.negatable])
        return declarative(sample_clause(sampler, modal.tense, modal=modal, negated=True))
    tense = sampler.choice((*SIMPLE, Tense.PERFECT, Tense.FUTURE))
    return declarative(sample_clause(sampler, tense, negated=True))


INHABITANTS: tuple[tuple[Classes, Classes], ...] = (
    (frozenset({"person"}), frozenset({"public", "eatery", "work"})),
    (frozenset({"animal"}), frozenset({"outdoors"})),
    (frozenset({"pet", "luggage"}), frozenset({"furniture"})),
    (frozenset({"device", "furniture"}), frozenset({"room", "eatery"})),
    (frozenset({"building", "shop"}), frozenset({"town"})),
)


def existence(sampler: Sampler) -> Example:
    """There are three horses in the garden."""
    things, places = sampler.choice(INHABITANTS)
    noun = sampler.noun(things)
    plural = sampler.chance(0.5)
    phrase = NounPhrase(noun, sampler.choice((*QUANTIFIERS, BARE, NO)) if plural else sampler.choice((A, A, NO)), plural)
    phrase.descriptions = sampler.descriptions(noun)
    tense = sampler.choice(SIMPLE)
    there, verb = Tie(), Tie()
    be = english_forms.BE_PAST if tense is Tense.PAST else english_forms.BE_PRESENT
    place = sampler.position(places)
    return example(
        [Word("there", (there,)), Word(be[phrase.person], (verb,)), *phrase.english(), *place.english],
        [
            Word("es", (there,)),
            Word("gab" if tense is Tense.PAST else "gibt", (verb,)),
            *phrase.german(Case.ACCUSATIVE),
            *place.german,
        ],
        ".",
    )


def description(sampler: Sampler) -> Example:
    """The old teacher is very friendly; my uncle is a famous doctor."""
    tense = sampler.choice(SIMPLE)
    phrase = sampler.noun_phrase(PERSON | {"kin", "thing", "building", "animal", "vehicle", "event", "topic"}, definite=True)
    return declarative(sample_state(sampler, phrase, tense, classes_of(phrase)))


def compound_noun(sampler: Sampler) -> Example:
    """The boy broke the coffee cup: two English words, one German word."""
    tense = sampler.choice((*SIMPLE, Tense.PERFECT, Tense.FUTURE))
    phrase = sampler.noun_phrase(frozenset({"compound"}))
    if "human" in phrase.noun.classes:
        return declarative(sample_clause(sampler, tense, subject=phrase))
    clause = sample_clause(sampler, tense, frames=("object",), fits=lambda verb: not verb.object.isdisjoint(phrase.noun.classes))
    clause.object = phrase
    return declarative(clause)


def idiom(sampler: Sampler) -> Example:
    """My uncle bought a pig in a poke: the words mean nothing alone, so each is possibly linked to each."""
    modal = sampler.choice(MODALS) if sampler.chance(0.3) else None
    tense = modal.tense if modal else sampler.choice((*SIMPLE, Tense.PERFECT, Tense.FUTURE))
    return declarative(sample_clause(sampler, tense, modal=modal, frames=("idiom",)))


def proposal(sampler: Sampler) -> Example:
    """Let us visit our aunt tomorrow."""
    clause = sample_clause(
        sampler,
        Tense.PRESENT,
        subject=pronoun("us"),
        modal=LET,
        frames=SUBSTANTIAL,
        fits=lambda verb: "reflexive" not in verb.flags,
    )
    return verb_first(clause, ".")


def paired_subjects(sampler: Sampler) -> Example:
    """Both my brother and the doctor speak about the journey; neither Anna nor her friend knows the answer."""
    tense = sampler.choice((*SIMPLE, Tense.PERFECT, Tense.FUTURE))
    conjunction = sampler.choice(CORRELATIVES)
    first, second = (sampler.single(sampler.noun(PERSON | {"kin", "name"})) for _ in range(2))
    clause = sample_clause(sampler, tense, subject=Pair(conjunction, first, second))
    if conjunction.person is not Person.PLURAL:
        clause.frequency = None  # neither of them never does
    return declarative(clause)
