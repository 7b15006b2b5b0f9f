"""Keeps freed memory in the process, because getting it anew takes as long as computing what goes there.

The blocks of a run of usual size are a hundred arrays of some hundred KiB each. glibc returns arrays of that size to
the system as soon as they are freed, and the next run causes a page fault for every 4 KiB.
"""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
MOST_KEPT, LARGEST = 2**30, 2**25  # bytes in all, and of one array, for which glibc allows no more


def keep_freed_memory() -> None:
    """Do not return freed memory to the system for the rest of this process, if malloc is glibc's."""
    if platform.libc_ver()[0] == "glibc":
        malloc = ctypes.CDLL(None)
        malloc.mallopt(M_TRIM_THRESHOLD, MOST_KEPT)
        malloc.mallopt(M_MMAP_THRESHOLD, LARGEST)
