# SPDX-License-Identifier: MIT
"""Which calls wait for a job, and when must each be looked at again? When its fence signals, when its deadline passes,
or when a signal wants its thread."""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hornito.supervisor.caller import interruption
from hornito.supervisor.notifications import Notification
from hornito.virtual.etnaviv.fences import Pending

_LOOK = 0.05  # seconds between two looks for signals: the kernel does not tell us of them


@dataclass(frozen=True, eq=False)
class _Waiter:
    call: Notification
    pending: Pending
    happened: Callable[[], None]

    def is_late(self, now: float) -> bool:
        return self.pending.deadline is not None and self.pending.deadline <= now


class Waiting:
    """Calls that could not be answered yet. ``fd`` polls readable when a fence of one has signalled, in any thread;
    ``calls`` has them, by their ids."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.calls: dict[int, _Waiter] = {}
        self._lock = threading.Lock()
        self._ready: deque[int] = deque()
        self._next_look = 0.0

    def add(self, call: Notification, pending: Pending) -> None:
        """Let ``call`` wait."""

        def happened() -> None:
            with self._lock:  # a fence that is signalling can't be kept from calling, but we may have closed
                if self.fd >= 0:
                    self._ready.append(call.id)
                    os.eventfd_write(self.fd, 1)

        if not self.calls:
            self._next_look = time.monotonic() + _LOOK
        self.calls[call.id] = _Waiter(call, pending, happened)
        pending.signal.when_signalled(happened)

    def timeout(self) -> float | None:
        """Seconds until some call must be looked at again even if no fence signals; None: no call waits."""
        if not self.calls:
            return None
        deadlines = [w.pending.deadline for w in self.calls.values() if w.pending.deadline is not None]
        return max(0.0, min([self._next_look, *deadlines]) - time.monotonic())

    def due(self) -> tuple[list[Notification], list[tuple[Notification, int]]]:
        """The calls to make again; and those to end because a signal wants their threads, with the errno that they are
        to give. None of them waits any more.

        A call whose thread has died is among the first, and making it again shows that it has gone.
        """
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)
        again = [self._take(self._ready.popleft()) for _ in range(len(self._ready))]
        now = time.monotonic()
        again += [self._take(identity) for identity in [w.call.id for w in self.calls.values() if w.is_late(now)]]
        signalled: list[tuple[Notification, int]] = []
        if self.calls and now >= self._next_look:
            self._next_look = now + _LOOK
            found = [(waiter.call, interruption(waiter.call.pid)) for waiter in self.calls.values()]
            signalled = [(call, code) for call, code in found if code]
            for call, _ in signalled:
                self._take(call.id)
        return [call for call in again if call is not None], signalled

    def close(self) -> None:
        for identity in list(self.calls):
            self._take(identity)
        with self._lock:
            os.close(self.fd)
            self.fd = -1

    def _take(self, identity: int) -> Notification | None:
        waiter = self.calls.pop(identity, None)
        if waiter is None:
            return None
        waiter.pending.signal.forget(waiter.happened)
        return waiter.call
