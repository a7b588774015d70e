"""Sentences of the built-in grammar with their gold links, all typed by hand: one or more of each richer construction."""

import pytest
from grammar_parts import adjective, adverbial, being, clause, named, noun, predicate, text, the

from nmt.data.grammar.clause_sampling import attach
from nmt.data.grammar.clauses import LET, MODALS, WOULD, Role, Tense
from nmt.data.grammar.comparisons import comparative, foremost, of_all
from nmt.data.grammar.german import Case
from nmt.data.grammar.phrases import (
    CORRELATIVES,
    POSSESSIVES,
    THE,
    Description,
    NounPhrase,
    Pair,
    RelativePronoun,
    prepositional_phrase,
    pronoun,
    pronoun_for,
)
from nmt.data.grammar.sampling import NothingFits
from nmt.data.grammar.sentences import declarative, fronted, preposed, proportion_of, subordination, verb_first
from nmt.data.grammar.words import fixed_phrase

THAT, WHETHER, BECAUSE, IF = (
    lambda english=english, german=german: fixed_phrase(english, german)
    for english, german in (("that", "dass"), ("whether", "ob"), ("because", "weil"), ("if", "wenn"))
)


def owned(owner, name):
    return NounPhrase(noun(name), POSSESSIVES[owner])


def by(phrase):
    return prepositional_phrase(("by", "von"), phrase, Case.DATIVE)


def passive(name, verb, tense, **parts):
    return declarative(clause(the(name), verb, tense, passive=True, **parts))


def oldest_book():
    phrase = NounPhrase(noun("book"), THE, descriptions=(Description(adjective("old"), "oldest"),))
    parts = {"object": RelativePronoun(phrase), "frequency": fixed_phrase("ever", "je")}
    attach(phrase, clause(named("Peter"), "read", Tense.PERFECT, **parts), Role.OBJECT)
    return declarative(clause(pronoun("this"), "be", Tense.PRESENT, "copula", predicate=predicate(phrase, Case.NOMINATIVE)))


def famous_aunt():
    parts = {"place": of_all(noun("opera singer")), "predicate": foremost(adjective("famous"))}
    return fronted(clause(owned("my", "aunt"), "be", Tense.PRESENT, "copula", **parts), Role.PLACE)


def old_cup():
    cup = the("coffee cup")
    older, cheaper = comparative(adjective("old"), ("the", "je")), comparative(adjective("cheap"), ("the", "desto"))
    return proportion_of(
        clause(cup, "be", Tense.PRESENT, "copula", predicate=older),
        clause(pronoun_for(cup), "be", Tense.PRESENT, "copula", predicate=cheaper),
    )


def expensive_car():
    car = the("car")
    condition = being(car, "so expensive", "so teuer", Tense.UNREAL, negated=True)
    return preposed((IF(), condition), clause(pronoun("she"), "buy", Tense.PRESENT, modal=WOULD, object=pronoun_for(car)))


def newer_bicycle():
    bicycle = the("bicycle")
    newer = clause(pronoun_for(bicycle), "be", Tense.UNREAL, "copula", predicate=comparative(adjective("new")))
    return subordination(clause(pronoun("I"), "sell", Tense.PRESENT, modal=WOULD, object=bicycle), (IF(), newer))


def sleeping_boy():
    says = clause(the("doctor"), "say", Tense.PRESENT, "that")
    sleeps = clause(the("boy"), "sleep", Tense.PRESENT, "intransitive")
    return subordination(says, (THAT(), sleeps), (BECAUSE(), being(pronoun("he"), "tired", "müde")))


def knowing_uncle():
    asks = clause(pronoun("she"), "ask", Tense.PAST, "whether")
    knows = clause(the("uncle"), "know", Tense.PAST, "that")
    returns = clause(
        named("Anna"), "return", Tense.PAST, "goal", goal=prepositional_phrase(("to", "nach"), named("Rome"), Case.DATIVE)
    )
    return subordination(asks, (WHETHER(), knows), (THAT(), returns))


def singing_anna():
    know = clause(pronoun("I"), "know", Tense.PRESENT, "that")
    sings = clause(named("Anna"), "sing", Tense.PRESENT, object=the("song"))
    arrives = clause(named("Peter"), "arrive", Tense.PERFECT, "intransitive")
    return subordination(know, (THAT(), sings), (fixed_phrase("and that", "und dass"), arrives))


def man_in_berlin():
    man = the("man")
    place = prepositional_phrase(("in", "in"), named("Berlin"), Case.DATIVE)
    attach(man, clause(RelativePronoun(man), "live", Tense.PRESENT, "intransitive", place=place), Role.SUBJECT)
    sold = clause(man, "sell", Tense.PERFECT, object=the("house"))
    return subordination(clause(named("Peter"), "believe", Tense.PRESENT, "that"), (THAT(), sold))


SENTENCES = {
    "passive": (
        lambda: passive("door", "open", Tense.FUTURE, place=by(the("guest"))),
        "The door will be opened by the guest.",
        "Die Tür wird vom Gast geöffnet werden.",
        "0-0 1-1 2-2 3-6 4-5 5-3 6p3 7-4",
    ),
    "perfect_passive": (
        lambda: passive("letter", "write", Tense.PERFECT, frequency=adverbial("already"), place=by(the("queen"))),
        "The letter has already been written by the queen.",
        "Der Brief ist schon von der Königin geschrieben worden.",
        "0-0 1-1 2-2 3-3 4-8 5-7 6-4 7-5 8-6",
    ),
    "modal_passive": (
        lambda: passive("suitcase", "carry", Tense.PRESENT, modal=MODALS[1], time=adverbial("tomorrow")),
        "The suitcase must be carried tomorrow.",
        "Der Koffer muss morgen getragen werden.",
        "0-0 1-1 2-2 3-5 4-4 5-3",
    ),
    "modal_passive with a particle": (
        lambda: passive("radio", "turn on", Tense.PAST, modal=MODALS[5], time=adverbial("yesterday")),
        "The radio had to be turned on yesterday.",
        "Das Radio musste gestern eingeschaltet werden.",
        "0-0 1-1 2-2 3p5 4-5 5-4 6-4 7-3",
    ),
    "compound_noun": (
        lambda: declarative(clause(the("opera singer"), "break", object=the("coffee cup"))),
        "The opera singer broke the coffee cup.",
        "Die Opernsängerin zerbrach die Kaffeetasse.",
        "0-0 1-1 2-1 3-2 4-3 5-4 6-4",
    ),
    "phrasal verb": (
        lambda: declarative(clause(the("girl"), "look", preposition="after", object=the("dog"))),
        "The girl looked after the dog.",
        "Das Mädchen kümmerte sich um den Hund.",
        "0-0 1-1 2-2 2p3 3-4 4-5 5-6",
    ),
    "several words for one": (
        lambda: fronted(
            clause(pronoun("he"), "cut down", object=the("tree"), time=adverbial("the day before yesterday")), Role.TIME
        ),
        "The day before yesterday, he cut down the tree.",
        "Vorgestern fällte er den Baum.",
        "0-0 1-0 2-0 3-0 4-2 5-1 6p1 7-3 8-4",
    ),
    "idiom": (
        lambda: declarative(clause(pronoun("he"), "turn a blind eye", Tense.FUTURE, "idiom")),
        "He will turn a blind eye.",
        "Er wird ein Auge zudrücken.",
        "0-0 1-1 2p2 2p3 2p4 3p2 3p3 3p4 4p2 4p3 4p4 5p2 5p3 5p4",
    ),
    "idiom whose verb is literal": (
        lambda: declarative(clause(named("Anna"), "leave in the lurch", Tense.PAST, "idiom", object=the("guest"))),
        "Anna left the guest in the lurch.",
        "Anna ließ den Gast im Stich.",
        "0-0 1-1 1p4 1p5 2-2 3-3 4p1 4p4 4p5 5p1 5p4 5p5 6p1 6p4 6p5",
    ),
    "proposal": (
        lambda: verb_first(
            clause(pronoun("us"), "visit", Tense.PRESENT, modal=LET, object=owned("our", "aunt"), time=adverbial("tomorrow")), "."
        ),
        "Let us visit our aunt tomorrow.",
        "Lass uns morgen unsere Tante besuchen.",
        "0-0 1-1 2-5 3-3 4-4 5-2",
    ),
    "paired_subjects": (
        lambda: declarative(
            clause(Pair(CORRELATIVES[0], owned("my", "brother"), the("doctor")), "sleep", Tense.PAST, "intransitive")
        ),
        "Both my brother and the doctor slept.",
        "Sowohl mein Bruder als auch der Arzt schliefen.",
        "0-0 1-1 2-2 3-3 3-4 4-5 5-6 6-7",
    ),
    "paired_subjects in the singular": (
        lambda: declarative(clause(Pair(CORRELATIVES[1], named("Anna"), the("nurse")), "sleep", Tense.PRESENT, "intransitive")),
        "Neither Anna nor the nurse sleeps.",
        "Weder Anna noch die Krankenschwester schläft.",
        "0-0 1-1 2-2 3-3 4-4 5-5",
    ),
    "superlative": (
        oldest_book,
        "This is the oldest book that Peter has ever read.",
        "Das ist das älteste Buch, das Peter je gelesen hat.",
        "0-0 1-1 2-2 3-3 4-4 5-5 6-6 7-9 8-7 9-8",
    ),
    "group_superlative": (
        famous_aunt,
        "Of all the opera singers, my aunt is the most famous.",
        "Von allen Opernsängerinnen ist meine Tante am berühmtesten.",
        "0-0 1-1 2p1 3-2 4-2 5-4 6-5 7-3 8-6 9-7 10-7",
    ),
    "proportion": (
        old_cup,
        "The older the coffee cup is, the cheaper it is.",
        "Je älter die Kaffeetasse ist, desto billiger ist sie.",
        "0-0 1-1 2-2 3-3 4-3 5-4 6-5 7-6 8-8 9-7",
    ),
    "unreal_condition": (
        expensive_car,
        "If the car were not so expensive, she would buy it.",
        "Wenn das Auto nicht so teuer wäre, würde sie es kaufen.",
        "0-0 1-1 2-2 3-6 4-3 5-4 6-5 7-8 8-7 9-10 10-9",
    ),
    "unreal_condition after its consequence": (
        newer_bicycle,
        "I would sell the bicycle if it were newer.",
        "Ich würde das Fahrrad verkaufen, wenn es neuer wäre.",
        "0-0 1-1 2-4 3-2 4-3 5-5 6-6 7-8 8-7",
    ),
    "nested_clauses with a reason": (
        sleeping_boy,
        "The doctor says that the boy sleeps because he is tired.",
        "Der Arzt sagt, dass der Junge schläft, weil er müde ist.",
        "0-0 1-1 2-2 3-3 4-4 5-5 6-6 7-7 8-8 9-10 10-9",
    ),
    "nested_clauses": (
        knowing_uncle,
        "She asked whether the uncle knew that Anna returned to Rome.",
        "Sie fragte, ob der Onkel wusste, dass Anna nach Rom zurückkehrte.",
        "0-0 1-1 2-2 3-3 4-4 5-5 6-6 7-7 8-10 9-8 10-9",
    ),
    "coordinated_clauses": (
        singing_anna,
        "I know that Anna sings the song and that Peter has arrived.",
        "Ich weiß, dass Anna das Lied singt und dass Peter angekommen ist.",
        "0-0 1-1 2-2 3-3 4-6 5-4 6-5 7-7 8-8 9-9 10-11 11-10",
    ),
    "embedded_relative": (
        man_in_berlin,
        "Peter believes that the man who lives in Berlin has sold the house.",
        "Peter glaubt, dass der Mann, der in Berlin wohnt, das Haus verkauft hat.",
        "0-0 1-1 2-2 3-3 4-4 5-5 6-8 7-6 8-7 9-12 10-11 11-9 12-10",
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_sentence_and_links(name):
    make, source, target, links = SENTENCES[name]
    example = make()
    assert (example.source, example.target) == (source, target)
    assert example.links == links


@pytest.mark.parametrize(
    ("head", "other", "told"), [("woman", "girl", False), ("woman", "man", True), ("man", "girl", True), ("queen", "Anna", False)]
)
def test_a_relative_clause_tells_who_does_what(head, other, told):
    """Die Frau, die das Mädchen traf: whether she met the girl or the girl met her, the German is the same."""
    for front in (Role.SUBJECT, Role.OBJECT):
        phrase = the(head)
        roles = [RelativePronoun(phrase), named(other) if "name" in noun(other).classes else the(other)]
        subject, taken = roles if front is Role.SUBJECT else roles[::-1]
        if told:
            attach(phrase, clause(subject, "meet", object=taken), front)
            assert phrase.modifier
        else:
            with pytest.raises(NothingFits):
                attach(phrase, clause(subject, "meet", object=taken), front)


@pytest.mark.parametrize(
    ("english", "in_english", "in_german"),
    [
        ("exciting", "the most exciting", "am spannendsten"),
        ("big", "the biggest", "am größten"),
        ("quiet", "the quietest", "am ruhigsten"),
        ("dangerous", "the most dangerous", "am gefährlichsten"),
        ("polite", "the politest", "am höflichsten"),
        ("interesting", "the most interesting", "am interessantesten"),
    ],
)
def test_superlatives(english, in_english, in_german):
    phrase = foremost(adjective(english))
    assert (text(phrase.english), text(phrase.german)) == (in_english, in_german)
