"""Which layer and head of the cross-attention aligns best, and whether it does so before a word is read or after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nmt.alignment.aligner import align
from nmt.alignment.attribution import cross_attentions
from nmt.alignment.forced import ForcedDecoder
from nmt.alignment.links import alignment_scores
from nmt.config import AlignmentConfig, Attribution
from nmt.data.links import Link, Links


@dataclass(frozen=True, slots=True)
class Candidate:
    """Settings with a layer, a head (or the mean of all) and a row for each word, and the links that they give of each pair."""

    config: AlignmentConfig
    links: list[frozenset[Link]]


def candidates(
    decoder: ForcedDecoder, sources: Sequence[str], targets: Sequence[str], config: AlignmentConfig
) -> list[Candidate]:
    """Every layer with the mean of its heads and with each head, as a word is predicted and as it is read (:attr:`AlignmentConfig.shift`);
    the other settings are those of ``config``. Each costs a pass over the pairs."""
    found = []
    for layer, attention in enumerate(cross_attentions(decoder.model).values()):
        num_heads = attention.num_heads
        for head in (None, *range(num_heads if num_heads > 1 else 0)):
            for shift in (False, True):
                chosen = replace(config, attribution=Attribution.attention, layer=layer, head=head, shift=shift)
                alignments = align(decoder, sources, targets, chosen)
                found.append(Candidate(chosen, [alignment.links for alignment in alignments]))
    return found


def best_by_gold(found: Sequence[Candidate], gold: Sequence[Links]) -> tuple[Candidate, float]:
    """The one with the lowest alignment error rate, the first of equals, and that rate."""
    rates = [alignment_scores(candidate.links, gold).aer for candidate in found]
    best = min(range(len(found)), key=rates.__getitem__)
    return found[best], rates[best]


def best_by_agreement(forward: Sequence[Candidate], backward: Sequence[Candidate]) -> tuple[Candidate, Candidate, float]:
    """Of two directions the two that agree most, the first of equals, and how much: twice the links that both have, over all of both.

    Chen et al. 2020, section 3.3, who choose layers so where there is no gold; links of ``backward`` are (target, source).
    """
    turned = [[frozenset((s, t) for t, s in links) for links in candidate.links] for candidate in backward]
    shares = {(i, j): _agreement(there.links, back) for i, there in enumerate(forward) for j, back in enumerate(turned)}
    i, j = max(shares, key=lambda places: (shares[places], -places[0], -places[1]))
    return forward[i], backward[j], shares[i, j]


def _agreement(there: Sequence[frozenset[Link]], back: Sequence[frozenset[Link]]) -> float:
    both = sum(len(a & b) for a, b in zip(there, back, strict=True))
    return 2 * both / max(sum(map(len, there)) + sum(map(len, back)), 1)
