"""Arrays of another shape than annotated fail a test, as long as calls are checked."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from shapes import NUM_CHECKS, begin_to_check

from nmt.alignment.links import argmax_links


def test_first_calls_are_checked():
    words, wrong = np.eye(2, 3, dtype=np.float32), np.ones((1, 2, 3), np.float32)
    with pytest.raises(TypeCheckError, match="weights"):
        argmax_links(wrong)
    for _ in range(NUM_CHECKS):
        assert argmax_links(words) == {(0, 0), (1, 1)}
    assert argmax_links(wrong) == {(0, 0)}  # no longer
    begin_to_check(NUM_CHECKS)
    with pytest.raises(TypeCheckError, match="weights"):
        argmax_links(wrong)
