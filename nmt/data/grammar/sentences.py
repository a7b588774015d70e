"""Clauses put together to sentence pairs, in the order and with the commas of each language."""

from __future__ import annotations

from nmt.data.grammar.clauses import Clause, Order, Role
from nmt.data.grammar.words import COMMA, Example, Phrase, example

Dependent = tuple[Phrase, Clause]
"""A conjunction and the subordinate clause that follows it."""


def declarative(clause: Clause) -> Example:
    return example(clause.english(), clause.german(Order.SECOND), ".")


def fronted(clause: Clause, front: Role) -> Example:
    """A statement with its time or place first; English has a comma after more than one word."""
    phrase = clause.time if front is Role.TIME else clause.place
    assert phrase is not None
    words, length = clause.english(front), len(phrase.english)
    comma = [COMMA] if length > 1 else []
    return example([*words[:length], *comma, *words[length:]], clause.german(Order.SECOND, front), ".")


def verb_first(clause: Clause, mark: str, opening: Phrase | None = None) -> Example:
    """A question or a proposal: both languages begin with the finite verb, or with a question word."""
    first = opening or Phrase([], [])
    return example([*first.english, *clause.english(inverted=True)], [*first.german, *clause.german(Order.FIRST)], mark)


def subordination(main: Clause, *dependents: Dependent) -> Example:
    """A main clause and what depends on it or on one another; German has a comma before each conjunction but "und"."""
    english, german = main.english(), main.german(Order.SECOND)
    for conjunction, clause in dependents:
        comma = [] if conjunction.german[0].text == "und" else [COMMA]
        english += [*conjunction.english, *clause.english()]
        german += [*comma, *conjunction.german, *clause.german(Order.LAST)]
    return example(english, german, ".")


def preposed(dependent: Dependent, main: Clause) -> Example:
    """The subordinate clause first: the German main clause begins with its verb."""
    conjunction, clause = dependent
    return example(
        [*conjunction.english, *clause.english(), COMMA, *main.english()],
        [*conjunction.german, *clause.german(Order.LAST), COMMA, *main.german(Order.FIRST)],
        ".",
    )


def proportion_of(cause: Clause, effect: Clause) -> Example:
    """Two clauses that begin with their predicates."""
    front = Role.PREDICATE
    return example(
        [*cause.english(front), COMMA, *effect.english(front)],
        [*cause.german(Order.LAST, front), COMMA, *effect.german(Order.SECOND, front)],
        ".",
    )
