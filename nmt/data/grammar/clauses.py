"""A clause and its word order in both languages.

German: the finite verb is second (a statement, with any one phrase before it), first (a question, or after a clause that is itself
the first phrase) or last (a subordinate clause); what else belongs to the verb closes the clause. English: subject, verb, objects,
manner, place, time, with the finite auxiliary before the subject in a question. Forms correspond one to one: simple past to preterite,
present perfect to perfect, "will" to "werden", "be done" to "getan werden", simple and progressive present to the present.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from nmt.data.grammar import english, german
from nmt.data.grammar.german import Case, Paradigm, preterite_paradigm
from nmt.data.grammar.lexicon import Verb
from nmt.data.grammar.phrases import Nominal, NounPhrase, Pronoun, prepend_preposition, reflexive
from nmt.data.grammar.words import Phrase, Tie, Word, Words


class Order(Enum):
    """The place of the German finite verb."""

    FIRST = "first"
    SECOND = "second"
    LAST = "last"


class Role(Enum):
    SUBJECT = "subject"
    REFLEXIVE = "reflexive"
    OBJECT = "object"
    RECIPIENT = "recipient"
    TIME = "time"
    FREQUENCY = "frequency"
    MANNER = "manner"
    NEGATION = "negation"
    PLACE = "place"
    PARTICLE = "particle"
    GOAL = "goal"
    PREDICATE = "predicate"


class Tense(Enum):
    PRESENT = "present"
    PROGRESSIVE = "progressive"
    PAST = "past"
    PERFECT = "perfect"
    FUTURE = "future"
    UNREAL = "unreal"
    """What is only imagined: the present subjunctive, which the corpus has of "be" alone."""


@dataclass(frozen=True, slots=True)
class Modal:
    """A modal verb, or another that an infinitive completes, in one tense.

    ``particle``: the English one is an ordinary verb with "to", which no question of the corpus has. ``negatable``: both languages
    negate the same of it ("must not" is no "muss nicht"). ``volition``: its subject is a person who acts, so it has no passive.
    """

    english: Paradigm
    german: Paradigm
    tense: Tense
    particle: bool = False
    negatable: bool = False
    volition: bool = False


MODALS: tuple[Modal, ...] = (
    Modal(("can",) * 4, german.PRESENT["können"], Tense.PRESENT, negatable=True),
    Modal(("must",) * 4, german.PRESENT["müssen"], Tense.PRESENT),
    Modal(("should",) * 4, preterite_paradigm("sollte"), Tense.PRESENT, negatable=True),
    Modal(("want", "want", "wants", "want"), german.PRESENT["wollen"], Tense.PRESENT, particle=True, volition=True),
    Modal(("could",) * 4, preterite_paradigm("konnte"), Tense.PAST, negatable=True),
    Modal(("had",) * 4, preterite_paradigm("musste"), Tense.PAST, particle=True),
    Modal(("wanted",) * 4, preterite_paradigm("wollte"), Tense.PAST, particle=True, volition=True),
)
HABEN, SEIN, WERDEN = (german.PRESENT[verb] for verb in ("haben", "sein", "werden"))
WURDE, WÄRE = preterite_paradigm("wurde"), preterite_paradigm("wäre")
WOULD = Modal(("would",) * 4, preterite_paradigm("würde"), Tense.PRESENT)
"""For what would happen if something else were the case."""
LET = Modal(("let",) * 4, ("lass",) * 4, Tense.PRESENT)
"""For what is proposed: its subject is "us", which follows it in both languages."""
CASES = {"acc": Case.ACCUSATIVE, "dat": Case.DATIVE}


@dataclass(slots=True)
class Clause:
    """One predication, with everything that is said of it.

    ``passive`` makes ``subject`` what the verb is done to. ``negated`` negates with "nicht", unless the object is a noun phrase whose
    own ``negation`` is ``negation_tie``. ``place``, ``goal``, ``predicate`` and the adverbials are worded already.
    """

    subject: Nominal
    verb: Verb
    tense: Tense
    object: Nominal | None = None
    recipient: Nominal | None = None
    modal: Modal | None = None
    passive: bool = False
    negated: bool = False
    time: Phrase | None = None
    frequency: Phrase | None = None
    manner: Phrase | None = None
    place: Phrase | None = None
    goal: Phrase | None = None
    predicate: Phrase | None = None
    verb_tie: Tie = field(default_factory=Tie)
    auxiliary_tie: Tie = field(default_factory=Tie)
    passive_tie: Tie = field(default_factory=Tie)
    particle_tie: Tie = field(default_factory=Tie)
    preposition_tie: Tie = field(default_factory=Tie)
    negation_tie: Tie = field(default_factory=Tie)

    def english(self, front: Role = Role.SUBJECT, *, inverted: bool = False) -> Words:
        """The clause with the phrase of role ``front`` first; ``inverted`` puts the finite auxiliary before the subject."""
        finite, rest = english_verbs(self, support=inverted or self.negated)
        negation = [Word("not", (self.negation_tie,))] if self.negated else []
        if self.negated and finite.text == "can":
            finite, negation = Word("cannot", (*finite.sure, self.negation_tie)), []
        fields = english_fields(self, stranded=front is Role.OBJECT)
        lead = [] if front is Role.SUBJECT else fields.pop(front)
        subject = self.subject.english(subject=True)
        middle = negation + (self.frequency.english if self.frequency else [])
        after = joined(fields)
        if inverted:
            return [*lead, finite, *subject, *middle, *rest, *after]
        if rest or self.verb.frame == "copula":
            return [*lead, *subject, finite, *middle, *rest, *after]
        return [*lead, *subject, *middle, finite, *after]

    def german(self, order: Order, front: Role = Role.SUBJECT) -> Words:
        """The clause with its finite verb where ``order`` says; ``front`` is the phrase before it, or before all else if it is last."""
        finite, closing = german_verbs(self, final=order is Order.LAST)
        fields = german_fields(self, leading=order is not Order.FIRST and front is Role.SUBJECT)
        if order is Order.FIRST:
            return [finite, *joined(fields), *closing]
        lead = fields.pop(front)
        rest = joined(fields)
        if order is Order.SECOND:
            return [*lead, finite, *rest, *closing]
        return [*lead, *rest, *closing, finite]

    def english_infinitive(self, to: Tie) -> Words:
        """The clause without subject after "to"."""
        base, _ = english.split_particle(self.verb)
        words = [Word("to", (to,)), Word(base, (self.verb_tie,))]
        return words + joined(english_fields(self, stranded=False))

    def german_infinitive(self, to: Tie) -> Words:
        """The clause without subject, its infinitive with "zu", which stands inside a separable verb."""
        fields = german_fields(self, leading=True)
        del fields[Role.SUBJECT]
        words = joined(fields)
        if self.verb.prefix:
            verb = _german_verb(self, f"{self.verb.prefix}zu{self.verb.german}", whole=True)
            return [*words, replace(verb, possible=(*verb.possible, to))]
        return [*words, Word("zu", (to,)), _german_verb(self, self.verb.german)]


def joined(fields: dict[Role, Words]) -> Words:
    return [word for words in fields.values() for word in words]


def english_verbs(clause: Clause, *, support: bool) -> tuple[Word, Words]:
    """The finite verb and what follows it of the verb group; ``support`` asks for "do" where there is no auxiliary."""
    person, tense, verb = clause.subject.person, clause.tense, clause.verb
    main, auxiliary, passive = (clause.verb_tie,), (clause.auxiliary_tie,), (clause.passive_tie,)
    base = Word(english.split_particle(verb)[0], main)
    done = Word(english.participle(verb), main)
    infinitive = [Word("be", passive), done] if clause.passive else [base]
    if clause.modal:
        particle = [Word("to", (), passive if clause.passive else main)] if clause.modal.particle else []
        return Word(clause.modal.english[person], auxiliary), particle + infinitive
    if tense is Tense.FUTURE:
        return Word("will", auxiliary), infinitive
    if tense is Tense.PERFECT:
        return Word(english.HAVE[person], auxiliary), [Word("been", passive), done] if clause.passive else [done]
    if clause.passive:
        be = english.BE_PAST if tense is Tense.PAST else english.BE_PRESENT
        return Word(be[person], passive), [done]
    if tense is Tense.PROGRESSIVE:
        return Word(english.BE_PRESENT[person], (), main), [Word(english.gerund(verb), main)]
    if support and verb.frame != "copula":
        do = "did" if tense is Tense.PAST else english.DO[person]
        return Word(do, (), main), [base]
    return Word(_english_finite_forms(clause)[person], main), []


def _english_finite_forms(clause: Clause) -> Paradigm:
    if clause.tense is Tense.UNREAL:
        return english.UNREAL
    return english.past(clause.verb) if clause.tense is Tense.PAST else english.present(clause.verb)


def german_verbs(clause: Clause, *, final: bool) -> tuple[Word, Words]:
    """The finite verb and what closes the clause; a separable verb is one word where it is ``final``."""
    person, tense, verb = clause.subject.person, clause.tense, clause.verb
    auxiliary, passive = (clause.auxiliary_tie,), (clause.passive_tie,)
    done = _german_verb(clause, german.participle(verb), whole=True)
    infinitive = _german_verb(clause, german.infinitive(verb), whole=True)
    closing = [done, Word("werden", passive)] if clause.passive else [infinitive]
    if clause.modal:
        return Word(clause.modal.german[person], auxiliary), closing
    if tense is Tense.FUTURE:
        return Word(WERDEN[person], auxiliary), closing
    if tense is Tense.PERFECT:
        have = SEIN if clause.passive or verb.auxiliary == "sein" else HABEN
        return Word(have[person], auxiliary), [done, Word("worden", passive)] if clause.passive else [done]
    if clause.passive:
        become = WURDE if tense is Tense.PAST else WERDEN
        return Word(become[person], passive), [done]
    form = _german_finite_forms(clause)[person]
    if final:
        return _german_verb(clause, verb.prefix + form, whole=True), []
    return _german_verb(clause, form), [_german_verb(clause, verb.prefix, whole=True)] if verb.prefix else []


def _german_finite_forms(clause: Clause) -> Paradigm:
    if clause.tense is Tense.UNREAL:
        return WÄRE
    return german.preterite(clause.verb) if clause.tense is Tense.PAST else german.present(clause.verb)


def _german_verb(clause: Clause, text: str, *, whole: bool = False) -> Word:
    """A form of the verb, ``whole`` if its prefix is in it; in most idioms it does not translate the English verb by itself."""
    ties = (clause.verb_tie, clause.particle_tie) if whole and clause.verb.prefix else (clause.verb_tie,)
    return Word(text, (), ties) if clause.verb.idiom and "literal" not in clause.verb.flags else Word(text, ties)


def english_fields(clause: Clause, *, stranded: bool) -> dict[Role, Words]:
    """What follows the verb group, in order; ``stranded`` leaves a preposition that German lacks behind its fronted object."""
    fields: dict[Role, Words] = {}
    particle = _english_particle(clause)
    preposition = _english_preposition(clause)
    if clause.recipient:
        fields[Role.RECIPIENT] = clause.recipient.english(subject=False)
    if clause.object:
        words = clause.object.english(subject=False)
        if stranded:
            left, lead = (preposition, words) if not clause.verb.prepositions[1] else ([], preposition + words)
            fields[Role.OBJECT] = lead
            fields[Role.PARTICLE] = particle + left
        elif clause.recipient and (preposition or clause.object.is_pronoun):
            to = Word("to", (), (clause.verb_tie,))
            fields = {Role.OBJECT: words, Role.RECIPIENT: [to, *fields[Role.RECIPIENT]]}
        elif clause.verb.idiom or (isinstance(clause.object, Pronoun) and not preposition):
            fields[Role.OBJECT] = words + particle
        else:
            fields[Role.OBJECT] = particle + preposition + words
    else:
        fields[Role.OBJECT] = particle
    phrases = {
        Role.PREDICATE: clause.predicate,
        Role.GOAL: clause.goal,
        Role.MANNER: clause.manner,
        Role.PLACE: clause.place,
        Role.TIME: clause.time,
    }
    fields.update({role: phrase.english for role, phrase in phrases.items() if phrase})
    return fields


def _english_particle(clause: Clause) -> Words:
    _, particle = english.split_particle(clause.verb)
    sure = (clause.particle_tie,) if clause.verb.prefix and not clause.verb.idiom else ()
    return [Word(text, sure, (clause.verb_tie,)) for text in particle.split()]


def _english_preposition(clause: Clause) -> Words:
    in_english, in_german = clause.verb.prepositions
    if not in_english:
        return []
    return [Word(in_english, (clause.preposition_tie,)) if in_german else Word(in_english, (), (clause.verb_tie,))]


def german_fields(clause: Clause, *, leading: bool) -> dict[Role, Words]:
    """Subject and middle field in their neutral order; ``leading`` says that the subject stands before all of it.

    Pronouns, recipient, time, definite object, frequency, indefinite object, negation, manner, place, and last what is closest to the
    verb: the object with a preposition, the destination, the predicate or the rest of an idiom. Beside a recipient a definite object
    follows the frequency.
    """
    words, place = _german_object(clause)
    if place == "definite" and clause.recipient:
        place = "indefinite"
    fields = _german_opening(clause, words if place == "pronoun" else [], leading=leading)
    if clause.recipient and not clause.recipient.is_pronoun:
        fields[Role.RECIPIENT] = clause.recipient.german(Case.DATIVE)
    if clause.time:
        fields[Role.TIME] = clause.time.german
    if place == "definite":
        fields[Role.OBJECT] = words
    if clause.frequency:
        fields[Role.FREQUENCY] = clause.frequency.german
    if place == "indefinite":
        fields[Role.OBJECT] = words
    if clause.negated and not (isinstance(clause.object, NounPhrase) and clause.object.negation):
        fields[Role.NEGATION] = [Word("nicht", (clause.negation_tie,))]
    phrases = {Role.MANNER: clause.manner, Role.PLACE: clause.place}
    fields.update({role: phrase.german for role, phrase in phrases.items() if phrase})
    if place == "preposition":
        fields[Role.OBJECT] = words
    phrases = {Role.GOAL: clause.goal, Role.PREDICATE: clause.predicate}
    fields.update({role: phrase.german for role, phrase in phrases.items() if phrase})
    if clause.verb.idiom:
        fields[Role.PREDICATE] = [Word(text, (), (clause.verb_tie,)) for text in clause.verb.idiom.split()]
    return fields


def _german_opening(clause: Clause, object_pronoun: Words, *, leading: bool) -> dict[Role, Words]:
    """Subject and pronouns. A noun subject follows the reflexive and the pronouns that cannot be taken for a subject."""
    subject = {Role.SUBJECT: clause.subject.german(Case.NOMINATIVE)}
    pronouns: dict[Role, Words] = {}
    if "reflexive" in clause.verb.flags:
        pronouns[Role.REFLEXIVE] = [Word(reflexive(clause.subject), (), (clause.verb_tie,))]
    if object_pronoun:
        pronouns[Role.OBJECT] = object_pronoun
    if clause.recipient and clause.recipient.is_pronoun:
        pronouns[Role.RECIPIENT] = clause.recipient.german(Case.DATIVE)
    ambiguous = any(word.text in ("sie", "es") for word in object_pronoun)
    first = leading or clause.subject.is_pronoun or ambiguous
    return subject | pronouns if first else pronouns | subject


def _german_object(clause: Clause) -> tuple[Words, str]:
    """The object and where it belongs in the middle field."""
    if clause.object is None:
        return [], ""
    verb = clause.verb
    case = Case.ACCUSATIVE if verb.frame in ("recipient", "placement") else CASES[verb.case]
    if verb.frame != "recipient" and verb.prepositions[1]:
        in_english = bool(verb.prepositions[0])
        ties = ((clause.preposition_tie,), ()) if in_english else ((), (clause.verb_tie,))
        return prepend_preposition(Word(verb.prepositions[1], *ties), clause.object, case), "preposition"
    words = clause.object.german(case)
    if clause.object.is_pronoun:
        return words, "pronoun"
    return words, "definite" if clause.object.definite else "indefinite"
