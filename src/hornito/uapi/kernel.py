# SPDX-License-Identifier: MIT
"""Where do a driver's system calls go? To the real kernel, to the virtual one, or to a recorder around either."""

import ctypes
import fcntl
import mmap
import os
from typing import Protocol


class Kernel(Protocol):
    """The few system calls that a render node's client makes. Every failure is an OSError."""

    def open(self, path: str, flags: int) -> int:
        """Open a device node; gives a descriptor."""

    def close(self, fd: int) -> None:
        """Close a descriptor that this kernel gave out: a node, or a sync file."""

    def ioctl(self, fd: int, request: int, arg: ctypes.Structure | int) -> int:
        """One ioctl, once. A struct is filled in place; an integer is handed on as it is (a pointer, mostly)."""

    def mmap(self, fd: int, length: int, offset: int) -> mmap.mmap:
        """Map a part of a node for reading and writing, shared with the device."""

    def messages(self, fd: int) -> list[str]:
        """The log lines for the open node ``fd`` that came since the last call; none where the log can't be read."""


class RealKernel:
    """The kernel that we run on. It does not read the kernel log."""

    def open(self, path: str, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        os.close(fd)

    def ioctl(self, fd: int, request: int, arg: ctypes.Structure | int) -> int:
        if isinstance(arg, int):
            return fcntl.ioctl(fd, request, arg)
        return fcntl.ioctl(fd, request, arg, True)  # type: ignore[no-any-return]

    def mmap(self, fd: int, length: int, offset: int) -> mmap.mmap:
        return mmap.mmap(fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)

    def messages(self, fd: int) -> list[str]:
        return []
