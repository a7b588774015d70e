"""Source lines that are longer than what a model should read at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from nmt.config import LongLines

SENTENCES = re.compile(r"""[.!?…]+["'”’»)\]]* |[。！？]+[」』”’）]*""")
"""What ends a sentence: ``.``, ``!``, ``?`` or ``…`` before a blank, quotes and brackets between them, or the full stop, exclamation or
question mark of Chinese and Japanese, which have no blanks."""
WORDS = re.compile(" ")
CHARACTERS = re.compile(".")

Count = Callable[[Sequence[str]], list[int]]
"""How many pieces each of some texts has."""


def shorten(line: str, limit: int, how: LongLines, count: Count) -> list[str]:
    """What is translated of a normalised line of more than ``limit`` pieces, in parts that stand one after the other in it.

    ``keep``: the line as it is. ``truncate``: as many of its first words as have ``limit`` pieces. ``split``: all of it, in parts of at
    most ``limit`` pieces, cut between sentences, or where one has more by itself between words. A word that has more by itself is cut
    between characters.
    """
    match how:
        case LongLines.keep:
            return [line]
        case LongLines.truncate:
            return _pack(line, limit, count, [WORDS, CHARACTERS])[:1]
        case LongLines.split:
            return _pack(line, limit, count, [SENTENCES, WORDS, CHARACTERS])


def _pack(text: str, limit: int, count: Count, ends: Sequence[re.Pattern[str]]) -> list[str]:
    """Units of text that these patterns end, put together while they have ``limit`` pieces; longer ones are cut into smaller units."""
    parts: list[str] = []
    room = 0
    units = _cut(text, ends[0])
    for unit, size in zip(units, count(units), strict=True):
        if parts and size <= room:
            parts[-1] += unit
            room -= size
        elif size > limit and len(ends) > 1:
            parts += _pack(unit, limit, count, ends[1:])
            room = limit - sum(count(parts[-1:]))
        else:
            parts.append(unit)
            room = limit - size
    return parts


def _cut(text: str, end: re.Pattern[str]) -> list[str]:
    places = [0, *(match.end() for match in end.finditer(text)), len(text)]
    return [text[begin:end] for begin, end in pairwise(places) if begin < end]
