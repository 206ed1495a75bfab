# SPDX-License-Identifier: MIT
"""Which open file description is a descriptor, in whatever process it is, and does anybody still have it?

Descriptors travel (dup, fork, SCM_RIGHTS) and outlive their numbers, but a description of a memory file can be known
anywhere, and its end be seen: it holds an OFD lock on the byte of the file that its number says. /proc/PID/fdinfo shows
the lock beside any descriptor of it, and the lock is gone when the last descriptor and the last mapping are, however
their processes ended. (The file position would tell too, but a client's read or lseek moves it.)
"""

import errno
import fcntl
import os
import struct

from hornito.virtual.etnaviv.caller import FileIdentity

_FLOCK = struct.Struct("@hhqqi4x")  # type, whence, start, length, pid
_TO_THE_END = 0  # a length
_INFO = 4096  # more than fdinfo says of a memory file


class Descriptions:
    """The open file descriptions of one memory file; ``fd`` is our own descriptor of it, which no lock is held by.

    ``identity`` tells the file from all others. Its owner guards it against other threads.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.identity = FileIdentity.of(fd)
        self._last = 0

    def create(self, flags: int) -> tuple[int, int]:
        """A new description's number, which no other ever had, and a descriptor of it. ``flags``: those of open, with
        writing, which locking needs. Raises OSError."""
        fd = os.open(f"/proc/self/fd/{self.fd}", flags)
        number = self._last + 1
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(number, 1))
        except OSError:
            os.close(fd)
            raise
        self._last = number
        return number, fd

    def identify(self, pid: int, fd: int, only: int | None = None) -> int | None:
        """The number of the description that the descriptor ``fd`` of a process (or thread) shows; None: of none.

        ``only``: the one that there is, if there is but one; it saves half of the time. Raises OSError: EBADF where
        there is no such descriptor, EACCES where we may not look.
        """
        try:
            status = os.stat(f"/proc/{pid}/fd/{fd}")
            if (status.st_dev, status.st_ino) != self.identity:
                return None
            if only is not None:
                return only
            info = os.open(f"/proc/{pid}/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)  # faster than a file object
        except FileNotFoundError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
        try:
            return _locked_byte(os.read(info, _INFO))
        finally:
            os.close(info)

    def is_open(self, number: int) -> bool:
        """Somebody still has a descriptor or a mapping of that description."""
        return self._locked(_flock(number, 1))

    def any_open(self) -> bool:
        """Somebody still has one of any description."""
        return self._locked(_flock(0, _TO_THE_END))

    def close(self) -> None:
        """Close our descriptor; the clients' are their own business."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def _locked(self, question: bytes) -> bool:
        if self.fd < 0:
            return False
        return bool(_FLOCK.unpack(fcntl.fcntl(self.fd, fcntl.F_OFD_GETLK, question))[0] != fcntl.F_UNLCK)


def _flock(byte: int, length: int) -> bytes:
    return _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, length, 0)


def _locked_byte(fdinfo: bytes) -> int | None:
    """Of a line such as ``lock: 1: OFDLCK ADVISORY WRITE -1 00:01:1043 7 7``, the 7."""
    at = fdinfo.find(b" OFDLCK ")
    return None if at < 0 else int(fdinfo[at:].split(b"\n", 1)[0].split()[-2])
