"""Random clauses: a verb, what its frame asks for, and adjuncts that fit verb and tense."""

from __future__ import annotations

from collections.abc import Callable

from nmt.data.grammar import english
from nmt.data.grammar.clauses import Clause, Modal, Order, Role, Tense
from nmt.data.grammar.german import Person
from nmt.data.grammar.lexicon import Adjective, Classes, Verb
from nmt.data.grammar.phrases import Nominal, NounPhrase, Pronoun, RelativePronoun, exchangeable, pronoun
from nmt.data.grammar.sampling import EVENTS, HUMAN, NOTHING, PERSONAL, NothingFits, Sampler
from nmt.data.grammar.words import COMMA, Phrase, fixed_phrase

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


def eventful(verb: Verb) -> bool:
    return "state" not in verb.flags


def any_adjective(adjective: Adjective) -> bool:
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
    elif verb.frame in ("object", "recipient", "placement", "possession") or (verb.idiom and verb.object):
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
        return other_person(sampler, clause.subject, clause.verb.case)
    if not clause.negated:
        return sampler.noun_phrase(classes)
    if clause.verb.case == "acc" and not clause.verb.prepositions[1] and sampler.chance(0.5):
        phrase = sampler.noun_phrase(classes, definite=False, plain=True)
        if not phrase.definite and not phrase.determiner.english_plural:
            phrase.negation = clause.negation_tie
            return phrase
        if not phrase.definite:
            raise NothingFits
        return phrase
    return sampler.noun_phrase(classes, definite=True)


def sample_recipient(sampler: Sampler, clause: Clause) -> Nominal:
    if sampler.chance(0.3):
        return other_person(sampler, clause.subject, "dat")
    return sampler.noun_phrase(HUMAN, definite=True, plain=True)


def other_person(sampler: Sampler, subject: Nominal, case: str) -> Pronoun:
    """A personal pronoun that is not about the speaker or the hearer again; no "them" in the accusative, which is "sie" like "her"."""
    taken = {"they"} if case == "acc" else set()
    if isinstance(subject, Pronoun):
        taken |= {"I", "we"} if subject.english_object in ("me", "us") else {subject.english_subject}
    return pronoun(sampler.choice([name for name in PERSONAL if name not in taken]))


def add_adjuncts(sampler: Sampler, clause: Clause) -> None:
    """Time or frequency, manner and place, where verb and tense allow them; a time always tells a progressive present in German."""
    if "state" in clause.verb.flags:
        return
    tense = Tense.FUTURE if clause.modal and clause.tense is Tense.PRESENT else clause.tense
    if sampler.chance(0.3) and not clause.negated and not clause.modal:
        clause.frequency = sampler.adverbial("frequency", tense)
    if clause.frequency is None and (tense is Tense.PROGRESSIVE or sampler.chance(0.65)):
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


DEGREES = (("", ""), ("very", "sehr"), ("too", "zu"))


def sample_state(
    sampler: Sampler,
    subject: Nominal,
    tense: Tense,
    classes: Classes,
    use: str = "predicate",
    *,
    fits: Callable[[Adjective], bool] = any_adjective,
) -> Clause:
    """What something of ``classes`` is like: a clause with "be" and an adjective that ``fits``."""
    fitting = sampler.fitting(
        (use, classes), sampler.lexicon.adjectives, lambda entry: use in entry.uses and not entry.classes.isdisjoint(classes)
    )
    said = [description.adjective for description in subject.descriptions] if isinstance(subject, NounPhrase) else []
    taken = {english for adjective in said for english in (adjective.english, *adjective.opposites)}
    adjective = sampler.choice([entry for entry in fitting if entry.english not in taken and fits(entry)])
    english, german = sampler.choice(DEGREES if "excess" in adjective.uses else DEGREES[:2])
    predicate = fixed_phrase(f"{english} {adjective.english}", f"{german} {adjective.german}")
    return Clause(subject, sampler.copula, tense, predicate=predicate)


def attach(phrase: NounPhrase, clause: Clause, front: Role) -> None:
    """Makes ``clause`` the relative clause of ``phrase``; German has commas around it.

    Raises:
        NothingFits: the German would not tell who does what to whom.
    """
    if reversible(clause):
        raise NothingFits
    phrase.modifier = Phrase(clause.english(front), [COMMA, *clause.german(Order.LAST, front), COMMA])


def reversible(clause: Clause) -> bool:
    """Whether subject and object of a German relative clause could be either: "die Frau, die das Mädchen kennt"."""
    subject, other, verb = clause.subject, clause.object, clause.verb
    if other is None or verb.case != "acc" or verb.prepositions[1]:
        return False
    return classes_of(subject) & classes_of(other) >= HUMAN and exchangeable(subject, other)
