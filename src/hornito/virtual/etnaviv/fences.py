# SPDX-License-Identifier: MIT
"""Has it happened yet, and who wants to know? Signals, the fences of jobs, and calls that have to wait for them."""

import threading
import time
from collections.abc import Callable

from hornito.uapi.sync_file import PENDING


class Signal:
    """Something that happens once."""

    __slots__ = ("_functions", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._functions: list[Callable[[], None]] | None = []

    def when_signalled(self, function: Callable[[], None]) -> None:
        """Call ``function`` once: when it happens, in the thread that makes it happen; here and now if it has.

        The virtual device may be locked then: the function must neither wait nor call the device. It sets an event,
        say, or writes to a pipe.
        """
        with self._lock:
            if self._functions is not None:
                self._functions.append(function)
                return
        function()

    def forget(self, function: Callable[[], None]) -> None:
        """Do not call ``function`` any more, if it has not been called yet."""
        with self._lock:
            if self._functions and function in self._functions:
                self._functions.remove(function)

    def happen(self) -> None:
        """Tell all who wait."""
        with self._lock:
            functions, self._functions = self._functions, None
        for function in functions or ():
            function()


class Fence(Signal):
    """One job's end. Its device's lock guards it.

    ``status`` has the sync file's numbers: 0 pending, 1 done, below zero -errno of a job that was killed. ``time`` is
    when it signalled, in nanoseconds of CLOCK_MONOTONIC. ``timeline``: whose jobs it is among (an open file's number);
    ``order``: its place among all jobs of the device.
    """

    __slots__ = ("number", "order", "status", "time", "timeline")

    def __init__(self, number: int, timeline: int = 0, order: int = 0) -> None:
        super().__init__()
        self.number = number
        self.timeline = timeline
        self.order = order
        self.status = PENDING
        self.time = 0

    @property
    def pending(self) -> bool:
        return self.status == PENDING

    def signal(self, status: int) -> None:
        """End it, once."""
        if self.pending:
            self.status = status
            self.time = time.monotonic_ns()
            self.happen()


class Pending(Exception):
    """A call that can't be answered yet, and has changed nothing: make it again, argument and all, once ``signal`` has
    happened or ``deadline`` (seconds of CLOCK_MONOTONIC; None: there is none) has passed."""

    def __init__(self, signal: Signal, deadline: float | None = None) -> None:
        super().__init__("wait and call again")
        self.signal = signal
        self.deadline = deadline

    def wait(self) -> None:
        """Wait in this thread until it is time to call again."""
        happened = threading.Event()
        self.signal.when_signalled(happened.set)
        left = None if self.deadline is None else max(0.0, min(self.deadline - time.monotonic(), threading.TIMEOUT_MAX))
        try:
            happened.wait(left)
        finally:
            self.signal.forget(happened.set)
