# SPDX-License-Identifier: MIT
"""Where do all buffers of a virtual device lie, and which open file is a descriptor, in whatever process it is?

One memory file, the pool, holds the buffers of all clients, so an offset means the same in every open file and ``mmap``
of a descriptor needs no help. Each open file is an open file description of the pool of its own. Descriptors travel
(dup, fork, SCM_RIGHTS) and outlive their numbers, but a description can be known anywhere, and its end be seen: it
holds an OFD lock on the byte of the pool that its number says. /proc/PID/fdinfo shows the lock beside any descriptor of
it, and the lock is gone when the last descriptor and the last mapping are, however their processes ended. (The file
position would tell too, but a client's read or lseek moves it.)
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import struct

from hornito.virtual.caller import FileIdentity

_PUNCH_HOLE = 0x02  # FALLOC_FL_PUNCH_HOLE
_KEEP_SIZE = 0x01
_F_OFD_GETLK, _F_OFD_SETLK = 36, 37
_FLOCK = struct.Struct("@hhqqi4x")  # type, whence, start, length, pid
_IN_CLOSE = 0x08 | 0x10  # of a description that was open for writing, or for reading
_EVENTS = 64 * 1024

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_libc.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]


class Pool:
    """The memory file. ``fd`` is our own descriptor of it; ``identity`` tells it from all other files.

    Raises OSError. Its owner guards it against other threads.
    """

    def __init__(self, name: str) -> None:
        self.fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._watch = -1
        try:
            # A client that cuts the file would kill whoever touches it next.
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
            self.identity = FileIdentity.of(self.fd)
        except OSError:
            self.close()
            raise
        self._end = 0
        self._last = 0
        self._open: set[int] = set()

    # Memory.

    def allocate(self, size: int) -> int:
        """The offset of ``size`` (a multiple of pages) new bytes, all zero. No offset is ever used twice, so a mapping
        that outlives its buffer meets no other buffer."""
        os.ftruncate(self.fd, self._end + size)
        offset = self._end
        self._end += size
        return offset

    def free(self, offset: int, size: int) -> None:
        """Give pages back; whoever still maps them sees zeros."""
        if _libc.fallocate(self.fd, _PUNCH_HOLE | _KEEP_SIZE, offset, size):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    # Open files.

    def open_file(self) -> tuple[int, int]:
        """A new open file's number, and a close-on-exec descriptor of it for its client. Numbers are not reused."""
        fd = os.open(f"/proc/self/fd/{self.fd}", os.O_RDWR | os.O_CLOEXEC)
        number = self._last + 1
        try:
            fcntl.fcntl(fd, _F_OFD_SETLK, _flock(fcntl.F_WRLCK, number))
        except OSError:
            os.close(fd)
            raise
        self._last = number
        self._open.add(number)
        return number, fd

    def identify(self, pid: int, fd: int) -> int | None:
        """The number of the open file that the descriptor ``fd`` of a process (or thread) is; None: none of this pool.

        Raises OSError with EBADF where there is no such descriptor, and EACCES where we may not look.
        """
        try:
            status = os.stat(f"/proc/{pid}/fd/{fd}")
            if (status.st_dev, status.st_ino) != self.identity:
                return None
            if len(self._open) == 1:
                return next(iter(self._open))  # which else? It saves half of the time
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii", errors="replace") as info:
                return _locked_byte(info.read())
        except FileNotFoundError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None

    def is_open(self, number: int) -> bool:
        """Somebody still has a descriptor or a mapping of that open file."""
        reply = fcntl.fcntl(self.fd, _F_OFD_GETLK, _flock(fcntl.F_WRLCK, number))
        return bool(_FLOCK.unpack(reply)[0] != fcntl.F_UNLCK)

    @property
    def wake_fd(self) -> int:
        """Polls readable when some description has ended, until ``gone`` is asked. Raises OSError, EMFILE mostly.

        A description tells of its end just before its lock goes: whoever is woken for nothing asks again soon.
        """
        if self._watch < 0:
            self._watch = _watch(self.fd)
        return self._watch

    def gone(self) -> list[int]:
        """The open files that nobody has any more; each is told once. None once the pool is closed."""
        if self.fd < 0:
            return []
        with contextlib.suppress(BlockingIOError):
            while self._watch >= 0 and os.read(self._watch, _EVENTS):
                pass
        ended = [number for number in sorted(self._open) if not self.is_open(number)]
        self._open.difference_update(ended)
        return ended

    def forget(self, number: int) -> None:
        """Its end is known."""
        self._open.discard(number)

    def close(self) -> None:
        """Close our descriptors; the clients' are their own business."""
        for fd in (self.fd, self._watch):
            if fd >= 0:
                os.close(fd)
        self.fd = self._watch = -1


def _flock(kind: int, byte: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0)


def _locked_byte(fdinfo: str) -> int | None:
    """Of a line such as ``lock: 1: OFDLCK ADVISORY WRITE -1 00:01:1043 7 7``, the 7."""
    for line in fdinfo.splitlines():
        if line.startswith("lock:") and " OFDLCK " in line.replace("\t", " "):
            return int(line.split()[-2])
    return None


def _watch(fd: int) -> int:
    """A descriptor that polls readable when a description of that file ends."""
    watch: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if watch >= 0 and _libc.inotify_add_watch(watch, f"/proc/self/fd/{fd}".encode(), _IN_CLOSE) >= 0:
        return watch
    code = ctypes.get_errno()
    if watch >= 0:
        os.close(watch)
    raise OSError(code, f"inotify: {os.strerror(code)}")
