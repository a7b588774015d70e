"""Random clauses: a verb, what its frame asks for, and adjuncts that fit verb and tense."""

from __future__ import annotations

from collections.abc import Callable

from nmt.data.grammar import english
from nmt.data.grammar.clauses import Clause, Modal, Tense
from nmt.data.grammar.german import Person
from nmt.data.grammar.lexicon import Classes, Verb
from nmt.data.grammar.phrases import Nominal, NounPhrase, Pronoun, RelativePronoun, pronoun
from nmt.data.grammar.sampling import EVENTS, HUMAN, NOTHING, PERSONAL, NothingFits, Sampler
from nmt.data.grammar.words import Phrase, fixed_phrase

FORBIDDEN_FLAGS = {
    Tense.PRESENT: NOTHING,
    Tense.PAST: NOTHING,
    Tense.PROGRESSIVE: frozenset({"state", "punctual"}),
    Tense.PERFECT: frozenset({"state"}),
    Tense.FUTURE: frozenset({"state"}),
}
INTENDED = frozenset({"state", "mishap"})
"""What nobody can, must or wants to do."""
SEX_PRONOUNS = {"m": "he", "f": "she"}


def anything(verb: Verb) -> bool:
    return True


def classes_of(nominal: Nominal) -> Classes:
    if isinstance(nominal, RelativePronoun):
        return nominal.head.noun.classes
    return nominal.noun.classes if isinstance(nominal, NounPhrase) else HUMAN


def sample_clause(
    sampler: Sampler,
    tense: Tense,
    *,
    subject: Nominal | None = None,
    modal: Modal | None = None,
    negated: bool = False,
    adjuncts: bool = True,
    frames: tuple[str, ...] = EVENTS,
    fits: Callable[[Verb], bool] = anything,
) -> Clause:
    """A clause about an event (or a state, in the present and past) whose verb ``fits``; ``subject`` is drawn where not given."""
    forbidden = FORBIDDEN_FLAGS[tense] | (INTENDED if modal else NOTHING)
    human = HUMAN if modal else None
    verbs = sampler.verbs(frames, classes_of(subject) if subject else human, forbidden)
    verb = sampler.draw_verb([verb for verb in verbs if fits(verb)])
    subject = subject or sampler.subject(tense, human or verb.subject, definite=True if negated else None)
    if tense is Tense.PRESENT and subject.person is not Person.THIRD and verb.past == english.split_particle(verb)[0]:
        raise NothingFits  # "they read": the English would not tell its tense
    clause = Clause(subject, verb, tense, modal=modal, negated=negated)
    add_complements(sampler, clause)
    if adjuncts:
        add_adjuncts(sampler, clause)
    return clause


def add_complements(sampler: Sampler, clause: Clause) -> None:
    """What the frame of the verb asks for."""
    verb = clause.verb
    if verb.frame == "goal":
        clause.goal = sampler.destination(verb.object)
    elif verb.frame in ("object", "recipient", "placement", "possession"):
        clause.object = sample_object(sampler, clause, verb.object)
    if verb.frame == "recipient":
        clause.recipient = sample_recipient(sampler, clause)
    if verb.frame == "placement":
        clause.goal = sampler.destination(frozenset({"furniture", "container"}), "at")
    if verb.frame == "position":
        clause.place = sampler.position(frozenset({"furniture", "container"}))
    if "needsplace" in verb.flags:
        clause.place = sampler.position(verb.places)


def sample_object(sampler: Sampler, clause: Clause, classes: Classes) -> Nominal:
    """The object; a negated clause has an indefinite one only where "kein" can negate it."""
    if "human" in classes and sampler.chance(0.2):
        return other_person(sampler, clause.subject)
    if not clause.negated:
        return sampler.noun_phrase(classes)
    if clause.verb.case == "acc" and not clause.verb.prepositions[1] and sampler.chance(0.5):
        phrase = sampler.noun_phrase(classes, definite=False, plain=True)
        if not phrase.definite and not phrase.determiner.english_plural:
            phrase.negation = clause.negation_tie
            return phrase
        clause.negated = phrase.definite
        return phrase
    return sampler.noun_phrase(classes, definite=True)


def sample_recipient(sampler: Sampler, clause: Clause) -> Nominal:
    if sampler.chance(0.3):
        return other_person(sampler, clause.subject)
    return sampler.noun_phrase(HUMAN, definite=True, plain=True)


def other_person(sampler: Sampler, subject: Nominal) -> Pronoun:
    """A personal pronoun that is not about the speaker or the hearer again."""
    taken = {"I", "we"} if isinstance(subject, Pronoun) and subject.english_subject in ("I", "we") else set()
    taken |= {subject.english_subject} if isinstance(subject, Pronoun) else set()
    return pronoun(sampler.choice([name for name in PERSONAL if name not in taken]))


def add_adjuncts(sampler: Sampler, clause: Clause) -> None:
    """Time or frequency, manner and place, where verb and tense allow them."""
    if "state" in clause.verb.flags:
        return
    tense = Tense.FUTURE if clause.modal and clause.tense is Tense.PRESENT else clause.tense
    if sampler.chance(0.3) and not clause.negated and not clause.modal:
        clause.frequency = sampler.adverbial("frequency", tense)
    if clause.frequency is None and sampler.chance(0.65):
        clause.time = sampler.adverbial("time", tense)
    if not clause.negated and sampler.chance(0.35):
        clause.manner = sample_manner(sampler, clause.verb)
    if not clause.negated and clause.verb.places and clause.place is None and sampler.chance(0.4):
        clause.place = sampler.position(clause.verb.places)


def sample_manner(sampler: Sampler, verb: Verb) -> Phrase | None:
    entries = sampler.fitting(("manner", verb.english), sampler.lexicon.adverbials, lambda entry: verb.english in entry.verbs)
    return sampler.choice(entries).phrase() if entries else None


def same_person(subject: Nominal) -> Pronoun | None:
    """The pronoun that refers back to a human subject; none for those whose grammatical and natural gender differ."""
    if isinstance(subject, Pronoun):
        return pronoun(subject.english_subject) if subject.english_subject in PERSONAL else None
    if not isinstance(subject, NounPhrase) or "human" not in subject.noun.classes:
        return None
    if subject.plural:
        return pronoun("they")
    name = SEX_PRONOUNS.get(subject.noun.sex)
    return pronoun(name) if name and subject.determiner.english != "every" else None


DEGREES = (("", ""), ("very ", "sehr "), ("too ", "zu "))


def sample_state(sampler: Sampler, subject: Nominal, tense: Tense, classes: Classes, use: str = "predicate") -> Clause:
    """What something of ``classes`` is like: a clause with "be"."""
    fitting = sampler.fitting(
        (use, classes), sampler.lexicon.adjectives, lambda entry: use in entry.uses and not entry.classes.isdisjoint(classes)
    )
    said = [description.adjective for description in subject.descriptions] if isinstance(subject, NounPhrase) else []
    adjective = sampler.choice([entry for entry in fitting if entry not in said])
    degree = sampler.choice(DEGREES if "excess" in adjective.uses else DEGREES[:2])
    num_words = 2 if degree[0] else 1
    links = [(i, i, True) for i in range(num_words)]
    predicate = fixed_phrase(degree[0] + adjective.english, degree[1] + adjective.german, links)
    return Clause(subject, sampler.copula, tense, predicate=predicate)
