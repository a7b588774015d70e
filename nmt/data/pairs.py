"""Sentence pairs, in memory or to be gone through a block at a time, and what can be made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from nmt.data.links import swap_links

BLOCK_PAIRS = 8192
"""Pairs that are worked on at a time: many enough for what is done once a block, and a megabyte or two of text."""


@dataclass(slots=True)
class ParallelText:
    """Sentence pairs.

    Attributes:
        sources: a line a pair.
        targets: as many lines.
        links: the pairs' alignments, a Pharaoh line a pair, where they are known: gold ones, but in training text.
        tag: a piece of the vocabulary that stands before every source when a model reads it; it is no part of the text.
        skipped: what was met beside the pairs and is none, by reason.
        repaired: lines that reading mended, by what was wrong.
    """

    sources: list[str]
    targets: list[str]
    links: list[str] | None = None
    tag: str | None = None
    skipped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.sources)

    def blocks(self) -> Iterator[ParallelText]:
        for begin in range(0, max(len(self), 1), BLOCK_PAIRS):
            rows = slice(begin, begin + BLOCK_PAIRS)
            counts = () if begin else (self.skipped, self.repaired)
            yield ParallelText(self.sources[rows], self.targets[rows], self.links and self.links[rows], self.tag, *counts)


class Pairs(Protocol):
    """Sentence pairs that can be gone through again and again, a block at a time."""

    def blocks(self) -> Iterator[ParallelText]: ...


def joined(blocks: Iterable[ParallelText]) -> ParallelText:
    """The pairs of all blocks in memory, without links; a tag that only some of them have is written before their sources."""
    collected = list(blocks)
    tags = {block.tag for block in collected if len(block)}
    tag = tags.pop() if len(tags) == 1 else None
    text = ParallelText([], [], tag=tag)
    for block in collected:
        text.sources += block.sources if block.tag == tag else tagged(block.sources, block.tag)
        text.targets += block.targets
        text.skipped += block.skipped
        text.repaired += block.repaired
    return text


def whole(pairs: Pairs) -> ParallelText:
    """All pairs in memory."""
    return pairs if isinstance(pairs, ParallelText) else joined(pairs.blocks())


def tagged(sources: list[str], tag: str | None) -> list[str]:
    """Sources with their tag before them."""
    return [f"{tag} {source}" for source in sources] if tag else sources


@dataclass(frozen=True, slots=True)
class Tagged:
    """Pairs, each with a tag."""

    pairs: Pairs
    tag: str

    def blocks(self) -> Iterator[ParallelText]:
        return (replace(block, tag=self.tag) for block in self.pairs.blocks())


@dataclass(frozen=True, slots=True)
class Turned:
    """Pairs the other way round: the targets are the sources."""

    pairs: Pairs

    def blocks(self) -> Iterator[ParallelText]:
        return (turn_text(block) for block in self.pairs.blocks())


def turn_text(text: ParallelText) -> ParallelText:
    """Text the other way round, its links too."""
    links = text.links and [swap_links(line) for line in text.links]
    return replace(text, sources=text.targets, targets=text.sources, links=links)


def turn(pairs: Pairs) -> Pairs:
    """Pairs the other way round."""
    match pairs:
        case ParallelText():
            return turn_text(pairs)
        case Mixture():
            return Mixture({name: turn(corpus) for name, corpus in pairs.corpora.items()})
        case _:
            return Turned(pairs)


@dataclass(frozen=True, slots=True)
class Mixture:
    """Several corpora, one after the other, by name."""

    corpora: Mapping[str, Pairs]

    def blocks(self) -> Iterator[ParallelText]:
        for pairs in self.corpora.values():
            yield from pairs.blocks()
