"""One function over many items, in several processes, with the results in the order of the items."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

FEW = 16
"""Items that are worked on in this process before others are started, which import torch first."""

AHEAD = 3
"""Items a process that are read before their results are wanted: enough to keep it busy, and a bound on memory."""


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], processes: int | None = None) -> Iterator[Result]:
    """``map`` with several processes where there are more than a few items; null takes as many as there are cores.

    Function, items and results go from process to process as bytes, the function but once. What it raises is raised here, at the place of
    its item.
    """
    count = processes or len(os.sched_getaffinity(0))
    stream = iter(items)
    yield from map(function, islice(stream, FEW))
    first = list(islice(stream, 1))
    if not first:
        return
    rest = chain(first, stream)
    if count == 1:
        yield from map(function, rest)
        return
    # new processes rather than forked ones: threads of libraries may run here already
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, _remember, (function,)) as pool:
        pending: deque[Future[Any]] = deque()
        try:
            for item in rest:
                pending.append(pool.submit(_apply, item))
                if len(pending) > AHEAD * count:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


_function: Callable[[Any], Any] | None = None


def _remember(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function


def _apply(item: Any) -> Any:
    assert _function
    return _function(item)
