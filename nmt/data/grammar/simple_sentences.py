"""Statements of one clause. Each construction draws one sentence pair, as its first line shows."""

from __future__ import annotations

from nmt.data.grammar import english as english_forms
from nmt.data.grammar.clause_sampling import (
    classes_of,
    sample_clause,
    sample_state,
)
from nmt.data.grammar.clauses import MODALS, Clause, Order, Role, Tense
from nmt.data.grammar.german import Case
from nmt.data.grammar.lexicon import Classes
from nmt.data.grammar.phrases import (
    BARE,
    NO,
    QUANTIFIERS,
    THE,
    A,
    NounPhrase,
    prepositional_phrase,
)
from nmt.data.grammar.sampling import Sampler
from nmt.data.grammar.words import COMMA, Example, Phrase, Tie, Word, example, fixed_phrase

SIMPLE = (Tense.PRESENT, Tense.PAST)


PERSON: Classes = frozenset({"person"})


def declarative(clause: Clause) -> Example:
    return example(clause.english(), clause.german(Order.SECOND), ".")


def statement(sampler: Sampler) -> Example:
    """The boy is reading a book in the garden."""
    tense = sampler.choice((Tense.PRESENT, Tense.PROGRESSIVE, Tense.PAST))
    return declarative(sample_clause(sampler, tense))


def fronted_adverbial(sampler: Sampler) -> Example:
    """Yesterday the boy bought a book: the German subject follows the verb."""
    tense = sampler.choice((Tense.PRESENT, Tense.PAST, Tense.PAST, Tense.FUTURE))
    clause = sample_clause(sampler, tense)
    if clause.place and clause.verb.frame != "position" and "state" not in clause.verb.flags and sampler.chance(0.4):
        front, phrase = Role.PLACE, clause.place
    else:
        clause.frequency = None
        clause.time = clause.time or sampler.adverbial("time", tense)
        assert clause.time is not None
        front, phrase = Role.TIME, clause.time
    if len(phrase.english) > 1:
        phrase.english.append(COMMA)
    return example(clause.english(front), clause.german(Order.SECOND, front), ".")


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


def passive(sampler: Sampler) -> Example:
    """The letter was written by the queen."""
    tense = sampler.choice((Tense.PRESENT, Tense.PAST, Tense.PAST))
    verbs = sampler.verbs(("object",), without=frozenset({"nopassive", "state"}))
    verb = sampler.draw_verb([verb for verb in verbs if not any(verb.prepositions)])
    agent = sampler.noun_phrase(verb.subject, plain=True)
    clause = Clause(sampler.noun_phrase(verb.object), verb, tense, passive=True)
    clause.place = prepositional_phrase(("by", "von"), agent, Case.DATIVE)
    clause.time = sampler.adverbial("time", tense) if sampler.chance(0.6) else None
    return declarative(clause)


def comparison(sampler: Sampler) -> Example:
    """My car is faster than this bus; the lake is as quiet as the forest."""
    adjective = sampler.choice(
        sampler.fitting(
            "compared", sampler.lexicon.adjectives, lambda entry: bool(entry.comparative) and "predicate" in entry.uses
        )
    )
    first = NounPhrase(sampler.noun(adjective.classes), THE)
    second = NounPhrase(sampler.noun(first.noun.classes & adjective.classes), THE)
    for phrase in (first, second):
        phrase.determiner = sampler.determiner(phrase.noun, False, True)
        phrase.modifier = sampler.modifier(phrase)
    if sampler.chance(0.7):
        english, german = f"{adjective.comparative} than", f"{adjective.german_comparative} als"
        num_words = len(adjective.comparative.split())
        links = [*((i, 0, True) for i in range(num_words)), (num_words, 1, True)]
    else:
        english, german = f"as {adjective.english} as", f"so {adjective.german} wie"
        links = [(i, i, True) for i in range(3)]
    measure = fixed_phrase(english, german, links)
    predicate = Phrase([*measure.english, *second.english()], [*measure.german, *second.german(Case.NOMINATIVE)])
    return declarative(Clause(first, sampler.copula, sampler.choice(SIMPLE), predicate=predicate))


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
