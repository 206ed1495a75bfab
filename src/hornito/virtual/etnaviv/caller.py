# SPDX-License-Identifier: MIT
"""Which process calls, and how are its memory and its descriptors reached?"""

import os
from typing import NamedTuple, Protocol

from hornito.virtual.etnaviv.user_memory import PinnedMemory, UserMemory


class FileIdentity(NamedTuple):
    """Which file a descriptor shows, whatever its number and whoever holds it: device and inode number."""

    device: int
    inode: int

    @classmethod
    def of(cls, fd: int) -> "FileIdentity":
        """Of a descriptor of this process. Raises OSError with EBADF."""
        status = os.fstat(fd)
        return cls(status.st_dev, status.st_ino)


class Caller(Protocol):
    """The process that makes a call, as the kernel sees it."""

    @property
    def pid(self) -> int:
        """Its number, or its thread's."""

    @property
    def process(self) -> int:
        """Its number: one for all threads. Raises OSError with ESRCH."""

    def read(self, address: int, length: int) -> bytearray:
        """``length`` bytes of its memory. Raises OSError with EFAULT."""

    def write(self, address: int, content: bytes | bytearray) -> None:
        """Put ``content`` into its memory. Raises OSError with EFAULT; a first part may have been written."""

    def pin(self, address: int, length: int, writable: bool) -> PinnedMemory:
        """Take hold of a part of its memory, all readable, or writable too. Raises OSError with EFAULT."""

    def install(self, fd: int, flags: int = os.O_CLOEXEC) -> int:
        """Give it a descriptor of ours, close-on-exec or with ``flags`` 0 not; its number there. ``fd``, which is
        close-on-exec here, is no longer ours, whatever happens. Raises OSError, EMFILE mostly."""

    def identify(self, fd: int) -> FileIdentity:
        """Which file its descriptor shows. Raises OSError with EBADF."""

    def fetch(self, fd: int) -> int:
        """A close-on-exec descriptor of ours that shows what its ``fd`` shows. Raises OSError: EBADF, EPERM."""


class OwnProcess(UserMemory):
    """The ``Caller`` that is this very process."""

    def __init__(self) -> None:
        super().__init__(os.getpid())

    def install(self, fd: int, flags: int = os.O_CLOEXEC) -> int:
        if not flags & os.O_CLOEXEC:
            os.set_inheritable(fd, True)
        return fd

    def identify(self, fd: int) -> FileIdentity:
        return FileIdentity.of(fd)

    def fetch(self, fd: int) -> int:
        return os.dup(fd)
