"""The annotated shapes of arrays, checked while tests run: in the first calls of each test.

A check takes longer than most of the functions that are checked, and a search calls the same ones again for every word: to check all calls
of all tests took as long as everything else in them.
"""

from collections.abc import Callable
from typing import Any

from beartype import beartype
from jaxtyping import config

NUM_CHECKS = 2_000
"""Of arguments, and of arguments with results, in each test."""


class _Checks:
    left = NUM_CHECKS


def begin_to_check() -> None:
    """From here on calls are checked again."""
    _Checks.left = NUM_CHECKS
    config.update("jaxtyping_disable", False)


def check_first_calls(signature: Callable[..., Any]) -> Callable[..., Any]:
    """What jaxtyping calls to check arguments or results: beartype, until there have been enough."""
    if _Checks.left <= 0 and "<locals>" in signature.__qualname__:  # made anew in each call of the function around it
        return signature
    check = beartype(signature)

    def counted(*args: Any, **kwargs: Any) -> Any:
        _Checks.left -= 1
        if not _Checks.left:
            config.update("jaxtyping_disable", True)
        return check(*args, **kwargs)

    return counted
