"""Sentences of two clauses. Each construction draws one sentence pair, as its first line shows."""

from __future__ import annotations

from collections.abc import Mapping

from nmt.data.grammar.clause_sampling import (
    anything,
    same_person,
    sample_clause,
    sample_state,
)
from nmt.data.grammar.clauses import MODALS, Clause, Order, Role, Tense
from nmt.data.grammar.german import Case
from nmt.data.grammar.lexicon import Verb
from nmt.data.grammar.phrases import (
    NounPhrase,
    RelativePronoun,
    pronoun_for,
)
from nmt.data.grammar.sampling import HUMAN, NOTHING, NothingFits, Sampler
from nmt.data.grammar.simple_sentences import PERSON, SIMPLE, declarative
from nmt.data.grammar.words import COMMA, Example, Phrase, Tie, Word, example, fixed_phrase

CONJUNCTIONS: Mapping[Tense, tuple[tuple[str, str], ...]] = {
    Tense.PRESENT: (("because", "weil"), ("although", "obwohl"), ("if", "wenn"), ("when", "wenn"), ("while", "während")),
    Tense.PAST: (("because", "weil"), ("although", "obwohl"), ("when", "als"), ("before", "bevor"), ("while", "während")),
}


REASONS = ("because", "although")


def adverbial_clause(sampler: Sampler) -> Example:
    """The boy is not going to school because he is ill."""
    main, conjunction, clause = main_and_subordinate(sampler, leading=False)
    return example(
        [*main.english(), *conjunction.english, *clause.english()],
        [*main.german(Order.SECOND), COMMA, *conjunction.german, *clause.german(Order.LAST)],
        ".",
    )


def leading_clause(sampler: Sampler) -> Example:
    """If she has time, she visits her uncle: in German the main clause begins with its verb."""
    main, conjunction, clause = main_and_subordinate(sampler, leading=True)
    return example(
        [*conjunction.english, *clause.english(), COMMA, *main.english()],
        [*conjunction.german, *clause.german(Order.LAST), COMMA, *main.german(Order.FIRST)],
        ".",
    )


def main_and_subordinate(sampler: Sampler, *, leading: bool) -> tuple[Clause, Phrase, Clause]:
    tense = sampler.choice(SIMPLE)
    english, german = sampler.choice(CONJUNCTIONS[tense])
    adjuncts = german != "als" and sampler.chance(0.4)  # what is repeated in the past would be "wenn"
    main = sample_clause(sampler, tense, adjuncts=adjuncts, negated=english in REASONS and sampler.chance(0.3))
    conjunction = fixed_phrase(english, german, [(0, 0, True)])
    return main, conjunction, subordinate(sampler, main, tense, english, leading=leading)


def subordinate(sampler: Sampler, main: Clause, tense: Tense, conjunction: str, *, leading: bool) -> Clause:
    """A clause that may be about the subject of ``main``, or about its object where that is named already."""
    person = same_person(main.subject)
    if conjunction in REASONS and not leading and can_judge(main) and sampler.chance(0.6):
        assert isinstance(main.object, NounPhrase)
        return sample_state(sampler, pronoun_for(main.object), tense, main.object.noun.classes)
    if conjunction in (*REASONS, "if", "when") and person and sampler.chance(0.4):
        return sample_state(sampler, person, tense, PERSON, "state")
    modal = sampler.choice([modal for modal in MODALS if modal.tense is tense])
    return sample_clause(
        sampler,
        tense,
        subject=person if person and sampler.chance(0.6) else None,
        modal=modal if conjunction in REASONS and sampler.chance(0.4) else None,
        adjuncts=(conjunction, tense) != ("when", Tense.PAST) and sampler.chance(0.5),
        fits=anything if conjunction in REASONS else eventful,
    )


def eventful(verb: Verb) -> bool:
    return "state" not in verb.flags


def can_judge(main: Clause) -> bool:
    """Whether what the object is like ("it is too expensive") can be a reason."""
    thing = main.object
    if "judged" not in main.verb.flags or not isinstance(thing, NounPhrase) or thing.negation:
        return False
    return thing.noun.classes.isdisjoint({"human", "animal", "relational"})


def content_clause(sampler: Sampler) -> Example:
    """The doctor says that the child will sleep soon."""
    return reported(sampler, "that", "that", "dass")


def indirect_question(sampler: Sampler) -> Example:
    """She asked whether the train arrived yesterday."""
    return reported(sampler, "whether", "whether", "ob")


def reported(sampler: Sampler, frame: str, english: str, german: str) -> Example:
    tense = sampler.choice(SIMPLE)
    main = sample_clause(sampler, tense, frames=(frame,), adjuncts=False)
    inner = Tense.PAST if tense is Tense.PAST else sampler.choice((Tense.PRESENT, Tense.PERFECT, Tense.FUTURE))
    person = same_person(main.subject)
    clause = sample_clause(sampler, inner, subject=person if person and sampler.chance(0.35) else None)
    tie = Tie()
    return example(
        [*main.english(), Word(english, (tie,)), *clause.english()],
        [*main.german(Order.SECOND), COMMA, Word(german, (tie,)), *clause.german(Order.LAST)],
        ".",
    )


def subject_relative(sampler: Sampler) -> Example:
    """The man who sells apples knows my father."""
    classes = sampler.choice((PERSON, frozenset({"animal"})))
    phrase = sampler.noun_phrase(classes, plain=True)
    tense = sampler.choice(SIMPLE)
    clause = sample_clause(sampler, tense, subject=RelativePronoun(phrase), adjuncts=sampler.chance(0.4))
    attach(phrase, clause, Role.SUBJECT)
    return with_relative(sampler, phrase, tense)


def object_relative(sampler: Sampler) -> Example:
    """The book which the teacher read belongs to my sister."""
    tense = sampler.choice(SIMPLE)
    clause = sample_clause(
        sampler, tense, frames=("object",), adjuncts=sampler.chance(0.3), fits=lambda verb: "reflexive" not in verb.flags
    )
    people = PERSON if "human" in clause.verb.object else NOTHING
    phrase = sampler.noun_phrase((clause.verb.object - HUMAN - {"kin"}) | people, plain=True)
    clause.object = RelativePronoun(phrase)
    attach(phrase, clause, Role.OBJECT)
    return with_relative(sampler, phrase, tense)


def attach(phrase: NounPhrase, clause: Clause, front: Role) -> None:
    """Makes ``clause`` the relative clause of ``phrase``; German has commas around it."""
    german = [COMMA, *clause.german(Order.LAST, front), COMMA]
    phrase.modifier = Phrase(clause.english(front), german)


def with_relative(sampler: Sampler, phrase: NounPhrase, tense: Tense) -> Example:
    """A main clause about ``phrase``: as its subject, or as the object that ends it."""
    try:
        clause = sample_clause(sampler, tense, subject=phrase, adjuncts=sampler.chance(0.3))
    except NothingFits:
        clause = sample_clause(
            sampler,
            tense,
            frames=("object",),
            adjuncts=False,
            fits=lambda verb: not verb.prefix and not verb.object.isdisjoint(phrase.noun.classes),
        )
        clause.object = phrase
    return declarative(clause)


SUBSTANTIAL = ("object", "recipient", "goal", "placement")


def infinitive_clause(sampler: Sampler) -> Example:
    """The engineer tries to repair the computer."""
    tense = sampler.choice((*SIMPLE, Tense.PERFECT))
    main = sample_clause(sampler, tense, frames=("infinitive",), adjuncts=False)
    return with_infinitive(sampler, main, Phrase([], []))


def purpose_clause(sampler: Sampler) -> Example:
    """He went to the market in order to buy a horse."""
    tense = sampler.choice((*SIMPLE, Tense.FUTURE))
    main = sample_clause(sampler, tense, subject=sampler.subject(tense), frames=("goal",), adjuncts=False)
    main.time = sampler.adverbial("time", tense) if sampler.chance(0.4) and "state" not in main.verb.flags else None
    return with_infinitive(sampler, main, fixed_phrase("in order", "um", [(0, 0, True), (1, 0, False)]))


def with_infinitive(sampler: Sampler, main: Clause, opening: Phrase) -> Example:
    clause = sample_clause(
        sampler,
        Tense.PROGRESSIVE,
        subject=main.subject,
        frames=SUBSTANTIAL,
        adjuncts=False,
        fits=lambda verb: verb.frame != main.verb.frame,
    )
    tie = Tie()
    return example(
        [*main.english(), *opening.english, *clause.english_infinitive(tie)],
        [*main.german(Order.SECOND), COMMA, *opening.german, *clause.german_infinitive(tie)],
        ".",
    )


def coordination(sampler: Sampler) -> Example:
    """My brother is cooking soup and my sister is writing a letter."""
    tense = sampler.choice((*SIMPLE, Tense.PROGRESSIVE, Tense.PERFECT))
    first, second = (sample_clause(sampler, tense, adjuncts=sampler.chance(0.2)) for _ in range(2))
    contrast = sampler.chance(0.4)
    comma = [COMMA] if contrast else []
    words = fixed_phrase(*(("but", "aber") if contrast else ("and", "und")), [(0, 0, True)])
    return example(
        [*first.english(), *comma, *words.english, *second.english()],
        [*first.german(Order.SECOND), *comma, *words.german, *second.german(Order.SECOND)],
        ".",
    )


def shared_subject(sampler: Sampler) -> Example:
    """The farmer bought a cow and sold it yesterday: the German pronoun has the gender of its noun."""
    tense = sampler.choice((*SIMPLE, Tense.PERFECT))
    first = sample_clause(
        sampler, tense, frames=("object",), adjuncts=sampler.chance(0.2), fits=lambda verb: "lasting" in verb.flags
    )
    first.frequency = None
    phrase = sampler.noun_phrase(first.verb.object - HUMAN - {"pet"})
    first.object = phrase
    second = sample_clause(
        sampler,
        tense,
        subject=first.subject,
        frames=("object", "recipient"),
        fits=lambda verb: (
            not verb.object.isdisjoint(phrase.noun.classes) and verb.flags.isdisjoint({"lasting", "making", "state"})
        ),
    )
    second.object = pronoun_for(phrase)
    tie = Tie()
    english, german = first.subject.english(subject=True), first.subject.german(Case.NOMINATIVE)
    return example(
        [*first.english(), Word("and", (tie,)), *second.english()[len(english) :]],
        [*first.german(Order.SECOND), Word("und", (tie,)), *second.german(Order.SECOND)[len(german) :]],
        ".",
    )
