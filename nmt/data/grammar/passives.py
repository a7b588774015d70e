"""Passive sentences. Each construction draws one sentence pair, as its first line shows."""

from __future__ import annotations

from nmt.data.grammar.clause_sampling import INTENDED
from nmt.data.grammar.clauses import MODALS, Clause, Modal, Tense
from nmt.data.grammar.german import Case
from nmt.data.grammar.phrases import prepositional_phrase
from nmt.data.grammar.sampling import NOTHING, Sampler
from nmt.data.grammar.sentences import declarative
from nmt.data.grammar.words import Example


def passive(sampler: Sampler) -> Example:
    """The letter was written by the queen."""
    tense = sampler.choice((Tense.PRESENT, Tense.PAST, Tense.PAST, Tense.FUTURE))
    return declarative(passive_clause(sampler, tense))


def perfect_passive(sampler: Sampler) -> Example:
    """The bridge has already been repaired: "been" is German "worden", at the end."""
    clause = passive_clause(sampler, Tense.PERFECT)
    if clause.time is None:
        clause.frequency = sampler.adverbial("frequency", Tense.PERFECT)
    return declarative(clause)


def modal_passive(sampler: Sampler) -> Example:
    """The suitcase must be carried by my brother: German ends with two infinite verbs."""
    modal = sampler.choice([modal for modal in MODALS if not modal.volition])
    return declarative(passive_clause(sampler, modal.tense, modal))


def passive_clause(sampler: Sampler, tense: Tense, modal: Modal | None = None) -> Clause:
    """A passive clause that says who does it, or at least when."""
    verbs = sampler.verbs(("object",), without=frozenset({"nopassive", "state"}) | (INTENDED if modal else NOTHING))
    verb = sampler.draw_verb([verb for verb in verbs if not any(verb.prepositions)])
    agent = sampler.noun_phrase(verb.subject, plain=True) if sampler.chance(0.7) else None
    negated = agent is None and modal is not None and modal.negatable
    subject = sampler.noun_phrase(verb.object, definite=True if negated else None)
    clause = Clause(subject, verb, tense, modal=modal, passive=True, negated=negated)
    if agent:
        clause.place = prepositional_phrase(("by", "von"), agent, Case.DATIVE)
    if agent is None or sampler.chance(0.6):
        clause.time = sampler.adverbial("time", Tense.FUTURE if modal and tense is Tense.PRESENT else tense)
    return clause
