"""How the C library's allocator treats freed memory: settings that it reads only once, when a process starts."""

from __future__ import annotations

import os
import sys

SWITCH = "NMT_ALLOCATOR"
"""Environment variable: ``keep`` (what :func:`keep_freed_memory` sets) or ``system``."""

SETTINGS = {
    "MALLOC_MMAP_MAX_": "0",  # large blocks come from the heap as well,
    "MALLOC_TRIM_THRESHOLD_": str(1 << 46),  # which is never given back
    "MALLOC_TOP_PAD_": str(64 << 20),  # and grows by 64 MiB,
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # in huge pages where the kernel has them
}


def keep_freed_memory() -> None:
    """Start this process again with an allocator that keeps what it has; before torch is loaded, since that takes a second.

    glibc returns every large buffer to the kernel when it is freed, and has its pages cleared again for the next update. Nothing
    happens with another C library, where one of these settings is there already, or with ``NMT_ALLOCATOR=system``.
    """
    if (
        SWITCH in os.environ
        or SETTINGS.keys() & os.environ.keys()
        or "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", ())
    ):
        return
    os.environ.update({**SETTINGS, SWITCH: "keep"})
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def describe() -> str:
    """The allocator's treatment of freed memory in this process, by name."""
    return os.environ.get(SWITCH, "system")
