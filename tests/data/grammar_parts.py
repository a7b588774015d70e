"""Words and phrases of the built-in grammar by their English names, for tests that type whole sentences by hand."""

from nmt.data.grammar.clauses import Clause, Tense
from nmt.data.grammar.lexicon import load_lexicon
from nmt.data.grammar.phrases import BARE, THE, Description, NounPhrase
from nmt.data.grammar.words import Phrase, fixed_phrase


def noun(english):
    return next(entry for entry in load_lexicon().nouns if entry.english == english)


def verb(english, frame="object", preposition=None):
    return next(
        entry
        for entry in load_lexicon().verbs
        if (entry.english, entry.frame) == (english, frame) and preposition in (None, entry.prepositions[0])
    )


def adjective(english):
    return next(entry for entry in load_lexicon().adjectives if entry.english == english)


def adverbial(english):
    return next(entry.phrase() for entry in load_lexicon().adverbials if entry.english == english)


def described(name, determiner, plural=False, quality="old"):
    return NounPhrase(noun(name), determiner, plural, (Description(adjective(quality)),))


def the(name, plural=False):
    return NounPhrase(noun(name), THE, plural)


def named(name):
    return NounPhrase(noun(name), BARE)


def clause(subject, name, tense=Tense.PAST, frame="object", *, preposition=None, **parts):
    return Clause(subject, verb(name, frame, preposition), tense, **parts)


def being(subject, english, german, tense=Tense.PRESENT, **parts):
    """A clause with "be" whose predicate is word by word the same in both languages."""
    return clause(subject, "be", tense, "copula", predicate=fixed_phrase(english, german), **parts)


def predicate(phrase, case):
    return Phrase(phrase.english(), phrase.german(case))


def text(words):
    return " ".join(word.text for word in words)
