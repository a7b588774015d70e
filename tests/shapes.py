"""The annotated shapes of arrays, checked while tests run: in all calls of long tests, and in the first ones of each other test.

A check takes longer than most of the functions that are checked, and a search calls the same ones again for every word: to check all calls
took two thirds of the time of tests that search.
"""

from collections.abc import Callable
from typing import Any

from beartype import beartype
from jaxtyping import config

NUM_CHECKS = 2_000
"""Of arguments, and of arguments with results, in each test that is not long."""


class _Checks:
    left: float = NUM_CHECKS


def begin_to_check(num_checks: float) -> None:
    """From here on so many calls are checked, whatever was checked before."""
    _Checks.left = num_checks
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
