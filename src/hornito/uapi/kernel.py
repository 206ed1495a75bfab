# SPDX-License-Identifier: MIT
"""Where do a driver's system calls go? To the real kernel, to the virtual one, or to a recorder around either."""

import ctypes
import errno
import fcntl
import mmap
import os
from typing import Protocol

from hornito.uapi.kernel_log import KernelLog


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


_call = ctypes.CDLL(None, use_errno=True)["ioctl"]
_call.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong]


class RealKernel:
    """The kernel that we run on. ``log``: where its messages come from (None: what it logs from now on)."""

    def __init__(self, log: KernelLog | None = None) -> None:
        self._log = log or KernelLog()

    def open(self, path: str, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        os.close(fd)

    def ioctl(self, fd: int, request: int, arg: ctypes.Structure | int) -> int:
        if isinstance(arg, int):
            return _ioctl(fd, request, arg)
        return fcntl.ioctl(fd, request, arg, True)  # type: ignore[no-any-return]

    def mmap(self, fd: int, length: int, offset: int) -> mmap.mmap:
        return mmap.mmap(fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)

    def messages(self, fd: int) -> list[str]:
        """Lines of the etnaviv driver. It does not say whose job it speaks of: another client's may be among them."""
        return [line for line in self._log.lines() if "etnaviv" in line]


def _ioctl(fd: int, request: int, arg: int) -> int:
    """With an argument as wide as a pointer, which ``fcntl.ioctl`` would cut to 32 bits."""
    result: int = _call(fd, request, arg)
    if result < 0:
        code = ctypes.get_errno() or errno.EIO
        raise OSError(code, os.strerror(code))
    return result
