"""One alignment from two: links that a model reads from source to target, and those that one of the other direction reads.

Och and Ney 2003 ("refined"); Koehn et al. 2005, "Edinburgh system description for the 2005 IWSLT speech translation evaluation", for what
is grown, in the order of Moses. Links are (source word, target word) in both.
"""

from __future__ import annotations

from nmt.config import Symmetrization
from nmt.data.links import Link

NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""In the order in which Moses looks at them."""

Directed = frozenset[Link]
"""The links of a direction."""


def symmetrize(forward: Directed, backward: Directed, method: Symmetrization) -> Directed:
    """The links of both directions as one alignment."""
    match method:
        case Symmetrization.intersection:
            return forward & backward
        case Symmetrization.union:
            return forward | backward
        case Symmetrization.grow_diag:
            return grow_diag(forward, backward)
        case Symmetrization.grow_diag_final_and:
            return final_and(final_and(grow_diag(forward, backward), forward), backward)


def grow_diag(forward: Directed, backward: Directed) -> Directed:
    """From the intersection on, links of the union that touch one that is there already, also at a corner, as long as one of their words
    has no link yet. Which are taken depends on the order: by source word, then by target word, and again until none is added."""
    grown, union = set(forward & backward), forward | backward
    sources, targets = {s for s, _ in grown}, {t for _, t in grown}
    added = True
    while added:
        added = False
        for s, t in sorted(grown):
            for ds, dt in NEIGHBOURS:
                link = s + ds, t + dt
                if link in union and link not in grown and (link[0] not in sources or link[1] not in targets):
                    grown.add(link)
                    sources.add(link[0])
                    targets.add(link[1])
                    added = True
    return frozenset(grown)


def final_and(alignment: Directed, links: Directed) -> Directed:
    """An alignment and those links, by source word and target word, whose words both have none so far."""
    found = set(alignment)
    sources, targets = {s for s, _ in found}, {t for _, t in found}
    for s, t in sorted(links):
        if s not in sources and t not in targets:
            found.add((s, t))
            sources.add(s)
            targets.add(t)
    return frozenset(found)
