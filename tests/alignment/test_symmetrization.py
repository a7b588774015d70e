"""Symmetrisation against Koehn's pseudo-code over matrices, hand-worked cases, and what must hold of any two alignments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmt.alignment.symmetrization import symmetrize
from nmt.config import Symmetrization

SIZE = 6
ALIGNMENTS = st.frozensets(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)), max_size=12)


def matrix(links):
    found = np.zeros((SIZE, SIZE), bool)
    for s, t in links:
        found[s, t] = True
    return found


def by_matrices(forward, backward, final):
    """GROW-DIAG and FINAL-AND as Koehn writes them, with arrays and loops over all pairs of words."""
    neighbours = [(-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)]
    forward, backward = matrix(forward), matrix(backward)
    alignment, union = forward & backward, forward | backward
    while True:
        before = alignment.copy()
        for s, t in np.argwhere(before):
            for ds, dt in neighbours:
                x, y = s + ds, t + dt
                if not (0 <= x < SIZE and 0 <= y < SIZE) or not union[x, y] or alignment[x, y]:
                    continue
                if not alignment[x].any() or not alignment[:, y].any():
                    alignment[x, y] = True
        if (alignment == before).all():
            break
    for directed in (forward, backward) if final else ():
        for s in range(SIZE):
            for t in range(SIZE):
                if directed[s, t] and not alignment[s].any() and not alignment[:, t].any():
                    alignment[s, t] = True
    return frozenset(map(tuple, np.argwhere(alignment).tolist()))


@settings(max_examples=300)
@given(ALIGNMENTS, ALIGNMENTS)
def test_growing_is_koehns_pseudo_code(forward, backward):
    assert symmetrize(forward, backward, Symmetrization.grow_diag) == by_matrices(forward, backward, final=False)
    assert symmetrize(forward, backward, Symmetrization.grow_diag_final_and) == by_matrices(forward, backward, final=True)


@given(ALIGNMENTS, ALIGNMENTS)
def test_each_has_more_links_than_the_one_before(forward, backward):
    found = [symmetrize(forward, backward, method) for method in Symmetrization]
    intersection, union, grown, final = found
    assert intersection == forward & backward
    assert intersection <= grown <= final <= union == forward | backward


@pytest.mark.parametrize("method", Symmetrization)
@given(ALIGNMENTS)
def test_two_directions_that_agree_are_left_alone(method, links):
    assert symmetrize(links, links, method) == links


def test_a_case_by_hand():
    """A diagonal on which both agree but for its end; a link beside it, one at a corner, and one far off, each of one direction."""
    forward = frozenset({(0, 0), (1, 1), (1, 2), (5, 4)})
    backward = frozenset({(0, 0), (1, 1), (2, 3), (5, 5)})
    assert symmetrize(forward, backward, Symmetrization.intersection) == {(0, 0), (1, 1)}
    grown = {(0, 0), (1, 1), (1, 2), (2, 3)}
    assert symmetrize(forward, backward, Symmetrization.grow_diag) == grown
    assert symmetrize(forward, backward, Symmetrization.grow_diag_final_and) == grown | {(5, 4)}
