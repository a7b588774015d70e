"""Word links of sentence pairs in Pharaoh's notation: how gold alignments are written, read and checked.

A link (s, t) says that source word s and target word t translate each other; both count from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from nmt.errors import DataError

Link = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Links:
    """Gold links of a sentence pair (Och and Ney 2003): ``sure`` ones, and the ``possible`` ones, every sure one among them."""

    sure: frozenset[Link]
    possible: frozenset[Link]

    def sure_only(self) -> Links:
        """The same, with no other link possible."""
        return Links(self.sure, self.sure)


def parse_links(line: str, where: str = "links") -> Links:
    """The links of a line in Pharaoh's notation: ``i-j`` is sure, ``ipj`` possible only; source first, from 0.

    Raises:
        DataError: a word of the line is neither; names ``where`` (a file and line).
    """
    sure, possible = set(), set()
    for word in line.split():
        match = re.fullmatch(r"([0-9]+)([-p])([0-9]+)", word)
        if not match:
            raise DataError(f"{where}: a link must be written i-j (sure) or ipj (possible), counting from 0, but is {word!r}")
        link = int(match[1]), int(match[3])
        possible.add(link)
        if match[2] == "-":
            sure.add(link)
    return Links(frozenset(sure), frozenset(possible))


def format_links(links: Iterable[Link]) -> str:
    """Sure links in Pharaoh's notation, by source word, then by target word."""
    return " ".join(f"{s}-{t}" for s, t in sorted(links))


def check_links(links: Links, num_source_words: int, num_target_words: int, where: str) -> None:
    """Refuse links to words that are not there; links that count from 1 are the usual cause.

    Raises:
        DataError: names ``where`` (a file and line), the link and the number of words.
    """
    for s, t in sorted(links.possible):
        for index, count, side in ((s, num_source_words, "source"), (t, num_target_words, "target")):
            if index >= count:
                raise DataError(
                    f"{where}: link {s}-{t} points to {side} word {index}, but the {side} has {count} words (links count from 0)"
                )


def swap_links(line: str) -> str:
    """A line in Pharaoh's notation with source and target exchanged: ``0-2 1p3`` is ``2-0 3p1``."""
    return " ".join(re.sub(r"^(\d+)([-p])(\d+)$", r"\3\2\1", word) for word in line.split())


def shift_links(line: str, words: int) -> str:
    """A line in Pharaoh's notation for a source with so many more words before it."""
    return re.sub(r"(?<!\S)(\d+)(?=[-p])", lambda found: str(int(found[1]) + words), line)
