# SPDX-License-Identifier: MIT
"""Who makes a notified call? A thread of another process: its memory, its descriptors, where its paths begin."""

import contextlib
import ctypes
import errno
import os
import struct

from hornito.supervisor.descriptors import copy_descriptor
from hornito.supervisor.notifications import Listener, Notification
from hornito.uapi.seccomp import ERESTARTSYS
from hornito.uapi.system_calls import AT_FDCWD, PATH_MAX
from hornito.virtual.etnaviv.caller import FileIdentity
from hornito.virtual.etnaviv.user_memory import UserMemory

_PAGE = 4096
_GLANCE = 256  # bytes of a path that are read at once; most are shorter
_VECTORS = struct.Struct("=QQQQ")  # two struct iovec: here, there
_quick = ctypes.PyDLL(None, use_errno=True)


class RemoteCaller(UserMemory):
    """The ``Caller`` (hornito.virtual.etnaviv.caller) behind a notification."""

    def __init__(self, listener: Listener, call: Notification) -> None:
        super().__init__(call.pid)
        self._listener = listener
        self._call = call

    @property
    def ticket(self) -> int:
        """Which call that is: the same number when it is made again."""
        return self._call.id

    @property
    def descriptor(self) -> int:
        """What the call is made on, if it is an ioctl."""
        return self._call.a0 & 0xFFFFFFFF

    def install(self, fd: int, flags: int = os.O_CLOEXEC) -> int:
        try:
            return self._listener.install(self._call, fd, flags, answer=False)
        finally:
            os.close(fd)

    def identify(self, fd: int) -> FileIdentity:
        try:
            status = os.stat(f"/proc/{self.pid}/fd/{fd}")
        except FileNotFoundError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
        return FileIdentity(status.st_dev, status.st_ino)

    def fetch(self, fd: int) -> int:
        return copy_descriptor(self.process, fd)

    def folder(self, fd: int) -> str:
        """Where a relative path begins, for the ``dirfd`` of a call. Raises OSError."""
        which = "cwd" if fd == AT_FDCWD else f"fd/{fd}"
        try:
            return os.readlink(f"/proc/{self.pid}/{which}")
        except FileNotFoundError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None

    def path(self, address: int) -> bytes:
        """The text at ``address``, up to its zero. Raises OSError: EFAULT, ENAMETOOLONG."""
        text = bytearray()
        while len(text) < PATH_MAX:
            here = address + len(text)
            piece = self.read(here, min(_GLANCE, _PAGE - here % _PAGE))
            end = piece.find(0)
            if end >= 0:
                return bytes(text + piece[:end])
            text += piece
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))


class Glance:
    """Reads the beginning of a text in other processes' memory, as fast as can be: into one buffer, made once."""

    def __init__(self) -> None:
        self.text = bytearray(_GLANCE)
        self._text_at = ctypes.addressof((ctypes.c_char * _GLANCE).from_buffer(self.text))
        self._vectors = bytearray(_VECTORS.size)
        self._here_at = ctypes.addressof((ctypes.c_char * _VECTORS.size).from_buffer(self._vectors))
        self._there_at = self._here_at + _VECTORS.size // 2
        self._read = _quick["process_vm_readv"]
        self._read.restype = ctypes.c_ssize_t
        pointer, length = ctypes.c_void_p, ctypes.c_ulong
        self._read.argtypes = [ctypes.c_int, pointer, length, pointer, length, ctypes.c_ulong]

    def at(self, pid: int, address: int) -> int:
        """How many bytes of a text are in ``text`` now (none at address 0); -1: it is longer than a glance, or can't be
        read this way."""
        if not address:
            return 0
        length = _PAGE - address % _PAGE
        if length > _GLANCE:
            length = _GLANCE
        _VECTORS.pack_into(self._vectors, 0, self._text_at, length, address, length)
        if self._read(pid, self._here_at, 1, self._there_at, 1, 0) != length:
            return -1
        return self.text.find(0, 0, length)


def interruption(pid: int) -> int:
    """The errno for a call of that thread which a signal wants it to leave, or 0 if none does.

    The kernel's own ERESTARTSYS (the call starts again if the handler says so, else EINTR) where the signal is surely
    that thread's: any other thread of its process might take it, and a program must never see that number.
    """
    values: dict[str, str] = {}
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        values = dict(line.split(":\t", 1) for line in file if line.startswith(("Sig", "Shd", "Threads")))
    pending, shared, blocked, ignored = (int(values.get(n, "0"), 16) for n in ("SigPnd", "ShdPnd", "SigBlk", "SigIgn"))
    heard = ~blocked & ~ignored
    if not (pending | shared) & heard:
        return 0
    return ERESTARTSYS if pending & heard or int(values["Threads"]) == 1 else errno.EINTR
