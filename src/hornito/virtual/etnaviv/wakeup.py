# SPDX-License-Identifier: MIT
"""When is it time to look whether anybody still has an open file description? When inotify tells that one has ended,
and once more a little later: it tells so just before the description's lock goes."""

import contextlib
import ctypes
import os
import select
import time

from hornito.uapi.files import IN_CLOSE

_EVENTS = 64 * 1024
_SETTLED = 5_000_000  # nanoseconds after which a lock is gone, as good as always

_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]
_libc.timerfd_settime.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


class WakeUp:
    """``fd`` polls readable when a description of a watched file has ended, until ``answered``. Raises OSError, EMFILE
    mostly. Its owner guards it against other threads."""

    def __init__(self) -> None:
        self._fds: list[int] = []
        try:
            self._inotify = self._own(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify")
            self._timer = self._own(_libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC), "timerfd")
            self._poll = select.epoll()
        except OSError:
            self._close_own()
            raise
        for fd in self._fds:
            self._poll.register(fd, select.EPOLLIN)

    @property
    def fd(self) -> int:
        return self._poll.fileno()

    def watch(self, fd: int) -> None:
        """Watch the file of that descriptor of ours. Raises OSError."""
        if _libc.inotify_add_watch(self._inotify, f"/proc/self/fd/{fd}".encode(), IN_CLOSE) < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"inotify: {os.strerror(code)}")

    def answered(self) -> None:
        """Somebody is about to look."""
        told = False
        with contextlib.suppress(BlockingIOError):
            os.read(self._timer, 8)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._inotify, _EVENTS):
                told = True
        if told:
            once = (ctypes.c_int64 * 4)(0, 0, 0, _SETTLED)
            _libc.timerfd_settime(self._timer, 0, once, None)

    def close(self) -> None:
        """Watch no more."""
        self._poll.close()
        self._close_own()

    def _own(self, fd: int, what: str) -> int:
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"{what}: {os.strerror(code)}")
        self._fds.append(fd)
        return fd

    def _close_own(self) -> None:
        while self._fds:
            os.close(self._fds.pop())
