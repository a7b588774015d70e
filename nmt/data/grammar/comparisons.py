"""Sentences that compare. Each construction draws one sentence pair, as its first line shows."""

from __future__ import annotations

from nmt.data.grammar import english
from nmt.data.grammar.clause_sampling import attach, same_person, sample_clause
from nmt.data.grammar.clauses import WOULD, Clause, Role, Tense
from nmt.data.grammar.complex_sentences import can_judge
from nmt.data.grammar.german import Case, decline_noun
from nmt.data.grammar.lexicon import Adjective, Classes, Noun
from nmt.data.grammar.phrases import THE, Description, NounPhrase, RelativePronoun, pronoun, pronoun_for
from nmt.data.grammar.sampling import NothingFits, Sampler
from nmt.data.grammar.sentences import declarative, fronted, preposed, proportion_of, subordination
from nmt.data.grammar.simple_sentences import PERSON, SIMPLE
from nmt.data.grammar.words import Example, Phrase, fixed_phrase


def gradable(sampler: Sampler, classes: Classes | None = None) -> tuple[Adjective, ...]:
    """The adjectives that can be compared, of all things or of those of ``classes``."""
    adjectives = sampler.fitting(
        "gradable", sampler.lexicon.adjectives, lambda entry: bool(entry.comparative) and "predicate" in entry.uses
    )
    return tuple(entry for entry in adjectives if classes is None or not classes.isdisjoint(entry.classes))


def comparative(adjective: Adjective, before: tuple[str, str] = ("", ""), after: tuple[str, str] = ("", "")) -> Phrase:
    """The comparative (more expensive: teurer) between other words that each translate one."""
    pairs = (before, (adjective.comparative, adjective.german_comparative), after)
    parts = [fixed_phrase(*pair) for pair in pairs]
    return Phrase([word for part in parts for word in part.english], [word for part in parts for word in part.german])


def comparison(sampler: Sampler) -> Example:
    """My car is faster than this bus; the lake is as quiet as the forest."""
    adjective = sampler.choice(gradable(sampler))
    noun = sampler.noun(adjective.classes)
    first, second = (sampler.single(entry) for entry in (noun, sampler.noun(noun.classes & adjective.classes)))
    for phrase in (first, second):
        phrase.modifier = sampler.modifier(phrase)
    if sampler.chance(0.7):
        measure = comparative(adjective, after=("than", "als"))
    else:
        measure = fixed_phrase(f"as {adjective.english} as", f"so {adjective.german} wie")
    predicate = Phrase([*measure.english, *second.english()], [*measure.german, *second.german(Case.NOMINATIVE)])
    return declarative(Clause(first, sampler.copula, sampler.choice(SIMPLE), predicate=predicate))


def superlative(sampler: Sampler) -> Example:
    """This is the oldest book that I have ever read."""
    adjective = sampler.choice([entry for entry in gradable(sampler) if "attribute" in entry.uses and "state" not in entry.uses])
    noun = sampler.noun(adjective.classes)
    phrase = NounPhrase(noun, THE, descriptions=(Description(adjective, english.superlative(adjective)),))
    experience = sample_clause(
        sampler,
        Tense.PERFECT,
        frames=("object",),
        adjuncts=False,
        fits=lambda verb: "ever" in verb.flags and not noun.classes.isdisjoint(verb.object),
    )
    experience.object = RelativePronoun(phrase)
    experience.frequency = fixed_phrase("ever", "je")
    attach(phrase, experience, Role.OBJECT)
    predicate = Phrase(phrase.english(), phrase.german(Case.NOMINATIVE))
    return declarative(Clause(pronoun("this"), sampler.copula, Tense.PRESENT, predicate=predicate))


def group_superlative(sampler: Sampler) -> Example:
    """Of all the singers, my aunt is the most famous: German says "am" with the superlative."""
    adjective = sampler.choice([entry for entry in gradable(sampler, PERSON) if "state" not in entry.uses])
    group = sampler.noun(PERSON & adjective.classes)
    one = sampler.choice(
        [noun for noun in sampler.lexicon.nouns if noun.sex == group.gender and not noun.classes.isdisjoint({"name", "kin"})]
    )
    tense = sampler.choice(SIMPLE)
    return fronted(
        Clause(sampler.single(one), sampler.copula, tense, place=of_all(group), predicate=foremost(adjective)), Role.PLACE
    )


def of_all(group: Noun) -> Phrase:
    """Of all the singers: von allen Sängerinnen."""
    words = group.english_plural.split()
    links = [(0, 0, True), (1, 1, True), (2, 1, False), *((i + 3, 2, True) for i in range(len(words)))]
    german = decline_noun(group, Case.DATIVE, True)
    return fixed_phrase(" ".join(["of all the", *words]), f"von allen {german}", links)


def foremost(adjective: Adjective) -> Phrase:
    """The most famous: am berühmtesten."""
    words = english.superlative(adjective).split()
    links = [(0, 0, True), *((i + 1, 1, True) for i in range(len(words)))]
    return fixed_phrase(" ".join(["the", *words]), f"am {adjective.german_superlative}en", links)


def proportion(sampler: Sampler) -> Example:
    """The older the house is, the cheaper it is: in German one clause ends with the verb and the other has it second."""
    noun = sampler.noun(frozenset({"thing", "building", "vehicle", "clothing", "person", "animal", "structure", "room"}))
    phrase = sampler.single(noun)
    pronoun_of = same_person(phrase) if "human" in noun.classes else pronoun_for(phrase)
    cause = sampler.choice(gradable(sampler, noun.classes))
    effects = [entry for entry in gradable(sampler, noun.classes) if entry.english not in {cause.english, *cause.opposites}]
    if pronoun_of is None:
        raise NothingFits
    tense = sampler.choice(SIMPLE)
    return proportion_of(
        Clause(phrase, sampler.copula, tense, predicate=comparative(cause, before=("the", "je"))),
        Clause(pronoun_of, sampler.copula, tense, predicate=comparative(sampler.choice(effects), before=("the", "desto"))),
    )


def unreal_condition(sampler: Sampler) -> Example:
    """If the car were cheaper, she would buy it; I would visit the museum if it were not so boring."""
    main = sample_clause(
        sampler, Tense.PRESENT, modal=WOULD, frames=("object",), adjuncts=False, fits=lambda verb: "judged" in verb.flags
    )
    phrase = main.object = sampler.single(sampler.noun(main.verb.object))
    if not can_judge(main):
        raise NothingFits
    adjective = sampler.choice(gradable(sampler, phrase.noun.classes))
    negated = "excess" in adjective.uses and sampler.chance(0.5)
    predicate = fixed_phrase(f"so {adjective.english}", f"so {adjective.german}") if negated else comparative(adjective)
    condition = Clause(pronoun_for(phrase), sampler.copula, Tense.UNREAL, predicate=predicate, negated=negated)
    dependent = fixed_phrase("if", "wenn"), condition
    if sampler.chance(0.5):
        return subordination(main, dependent)
    main.object, condition.subject = condition.subject, phrase
    return preposed(dependent, main)
