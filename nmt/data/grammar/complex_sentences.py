"""Sentences of two clauses. Each construction draws one sentence pair, as its first line shows."""

from __future__ import annotations

from collections.abc import Mapping

from nmt.data.grammar.clause_sampling import anything, attach, eventful, same_person, sample_clause, sample_state
from nmt.data.grammar.clauses import MODALS, Clause, Order, Role, Tense
from nmt.data.grammar.german import Case
from nmt.data.grammar.lexicon import Adjective, Classes
from nmt.data.grammar.phrases import NounPhrase, RelativePronoun, pronoun_for
from nmt.data.grammar.sampling import HUMAN, NOTHING, NothingFits, Sampler
from nmt.data.grammar.sentences import Dependent, declarative, preposed, subordination
from nmt.data.grammar.simple_sentences import PERSON, SIMPLE, SUBSTANTIAL
from nmt.data.grammar.words import COMMA, Example, Phrase, Tie, Word, example, fixed_phrase

REASONS: Mapping[str, str] = {"because": "weil", "although": "obwohl"}
CONJUNCTIONS: Mapping[Tense, Mapping[str, str]] = {
    Tense.PRESENT: {**REASONS, "if": "wenn", "whenever": "sooft", "while": "während"},
    Tense.PAST: {**REASONS, "when": "als", "whenever": "sooft", "before": "bevor", "while": "während"},
}
"""English "when" of the present would be "wenn" like "if"."""
TEMPORAL = ("when", "whenever", "before", "while")
"""Say themselves when or how often."""


def adverbial_clause(sampler: Sampler) -> Example:
    """The boy does not go to school because he is ill."""
    tense = sampler.choice(SIMPLE)
    conjunction = sampler.choice(tuple(CONJUNCTIONS[tense]))
    main = main_clause(sampler, tense, conjunction)
    return subordination(main, dependent(sampler, main, conjunction, leading=False))


def leading_clause(sampler: Sampler) -> Example:
    """If she has time, she visits her uncle: in German the main clause begins with its verb."""
    tense = sampler.choice(SIMPLE)
    conjunction = sampler.choice(tuple(CONJUNCTIONS[tense]))
    main = main_clause(sampler, tense, conjunction)
    return preposed(dependent(sampler, main, conjunction, leading=True), main)


def main_clause(sampler: Sampler, tense: Tense, conjunction: str) -> Clause:
    return sample_clause(
        sampler,
        tense,
        adjuncts=conjunction not in TEMPORAL and sampler.chance(0.4),
        negated=conjunction in REASONS and sampler.chance(0.3),
        fits=eventful if conjunction in TEMPORAL else anything,
    )


def dependent(sampler: Sampler, main: Clause, conjunction: str, *, leading: bool) -> Dependent:
    """A clause that may be about the subject of ``main``, or about its object where that is named already."""
    words = fixed_phrase(conjunction, CONJUNCTIONS[main.tense][conjunction])
    tense, person = main.tense, same_person(main.subject)
    if conjunction in REASONS and not leading and can_judge(main) and sampler.chance(0.6):
        assert isinstance(main.object, NounPhrase)
        thing = main.object
        return words, sample_state(sampler, pronoun_for(thing), tense, thing.noun.classes, fits=impersonal)
    if conjunction in (*REASONS, "if", "when", "whenever") and person and sampler.chance(0.4):
        return words, sample_state(sampler, person, tense, PERSON, "state")
    modal = sampler.choice([modal for modal in MODALS if modal.tense is tense])
    return words, sample_clause(
        sampler,
        tense,
        subject=person if person and sampler.chance(0.6) else None,
        modal=modal if conjunction in REASONS and sampler.chance(0.4) else None,
        adjuncts=conjunction not in TEMPORAL and sampler.chance(0.5),
        fits=anything if conjunction in REASONS else eventful,
    )


def impersonal(adjective: Adjective) -> bool:
    """Whether no person could be meant by the German pronoun before it: "weil sie traurig ist"."""
    return "state" not in adjective.uses


def can_judge(main: Clause) -> bool:
    """Whether what the object is like ("it is too expensive") can be a reason."""
    thing = main.object
    if "judged" not in main.verb.flags or not isinstance(thing, NounPhrase) or thing.negation:
        return False
    return thing.noun.classes.isdisjoint({"human", "animal", "relational"})


SUBORDINATORS: Mapping[str, str] = {"that": "dass", "whether": "ob"}


def content_clause(sampler: Sampler) -> Example:
    """The doctor says that the child will sleep soon."""
    return reported(sampler, "that")


def indirect_question(sampler: Sampler) -> Example:
    """She asked whether the train arrived yesterday."""
    return reported(sampler, "whether")


def reported(sampler: Sampler, subordinator: str) -> Example:
    main = report(sampler, subordinator)
    person = same_person(main.subject)
    clause = sample_clause(sampler, content_tense(sampler, main), subject=person if person and sampler.chance(0.35) else None)
    return subordination(main, content(subordinator, clause))


def report(sampler: Sampler, subordinator: str) -> Clause:
    """Who says or asks what is to follow."""
    return sample_clause(sampler, sampler.choice(SIMPLE), frames=(subordinator,), adjuncts=False)


def content(subordinator: str, clause: Clause) -> Dependent:
    """What is said or asked."""
    return fixed_phrase(subordinator, SUBORDINATORS[subordinator]), clause


def content_tense(sampler: Sampler, main: Clause) -> Tense:
    return Tense.PAST if main.tense is Tense.PAST else sampler.choice((Tense.PRESENT, Tense.PERFECT, Tense.FUTURE))


def subject_relative(sampler: Sampler) -> Example:
    """The man who sells apples knows my father."""
    tense = sampler.choice(SIMPLE)
    classes = sampler.choice((PERSON, frozenset({"animal"})))
    return with_relative(sampler, relative_subject(sampler, classes, tense, adjuncts=sampler.chance(0.4)), tense)


def relative_subject(sampler: Sampler, classes: Classes, tense: Tense, *, adjuncts: bool) -> NounPhrase:
    """A phrase with a relative clause whose subject it is."""
    phrase = sampler.noun_phrase(classes, plain=True)
    clause = sample_clause(sampler, tense, subject=RelativePronoun(phrase), adjuncts=adjuncts)
    attach(phrase, clause, Role.SUBJECT)
    return phrase


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
    """My brother is cooking soup now and my sister is writing a letter."""
    tense = sampler.choice((*SIMPLE, Tense.PROGRESSIVE, Tense.PERFECT))
    now = tense is Tense.PROGRESSIVE
    first, second = (sample_clause(sampler, tense, adjuncts=adjuncts or sampler.chance(0.2)) for adjuncts in (now, False))
    contrast = sampler.chance(0.4)
    comma = [COMMA] if contrast else []
    words = fixed_phrase(*(("but", "aber") if contrast else ("and", "und")))
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
    phrase = sampler.noun_phrase(first.verb.object - HUMAN - {"person", "pet"})
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
