"""Every construction of the built-in corpus. To add one, write its function and list it here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nmt.data.grammar.complex_sentences import (
    adverbial_clause,
    content_clause,
    coordination,
    indirect_question,
    infinitive_clause,
    leading_clause,
    object_relative,
    purpose_clause,
    shared_subject,
    subject_relative,
)
from nmt.data.grammar.questions import adverbial_question, object_question, subject_question, yes_no_question
from nmt.data.grammar.sampling import Sampler
from nmt.data.grammar.simple_sentences import (
    comparison,
    description,
    existence,
    fronted_adverbial,
    future,
    modal_verb,
    negation,
    passive,
    present_perfect,
    statement,
)
from nmt.data.grammar.words import Example

Construction = Callable[[Sampler], Example]

CONSTRUCTIONS: Mapping[Construction, float] = {
    statement: 10,
    fronted_adverbial: 8,
    present_perfect: 5,
    future: 5,
    modal_verb: 7,
    negation: 7,
    yes_no_question: 5,
    subject_question: 2,
    object_question: 3,
    adverbial_question: 4,
    adverbial_clause: 9,
    leading_clause: 7,
    content_clause: 6,
    indirect_question: 2,
    subject_relative: 7,
    object_relative: 7,
    infinitive_clause: 4,
    purpose_clause: 4,
    coordination: 6,
    shared_subject: 5,
    passive: 5,
    comparison: 2,
    existence: 2,
    description: 2,
}
"""Every construction and how often it is drawn, relative to the others."""
