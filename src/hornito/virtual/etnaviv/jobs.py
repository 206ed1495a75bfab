# SPDX-License-Identifier: MIT
"""Who runs the jobs, and in which order? One thread of the virtual kernel, in the order of submission.

Whatever may touch what a running job uses (mapping, unmapping, giving memory back) waits in the same line.
"""

import os
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hornito.virtual.timeline import Timeline

STOP_SECONDS = 5.0  # how long stopping waits for the job that runs


class AddressSpace(Protocol):
    """A client's device memory, as far as the kernel is concerned (``hornito.virtual.memory`` has the real one)."""

    def map(self, va: int, size: int, fd: int, offset: int) -> None:
        """Show a part of a file at a device address."""

    def unmap(self, va: int) -> None:
        """Take away the buffer that begins there."""

    def close(self) -> None:
        """Take all away."""

    def written(self) -> set[int] | None:
        """First addresses of the buffers that jobs may have written since this was asked last; None: nobody knows."""


class Executor(Protocol):
    """What runs a stream; any exception kills the job."""

    def run(self, space: Any, stream: NDArray[np.uint32], timeline: Timeline) -> None:
        """Run the whole stream in that memory. ``timeline`` is told of each job and of the end; it may raise. Raises
        Fault for what the hardware would not do."""

    def close(self) -> None:
        """Any thread may call it, and it may be called again: what runs elsewhere ends, and nothing runs any more."""


@runtime_checkable
class ElsewhereExecutor(Executor, Protocol):
    """One that leaves its caller free while a stream runs."""

    def keep_apart(self) -> set[int]:
        """The calling thread will work while streams run: neither should wait for the other. Which processors are left
        for that."""

    def run_beside(self, space: Any, stream: NDArray[np.uint32], timeline: Timeline, beside: "Beside") -> None:
        """As ``run``; does ``beside``, which must not raise, once it has begun. Perhaps never."""


Beside = Callable[[Callable[[], bool]], None]  # what it is given tells whether it holds somebody up


class Task(Protocol):
    """Something for the thread to do; ``cancel`` is called instead if the kernel stops first. Neither may raise."""

    def run(self) -> None: ...

    def cancel(self) -> None: ...


class Call:
    """A task that can't be left out."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.run = function
        self.cancel = function


class Worker:
    """Does tasks one after the other, in a thread that starts with the first and ends with ``stop``."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    @property
    def foreign(self) -> bool:
        """This process is a forked child of the worker's."""
        return os.getpid() != self._process

    @property
    def stopped(self) -> bool:
        """It takes no more tasks."""
        return self._stopped

    @property
    def inside(self) -> bool:
        """The caller is the worker's own thread."""
        return threading.current_thread() is self._thread

    @property
    def running(self) -> bool:
        """The thread has not ended (a forked child has none)."""
        return self._thread is not None and self._thread.is_alive()

    def put(self, task: Task) -> None:
        """Let ``task`` be done after all before it. The callers take turns."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="hornito virtual NPU", daemon=True)
            self._thread.start()
        self._tasks.put(task)

    def refuse(self) -> None:
        """Take no more tasks, and cancel those that have not begun."""
        self._stopped = True

    def stop(self) -> None:
        """Cancel what has not begun, and wait a while for what has. A forked child does nothing: it has no thread."""
        thread = self._thread
        if self.foreign:
            return
        self._stopped = True
        if thread is not None:
            self._tasks.put(None)
            if not self.inside:
                thread.join(STOP_SECONDS)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            (task.cancel if self._stopped else task.run)()
            del task  # it may be the last to hold the kernel
