"""Settings of the C library's allocator and of OpenMP, which are read only once, when a process starts."""

from __future__ import annotations

import os
import sys

SWITCH = "NMT_ALLOCATOR"
"""Environment variable: ``keep`` (what :func:`tune_process` sets) or ``system``."""

ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",  # large blocks come from the heap as well,
    "MALLOC_TRIM_THRESHOLD_": str(1 << 46),  # which is never given back
    "MALLOC_TOP_PAD_": str(64 << 20),  # and grows by 64 MiB,
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # in huge pages where the kernel has them
}

SPINNING = "GOMP_SPINCOUNT"
TURNS = "10000"
"""The most that cost nothing measurable alone; with fewer a training gains more beside others, and is slower alone."""


def tune_process() -> None:
    """Start this process again with an allocator that keeps what it has, and have threads wait with little spinning; before torch is
    loaded, since that takes a second.

    glibc returns every large buffer to the kernel when it is freed, and has its pages cleared again for the next update. The allocator
    stays as it is with another C library, where one of these settings is there already, or with ``NMT_ALLOCATOR=system``.

    A thread of GNU OpenMP that waits for others turns round 300,000 times before it sleeps (its manual, ``GOMP_SPINCOUNT``). Beside another
    program, which leaves too few cores for all, it may thereby hold up the thread that it waits for. What fewer turns cost and save is in
    docs/results.md. What ``GOMP_SPINCOUNT`` or ``OMP_WAIT_POLICY`` say in the environment stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault(SPINNING, TURNS)
    if (
        SWITCH in os.environ
        or ALLOCATOR.keys() & os.environ.keys()
        or "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", ())
    ):
        return
    os.environ.update({**ALLOCATOR, SWITCH: "keep"})
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def allocator() -> str:
    """The allocator's treatment of freed memory in this process, by name."""
    return os.environ.get(SWITCH, "system")
