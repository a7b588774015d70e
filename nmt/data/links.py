"""Word links of sentence pairs in Pharaoh's notation: how gold alignments are written, read and checked.

A link (s, t) says that source word s and target word t translate each other; both count from 0. Files in the notation of the shared task
of NAACL 2003 (Mihalcea and Pedersen 2003) are turned into it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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


NAACL = re.compile(r"\s*(\d+)\s+(\d+)\s+(\d+)(?:\s+([SP]))?(?:\s+[01]?(?:\.\d+)?)?\s*")
"""A link in NAACL's notation: sentence, source word, target word, all from 1; S(ure), the default, or P(ossible); a probability."""

FEW = 10
"""Links of so many pairs say from which number they count."""

FIRST_WORD = re.compile(r"\b0[-p]|[-p]0\b")
"""In a line of links, one of a first word."""


def read_gold(lines: Sequence[str], num_pairs: int, path: Path) -> list[str]:
    """The lines of a gold file as Pharaoh's, one for each of so many pairs; ``path`` is for messages.

    Raises:
        DataError: there are not as many lines as pairs, a line of NAACL's notation is none or names a pair that is not there, or the
            links of the file count from 1.
    """
    first = next((line for line in lines if line.strip()), "")
    if NAACL.fullmatch(first):
        return _from_naacl(lines, num_pairs, path)
    if len(lines) != num_pairs:
        raise DataError(f"{path} has {len(lines)} lines, but the text it aligns has {num_pairs}")
    linked = [links for number, line in enumerate(lines, start=1) if (links := parse_links(line, f"{path}:{number}").possible)]
    check_counting(len(linked), any(not s or not t for links in linked for s, t in links), path)
    return list(lines)


def check_counting(num_linked: int, with_first_word: bool, path: Path) -> None:
    """Refuse the links of so many pairs, none of which is one of a first word.

    Raises:
        DataError: they are enough to tell.
    """
    if num_linked >= FEW and not with_first_word:
        raise DataError(
            f"{path}: no link has a first word, of {num_linked} pairs; links must count from 0, these seem to count from 1"
        )


def _from_naacl(lines: Sequence[str], num_pairs: int, path: Path) -> list[str]:
    of_pairs: list[list[str]] = [[] for _ in range(num_pairs)]
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if not (match := NAACL.fullmatch(line)):
            raise DataError(
                f"{path}:{number}: a link must be a sentence, a source word and a target word, S or P, but is {line!r}"
            )
        pair, s, t = (int(match[group]) - 1 for group in (1, 2, 3))
        if not 0 <= pair < num_pairs:
            raise DataError(f"{path}:{number}: there is no sentence {pair + 1}; the text has {num_pairs}, and they count from 1")
        if s >= 0 and t >= 0:  # word 0 stands for no word
            of_pairs[pair].append(f"{s}{'p' if match[4] == 'P' else '-'}{t}")
    return [" ".join(links) for links in of_pairs]


def links_of_pieces(
    line: str, source_words: Sequence[int], target_words: Sequence[int], where: str = "links"
) -> Iterator[tuple[int, int]]:
    """Links of a line in Pharaoh's notation between pieces, of which ``*_words`` give the words: target piece, source piece, in order.

    Of each target word its sure links; the possible ones where it has no other.

    Raises:
        DataError: a link points to a word that is not there.
    """
    links = parse_links(line, where)
    check_links(links, source_words[-1] + 1, target_words[-1] + 1, where)
    surely_linked = {t for _, t in links.sure}
    chosen = {(s, t) for s, t in links.possible if (s, t) in links.sure or t not in surely_linked}
    return ((j, i) for j, t in enumerate(target_words) for i, s in enumerate(source_words) if (s, t) in chosen)


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
                    f"{where}: link {s}-{t} points to {side} word {index}, but the {side} has {count} words "
                    "(links count from 0, and words are what a model sees: invisible characters between blanks are none)"
                )


def swap_links(line: str) -> str:
    """A line in Pharaoh's notation with source and target exchanged: ``0-2 1p3`` is ``2-0 3p1``."""
    return " ".join(re.sub(r"^(\d+)([-p])(\d+)$", r"\3\2\1", word) for word in line.split())


def shift_links(line: str, words: int) -> str:
    """A line in Pharaoh's notation for a source with so many more words before it."""
    return re.sub(r"(?<!\S)(\d+)(?=[-p])", lambda found: str(int(found[1]) + words), line)
