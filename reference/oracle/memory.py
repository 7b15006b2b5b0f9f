"""Memory that a command has had stays with it: to get it anew takes as long as to compute what goes there.

The blocks of a run of usual size are a hundred arrays of some hundred KiB. glibc hands such ones back
to the system as soon as they are free, and the next run pays a page fault for every 4 KiB.
"""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
MOST_KEPT, LARGEST = 2**30, 2**25  # bytes in all, and of an array; glibc knows no more for that


def keep_memory() -> None:
    """For the rest of this process, hand back none of these; only where malloc is glibc's."""
    if platform.libc_ver()[0] == "glibc":
        malloc = ctypes.CDLL(None)
        malloc.mallopt(M_TRIM_THRESHOLD, MOST_KEPT)
        malloc.mallopt(M_MMAP_THRESHOLD, LARGEST)
