# SPDX-License-Identifier: MIT
"""How is a notified system call received and answered? With buffers that are made once, and no more system calls than
there must be: most calls are none of our business and wait while we find that out.
"""

import contextlib
import ctypes
import errno
import os
from typing import NamedTuple

from hornito.uapi.seccomp import (
    ADDFD,
    ADDFD_SEND,
    CONTINUE,
    NOTIF_ADDFD,
    NOTIF_ID_VALID,
    NOTIF_RECV,
    NOTIF_SEND,
    NOTIF_SET_FLAGS,
    NOTIFICATION,
    RESPONSE,
    SYNC_WAKE_UP,
)

# PyDLL keeps Python's lock: these calls do not wait, and to let go of the lock costs more than they do.
_quick = ctypes.PyDLL(None, use_errno=True)
_slow = ctypes.CDLL(None, use_errno=True)


def _ioctl(library: ctypes.CDLL) -> "ctypes._NamedFuncPointer":
    function = library["ioctl"]  # one of its own: attributes of a library are shared
    function.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]
    return function


_ioctl_now = _ioctl(_quick)
_ioctl_waiting = _ioctl(_slow)


class Notification(NamedTuple):
    """A call that waits for its answer. ``pid`` is the thread's id as we see it, ``arguments`` are unsigned."""

    id: int
    pid: int
    flags: int
    nr: int
    arch: int
    instruction: int
    a0: int
    a1: int
    a2: int
    a3: int
    a4: int
    a5: int


PID, NR, ARCH = (Notification._fields.index(name) for name in ("pid", "nr", "arch"))


class Gone(Exception):
    """The caller has died, or a signal took it out of its call: nobody waits for the answer."""


class Listener:
    """The supervisor's end of a filter. For one thread."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._notification = bytearray(NOTIFICATION.size)
        self._empty = bytes(NOTIFICATION.size)
        self._notification_at = _address(self._notification)
        self._response = bytearray(RESPONSE.size)
        self._response_at = _address(self._response)
        self._request = bytearray(ADDFD.size)
        self._request_at = _address(self._request)
        with contextlib.suppress(OSError):  # before Linux 6.6 it is only slower
            _check(_ioctl_now(fd, NOTIF_SET_FLAGS, SYNC_WAKE_UP))

    def receive(self) -> Notification | None:
        """The next call; None if its caller has gone meanwhile. Waits unless the descriptor polls readable."""
        self._notification[:] = self._empty  # the kernel insists
        if _ioctl_waiting(self.fd, NOTIF_RECV, self._notification_at):
            return None
        return Notification._make(NOTIFICATION.unpack_from(self._notification))

    def let_pass(self, call: Notification) -> None:
        """The kernel is to do it as if nobody had looked."""
        RESPONSE.pack_into(self._response, 0, call.id, 0, 0, CONTINUE)
        _ioctl_now(self.fd, NOTIF_SEND, self._response_at)

    def answer(self, call: Notification, value: int) -> None:
        """The call gives ``value``."""
        RESPONSE.pack_into(self._response, 0, call.id, value, 0, 0)
        _ioctl_now(self.fd, NOTIF_SEND, self._response_at)

    def fail(self, call: Notification, code: int) -> None:
        """The call fails with that errno."""
        RESPONSE.pack_into(self._response, 0, call.id, 0, -code, 0)
        _ioctl_now(self.fd, NOTIF_SEND, self._response_at)

    def install(self, call: Notification, fd: int, flags: int, *, answer: bool) -> int:
        """Give the caller a copy of our ``fd`` (``flags``: O_CLOEXEC or 0); its number there. With ``answer`` that is
        the call's result, in one step. Raises OSError (EMFILE: it has too many), Gone."""
        ADDFD.pack_into(self._request, 0, call.id, ADDFD_SEND if answer else 0, fd, 0, flags & os.O_CLOEXEC)
        try:
            return _check(_ioctl_now(self.fd, NOTIF_ADDFD, self._request_at))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINPROGRESS):
                raise Gone from error
            raise

    def valid(self, call: Notification) -> bool:
        """The caller still waits: what was read of its memory and descriptors was its own."""
        self._request[:8] = call.id.to_bytes(8, "little")
        return not _ioctl_now(self.fd, NOTIF_ID_VALID, self._request_at)

    def close(self) -> None:
        """Calls of filtered processes fail with ENOSYS from now on."""
        os.close(self.fd)


def _address(buffer: bytearray) -> int:
    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
