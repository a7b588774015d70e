"""Questions. Each construction draws one sentence pair, as its first line shows."""

from __future__ import annotations

from nmt.data.grammar.clause_sampling import (
    sample_clause,
)
from nmt.data.grammar.clauses import MODALS, Order, Role, Tense
from nmt.data.grammar.lexicon import Verb
from nmt.data.grammar.phrases import (
    WHICH,
    NounPhrase,
    pronoun,
)
from nmt.data.grammar.sampling import EVENTS, HUMAN, Sampler
from nmt.data.grammar.sentences import verb_first
from nmt.data.grammar.simple_sentences import PERSON, SIMPLE
from nmt.data.grammar.words import Example, example, fixed_phrase


def yes_no_question(sampler: Sampler) -> Example:
    """Did the student read this book?"""
    modal = sampler.choice([modal for modal in MODALS if not modal.particle]) if sampler.chance(0.25) else None
    tense = modal.tense if modal else sampler.choice((*SIMPLE, Tense.PERFECT, Tense.FUTURE))
    clause = sample_clause(sampler, tense, modal=modal)
    return verb_first(clause, "?")


def subject_question(sampler: Sampler) -> Example:
    """Who sold the house? Which teacher lives in Vienna?"""
    tense = sampler.choice((*SIMPLE, Tense.PERFECT, Tense.FUTURE))
    subject = pronoun("who") if sampler.chance(0.5) else NounPhrase(sampler.noun(PERSON), WHICH, sampler.chance(0.3))
    clause = sample_clause(sampler, tense, subject=subject)
    return example(clause.english(), clause.german(Order.SECOND), "?")


def object_question(sampler: Sampler) -> Example:
    """Which letter did she write? For whom is he waiting?"""
    tense = sampler.choice((*SIMPLE, Tense.PERFECT, Tense.FUTURE))
    clause = sample_clause(sampler, tense, frames=("object",), fits=lambda verb: "reflexive" not in verb.flags)
    things = clause.verb.object - HUMAN
    if "human" in clause.verb.object:
        clause.object = pronoun("who")
    elif sampler.chance(0.3) and not clause.verb.prepositions[1]:
        clause.object = pronoun("what")
    else:
        noun = sampler.noun(things)
        clause.object = NounPhrase(noun, WHICH, bool(noun.german_plural) and sampler.chance(0.3), sampler.descriptions(noun))
    return example(clause.english(Role.OBJECT, inverted=True), clause.german(Order.SECOND, Role.OBJECT), "?")


def adverbial_question(sampler: Sampler) -> Example:
    """Where did the farmer sell the horse? Why does she need a new coat?"""
    tense = sampler.choice((*SIMPLE, Tense.FUTURE))
    english, german, role = sampler.choice(
        (("when", "wann", Role.TIME), ("where", "wo", Role.PLACE), ("where", "wohin", Role.GOAL), ("why", "warum", None))
    )
    frames = ("goal",) if role is Role.GOAL else EVENTS
    clause = sample_clause(sampler, tense, frames=frames, fits=lambda verb: accepts(verb, role))
    clause.frequency = None
    if role is Role.TIME:
        clause.time = None
    elif role is Role.PLACE:
        clause.place = None
    elif role is Role.GOAL:
        clause.goal = None
    return verb_first(clause, "?", fixed_phrase(english, german))


def accepts(verb: Verb, role: Role | None) -> bool:
    """Whether one can ask for the ``role`` with this verb."""
    if role is Role.PLACE:
        return bool(verb.places)
    return role is not Role.TIME or "state" not in verb.flags
