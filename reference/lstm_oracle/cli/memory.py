"""Keeps freed memory in the process, because requesting it again takes as long as the computation itself.

The blocks of a typical run are a hundred arrays of a few hundred KiB each. glibc returns arrays of that size to the
operating system as soon as they are freed, and the next run causes a page fault for every 4 KiB.
"""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
MOST_KEPT, LARGEST = 2**30, 2**25  # bytes in total, and of one array (the most that glibc allows)


def keep_freed_memory() -> None:
    """Keep freed memory for the rest of this process, if malloc is that of glibc."""
    if platform.libc_ver()[0] == "glibc":
        malloc = ctypes.CDLL(None)
        malloc.mallopt(M_TRIM_THRESHOLD, MOST_KEPT)
        malloc.mallopt(M_MMAP_THRESHOLD, LARGEST)
