# SPDX-License-Identifier: MIT
"""Whose job is next? The client's that has waited for its turn longest, however many jobs others have sent."""

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Generic, TypeVar

from hornito.errors import DeviceError

T = TypeVar("T")


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


class _Job:
    """Something to do in the device's thread, and how it went."""

    def __init__(self, work: Callable[[], object], wanted: Callable[[], bool]) -> None:
        self._work = work
        self._wanted = wanted
        self.result: object = None
        self.error: BaseException | None = None
        self.done = False

    def do(self) -> None:
        try:
            if not self._wanted():
                raise DeviceError("nobody waits for this job any more")
            self.result = self._work()
        except BaseException as error:
            self.error = error


class Turns:
    """One thread that does everything that needs the device, a job at a time, in the order of RoundRobin."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: RoundRobin[_Job] = RoundRobin()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="hornito lent device", daemon=True)
        self._thread.start()

    def join(self, client: str) -> None:
        """A connection of ``client`` begins."""
        with self._changed:
            self._queue.join(client)

    def leave(self, client: str) -> None:
        """It ends."""
        with self._changed:
            self._queue.leave(client)

    @property
    def clients(self) -> int:
        """How many clients there are."""
        with self._changed:
            return self._queue.clients

    @property
    def waiting(self) -> int:
        """How many jobs wait for their turn."""
        with self._changed:
            return len(self._queue)

    def do(self, client: str, work: Callable[[], T], wanted: Callable[[], bool] = lambda: True) -> T:
        """The result of ``work``, when its turn has come; left out if it is not ``wanted`` any more by then.

        Raises what ``work`` raises, and DeviceError once the turns are stopped, even if the job still runs.
        """
        job = _Job(work, wanted)
        with self._changed:
            if not self._stopped:
                self._queue.put(client, job)
                self._changed.notify_all()
            self._changed.wait_for(lambda: job.done or self._stopped)
            if not job.done:
                raise DeviceError("the server is ending")
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]  # a job's result is what its work returns

    def stop(self, timeout: float) -> bool:
        """No job begins any more, and nobody waits. Whether the one that ran has ended within so many seconds."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._changed:
                job = None
                while not self._stopped and (job := self._queue.take()) is None:
                    self._changed.wait()
            if job is None:
                return
            job.do()
            with self._changed:
                job.done = True
                self._changed.notify_all()
            del job  # it holds a client's arrays
