"""Every construction of the built-in corpus. To add one, write its function and list it here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nmt.data.grammar.chains import coordinated_clauses, embedded_relative, nested_clauses
from nmt.data.grammar.comparisons import comparison, group_superlative, proportion, superlative, unreal_condition
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
from nmt.data.grammar.passives import modal_passive, passive, perfect_passive
from nmt.data.grammar.questions import adverbial_question, object_question, subject_question, yes_no_question
from nmt.data.grammar.sampling import NothingFits, Sampler
from nmt.data.grammar.simple_sentences import (
    compound_noun,
    description,
    existence,
    fronted_adverbial,
    future,
    idiom,
    modal_verb,
    negation,
    paired_subjects,
    present_perfect,
    proposal,
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
    nested_clauses: 4,
    coordinated_clauses: 3,
    embedded_relative: 3,
    unreal_condition: 3,
    passive: 5,
    perfect_passive: 3,
    modal_passive: 3,
    comparison: 2,
    superlative: 2,
    group_superlative: 1,
    proportion: 2,
    existence: 2,
    description: 2,
    compound_noun: 5,
    idiom: 4,
    proposal: 2,
    paired_subjects: 3,
}
"""Every construction and how often it is drawn, relative to the others."""

MIN_LENGTH, MAX_LENGTH = 5, 22


def draw(construction: Construction, sampler: Sampler) -> Example:
    """A sentence pair of the construction, of 5 to 22 words on both sides."""
    while True:
        sampler.begin()
        try:
            example = construction(sampler)
        except NothingFits:
            continue
        lengths = len(example.source.split()), len(example.target.split())
        if min(lengths) >= MIN_LENGTH and max(lengths) <= MAX_LENGTH:
            return example
