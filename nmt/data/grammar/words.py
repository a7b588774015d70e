"""Words that know what they translate: a sentence pair and its gold alignment grow out of the same objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


class Tie:
    """One meaning that both sides express; words that carry the same tie are linked."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Word:
    """A word and its ties. Two words are surely linked by a tie that is sure for both, possibly linked by any other common tie."""

    text: str
    sure: tuple[Tie, ...] = ()
    possible: tuple[Tie, ...] = ()


Words = list[Word]
COMMA = Word(",")
# In the lexicon a word is spelt with a vowel exactly where it is pronounced with one.
VOWELS = "aeiou"


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase whose wording depends on nothing around it, in both languages."""

    english: Words
    german: Words


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence pair: English ``source``, German ``target``, and their gold alignment.

    ``links`` is a Pharaoh line over whitespace-separated words, source first and counted from 0: ``i-j`` is a sure link, ``ipj`` one
    that is possible only.
    """

    source: str
    target: str
    links: str


def example(english: Words, german: Words, mark: str) -> Example:
    """The pair of two finished sentences that end with ``mark``."""
    source, target = _punctuated(english, mark), _punctuated(german, mark)
    for i, word in enumerate(source):
        if word.text in ("a", "A") and source[i + 1].text[0].lower() in VOWELS:
            source[i] = replace(word, text=f"{word.text}n")
    return Example(_text(source), _text(target), _links(source, target))


def word_links(english: str, german: str) -> tuple[tuple[int, int, bool], ...]:
    """Each word with that at its place, or all with all where the numbers of words differ; each is (English, German, sure)."""
    num_english, num_german = len(english.split()), len(german.split())
    if num_english == num_german:
        return tuple((i, i, True) for i in range(num_english))
    return tuple((i, j, True) for i in range(num_english) for j in range(num_german))


def fixed_phrase(english: str, german: str, links: Sequence[tuple[int, int, bool]] | None = None) -> Phrase:
    """A phrase whose ``links``, each (English position, German position, sure), are :func:`word_links` where they are not given."""
    links = word_links(english, german) if links is None else links
    sure: dict[int, list[Tie]] = {}
    possible: dict[int, list[Tie]] = {}
    german_ties: dict[int, list[Tie]] = {}
    for i, j, is_sure in links:
        tie = Tie()
        (sure if is_sure else possible).setdefault(i, []).append(tie)
        german_ties.setdefault(j, []).append(tie)
    return Phrase(
        [Word(text, tuple(sure.get(i, ())), tuple(possible.get(i, ()))) for i, text in enumerate(english.split())],
        [Word(text, tuple(german_ties.get(j, ()))) for j, text in enumerate(german.split())],
    )


def parse_links(line: str) -> list[tuple[int, int, bool]]:
    """(source, target, sure) of each link of a Pharaoh line."""
    links = []
    for item in line.split():
        i, j = item.replace("p", "-").split("-")
        links.append((int(i), int(j), "p" not in item))
    return links


def _punctuated(words: Words, mark: str) -> Words:
    sentence: Words = []
    for word in [*words, Word(mark)]:
        if word is COMMA or word.text == mark:
            bare = sentence[-1].text.rstrip(",")
            sentence[-1] = replace(sentence[-1], text=bare + word.text)
        else:
            sentence.append(word)
    first = sentence[0].text
    sentence[0] = replace(sentence[0], text=first[0].upper() + first[1:])
    return sentence


def _text(sentence: Words) -> str:
    return " ".join(word.text for word in sentence)


def _links(source: Words, target: Words) -> str:
    positions: dict[Tie, list[tuple[int, bool]]] = {}
    for i, word in enumerate(source):
        for tie in word.sure:
            positions.setdefault(tie, []).append((i, True))
        for tie in word.possible:
            positions.setdefault(tie, []).append((i, False))
    links: dict[tuple[int, int], bool] = {}
    for j, word in enumerate(target):
        for tie in word.sure + word.possible:
            for i, sure in positions.get(tie, ()):
                links[i, j] = links.get((i, j), False) or (sure and tie in word.sure)
    return " ".join(f"{i}-{j}" if sure else f"{i}p{j}" for (i, j), sure in sorted(links.items()))
