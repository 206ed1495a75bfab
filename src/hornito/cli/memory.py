# SPDX-License-Identifier: MIT
"""How does a short-lived command keep the memory that it freed for what it needs next?"""

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # glibc's numbers, malloc.h
_ALL_OF_IT = 1 << 30  # bytes


def keep_freed_memory() -> None:
    """Where the C library is glibc: memory that was freed stays this process's.

    Else each large array is mapped, cleared page by page and unmapped again, which took a third of the time of
    compiling a network whose arrays come and go layer by layer. The most that is ever used stays the same.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return  # another C library
    for setting, value in ((_MMAP_THRESHOLD, _ALL_OF_IT), (_TRIM_THRESHOLD, _ALL_OF_IT), (_ARENA_MAX, 1)):
        mallopt(setting, value)
