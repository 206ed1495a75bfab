# SPDX-License-Identifier: MIT
"""Whose job is next? The client's that has waited for its turn longest, however many jobs others have sent."""

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Generic, TypeVar

from hornito.errors import DeviceError

T = TypeVar("T")
_ENDING = "the server is ending"


class RoundRobin(Generic[T]):
    """Things that wait, by client: clients take turns, each one's own things go in order. Not for several threads."""

    def __init__(self) -> None:
        self._members: Counter[str] = Counter()  # connections of a client
        self._served: dict[str, int] = {}  # when each client had its last turn
        self._waiting: dict[str, deque[tuple[int, T]]] = {}
        self._turn = 0
        self._number = 0

    def join(self, client: str) -> None:
        """A connection of ``client`` begins. A new client goes before those that had the last turns, but not before
        those that have waited for longer."""
        self._members[client] += 1
        self._served.setdefault(client, self._turn - 1)

    def leave(self, client: str) -> None:
        """It ends; nothing of it waits any more."""
        self._members[client] -= 1
        if self._members[client] <= 0:
            del self._members[client], self._served[client]

    def put(self, client: str, thing: T) -> None:
        """Let it wait. ``client`` has joined."""
        self._number += 1
        self._waiting.setdefault(client, deque()).append((self._number, thing))

    def take(self) -> T | None:
        """The next thing, or None."""
        if not self._waiting:
            return None
        client = min(self._waiting, key=lambda name: (self._served[name], self._waiting[name][0][0]))
        waiting = self._waiting[client]
        _, thing = waiting.popleft()
        if not waiting:
            del self._waiting[client]
        self._turn += 1
        self._served[client] = self._turn
        return thing

    def __len__(self) -> int:
        return sum(len(waiting) for waiting in self._waiting.values())

    @property
    def clients(self) -> int:
        """How many have joined."""
        return len(self._members)


class _Ticket:
    """Somebody who waits for a turn."""

    def __init__(self) -> None:
        self._called = threading.Lock()
        self._called.acquire()
        self.void = False

    def call(self, *, void: bool = False) -> None:
        """It is their turn; or there will be none."""
        self.void = void
        self._called.release()

    def wait(self) -> None:
        self._called.acquire()


class Turns:
    """Who may use the device: one thread at a time, in the order of RoundRobin. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: RoundRobin[_Ticket] = RoundRobin()
        self._stopped = False
        self._free = threading.Event()  # nobody has the turn
        self._free.set()

    def join(self, client: str) -> None:
        """A connection of ``client`` begins."""
        with self._lock:
            self._queue.join(client)

    def leave(self, client: str) -> None:
        """It ends."""
        with self._lock:
            self._queue.leave(client)

    @property
    def clients(self) -> int:
        """How many clients there are."""
        with self._lock:
            return self._queue.clients

    @property
    def waiting(self) -> int:
        """How many jobs wait for their turn."""
        with self._lock:
            return len(self._queue)

    def do(self, client: str, work: Callable[[], T], wanted: Callable[[], bool] = lambda: True) -> T:
        """The result of ``work``, in the caller's thread, when its turn has come; left out if it is not ``wanted`` any
        more by then. Raises what ``work`` raises, and DeviceError once the turns are stopped."""
        ticket = _Ticket()
        with self._lock:
            if self._stopped:
                raise DeviceError(_ENDING)
            self._queue.put(client, ticket)
            if self._free.is_set():
                self._next()
        ticket.wait()
        if ticket.void:
            raise DeviceError(_ENDING)
        try:
            if not wanted():
                raise DeviceError("nobody waits for this job any more")
            return work()
        finally:
            with self._lock:
                self._next()

    def stop(self, timeout: float) -> bool:
        """Nobody gets a turn any more, or waits for one. Whether who had it has ended within so many seconds."""
        with self._lock:
            self._stopped = True
            while (ticket := self._queue.take()) is not None:
                ticket.call(void=True)
        return self._free.wait(timeout)

    def _next(self) -> None:
        """Pass the turn on; the lock is held."""
        ticket = self._queue.take()
        if ticket is None:
            self._free.set()
        else:
            self._free.clear()
            ticket.call()
