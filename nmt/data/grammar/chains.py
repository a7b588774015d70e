"""Sentences of three clauses and more. Each construction draws one sentence pair, as its first line shows."""

from __future__ import annotations

from nmt.data.grammar.clause_sampling import sample_clause
from nmt.data.grammar.complex_sentences import (
    REASONS,
    SUBORDINATORS,
    content,
    content_tense,
    dependent,
    relative_subject,
    report,
)
from nmt.data.grammar.sampling import Sampler
from nmt.data.grammar.sentences import subordination
from nmt.data.grammar.simple_sentences import PERSON
from nmt.data.grammar.words import Example, fixed_phrase


def nested_clauses(sampler: Sampler) -> Example:
    """The doctor says that the boy sleeps because he is tired; she asked whether he knew that the train arrived."""
    outer = sampler.choice(tuple(SUBORDINATORS))
    main = report(sampler, outer)
    if sampler.chance(0.5):
        middle = sample_clause(sampler, main.tense, adjuncts=False)
        last = dependent(sampler, middle, sampler.choice(tuple(REASONS)), leading=False)
    else:
        inner = sampler.choice(tuple(SUBORDINATORS))
        middle = sample_clause(sampler, main.tense, frames=(inner,), adjuncts=False)
        last = content(inner, sample_clause(sampler, content_tense(sampler, middle), adjuncts=False))
    return subordination(main, content(outer, middle), last)


def coordinated_clauses(sampler: Sampler) -> Example:
    """I know that Anna sings and that Peter dances: each German verb ends its own clause."""
    subordinator = sampler.choice(tuple(SUBORDINATORS))
    main = report(sampler, subordinator)
    tense = content_tense(sampler, main)
    first, second = (sample_clause(sampler, tense, adjuncts=sampler.chance(0.2)) for _ in range(2))
    again = fixed_phrase(f"and {subordinator}", f"und {SUBORDINATORS[subordinator]}")
    return subordination(main, content(subordinator, first), (again, second))


def embedded_relative(sampler: Sampler) -> Example:
    """Peter believes that the man who lives in Berlin has sold the house: one German verb ends a clause inside another."""
    main = report(sampler, "that")
    tense = content_tense(sampler, main)
    subject = relative_subject(sampler, PERSON, main.tense, adjuncts=False)
    return subordination(main, content("that", sample_clause(sampler, tense, subject=subject, adjuncts=sampler.chance(0.3))))
