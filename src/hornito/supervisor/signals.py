# SPDX-License-Identifier: MIT
"""Which signals does the supervisor hand on? Those that somebody sent to it and means for the program.

What a terminal sends (Ctrl-C) goes to the whole process group, so the program has it already.
"""

import contextlib
import os
import signal
import threading

_HANDED_ON = (
    *(signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGALRM),
)
_ENDING = {signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP}
_WAKE_UP = signal.SIGWINCH


class HandOn:
    """Takes signals, in a thread of its own, from ``start`` on. ``wanted_end`` polls readable when one would end us and
    there is no program any more to have it."""

    def __init__(self) -> None:
        self._program = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._take, name="hornito signals", daemon=True)
        self._before: set[int] = set()
        self.wanted_end = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def start(self) -> None:
        """Before any other thread starts, and after the program was forked: they inherit what is blocked."""
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDED_ON)
        self._thread.start()

    def to(self, program: int) -> None:
        """The process to hand them to; 0: there is none, so what ends programs ends us."""
        self._program = program

    def stop(self) -> None:
        self._over.set()
        if self._thread.ident is not None:
            signal.pthread_kill(self._thread.ident, _WAKE_UP)
        self._thread.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)
        os.close(self.wanted_end)

    def _take(self) -> None:
        while True:
            got = signal.sigwaitinfo(_HANDED_ON)
            if self._over.is_set():
                return
            if self._program:
                if got.si_code <= 0:  # else it is the kernel's own, a terminal's
                    with contextlib.suppress(OSError):
                        os.kill(self._program, got.si_signo)
            elif got.si_signo in _ENDING:
                os.eventfd_write(self.wanted_end, 1)
