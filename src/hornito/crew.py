# SPDX-License-Identifier: MIT
"""Who shares a piece of work? A few threads, started when first needed, that also work while Python waits for its end.

The pools of ``concurrent.futures`` take no more work once the main thread has ended, though Python still waits for a
program's other threads then. These do.
"""

import contextlib
import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future  # the value alone: it knows nothing of a pool
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _Share:
    work: Callable[[], Any]
    found: "Future[Any]" = field(default_factory=Future)

    def do(self) -> None:
        try:
            self.found.set_result(self.work())
        except BaseException as error:
            self.found.set_exception(error)


Shares = queue.SimpleQueue[_Share | None]  # None: a thread's last


class Crew:
    """So many threads, the caller's among them. The others start with the first work for them; they end with
    ``close``, or with the last reference to the crew. Where the system gives no thread, fewer do the work."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self._shares: Shares = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._begun = False
        self._lock = threading.Lock()  # by who starts threads, puts shares or ends all
        self._end = weakref.finalize(self, _end, self._shares, self._threads)  # at exit too

    def map(self, shares: Sequence[Callable[[], T]]) -> list[T]:
        """What each share of the work gives. Raises what one raises, once all have ended."""
        others = self._hand_out(shares[1:]) if len(shares) > 1 else None
        if others is None:
            return [share() for share in shares]
        try:
            first = shares[0]()
        finally:
            for other in others:
                other.exception()
        return [first, *(other.result() for other in others)]

    def _hand_out(self, shares: Sequence[Callable[[], T]]) -> "list[Future[T]] | None":
        """What will come of shares that others do; None where there is nobody else."""
        with self._lock:
            self._begin()
            if not self._threads or not self._end.alive:
                return None
            given = [_Share(share) for share in shares]
            for share in given:
                self._shares.put(share)
        return [share.found for share in given]

    def _begin(self) -> None:
        if self._begun or not self._end.alive:
            return
        self._begun = True
        with contextlib.suppress(RuntimeError):  # no more threads for this user, or none this late
            for number in range(1, self.workers):
                thread = threading.Thread(
                    target=_work, args=(self._shares,), name=f"hornito crew {number}", daemon=True
                )
                thread.start()
                self._threads.append(thread)

    def close(self) -> None:
        """End the threads, after what they do. Who still calls ``map`` does all of it."""
        with self._lock:
            self._end()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()


def _work(shares: Shares) -> None:
    while (share := shares.get()) is not None:
        share.do()
        del share  # what it holds is not the thread's to keep


def _end(shares: Shares, threads: Sequence[threading.Thread]) -> None:
    for _ in threads:
        shares.put(None)


ALONE = Crew()
