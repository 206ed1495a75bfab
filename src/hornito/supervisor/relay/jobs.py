# SPDX-License-Identifier: MIT
"""How is memory seen as a job of the machine's own device finds it and leaves it? By handing one job over at a time.

A thread looks at the buffers before a submit is made, while no other job of ours runs, and again when its fence has
signalled, before the waiting calls of clients are answered. Who submits meanwhile waits his turn, as for a full ring.
"""

import contextlib
import ctypes
import enum
import errno
import functools
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from hornito.supervisor.relay.buffers import Buffer
from hornito.supervisor.relay.files import RelayedFile
from hornito.uapi.etnaviv import SubmitBoFlag
from hornito.uapi.kernel import Kernel
from hornito.uapi.sync_file import PENDING, SYNC_IOC_FILE_INFO, SyncFenceInfo, SyncFileInfo
from hornito.virtual.etnaviv.fences import Signal

_log = logging.getLogger(__name__)
_HOLD = 5.0  # seconds that a submit waits for jobs before it, which may wait for what comes after it
_GRANT = 1.0  # seconds in which a submit that may go on does so, if its caller still lives
_FAREWELL = 2.0  # seconds that closing waits for jobs that run


@dataclass(frozen=True)
class Use:
    """A line of a submit's buffer table; ``buffer`` is None where nobody knows what the handle means."""

    flags: int
    handle: int
    address: int
    buffer: Buffer | None


class Turn(enum.Enum):
    """How far a submission has come: it waits for its turn; may be made; is being made; came too late for it."""

    ASKED, READY, TAKEN, MISSED = range(4)


@dataclass(eq=False)
class RelayedJob:
    """A submission on its way. ``ready``: memory has been looked at, it may be made if ``Jobs.take`` says so;
    ``settled``: it has ended, and that has been recorded. ``busy``: buffers that other jobs may be writing.

    From when it was made ``fence`` and ``sync_fd``, a sync file of ours, stand for it; ``started`` is when it was
    handed in, ``ended`` when it signalled (ns of CLOCK_MONOTONIC), ``status`` the sync file's.
    """

    file: RelayedFile
    pipe: int
    stream: bytes
    uses: tuple[Use, ...]
    asked: float = field(default_factory=time.monotonic)
    ready: Signal = field(default_factory=Signal)
    turn: Turn = Turn.ASKED
    busy: frozenset[int] = frozenset()
    fence: int = 0
    sync_fd: int = -1
    started: int = 0
    ended: int = 0
    status: int = PENDING
    settled: Signal = field(default_factory=Signal)

    @property
    def key(self) -> int:
        """Names its fence among those of all cores."""
        return self.pipe << 32 | self.fence


class RelayWatcher(Protocol):
    """Who looks at memory; none of it may raise. All in one thread, but for ``begins``."""

    def prepares(self, job: RelayedJob) -> None:
        """It is handed in next."""

    def begins(self, job: RelayedJob) -> None:
        """It was, and has a fence."""

    def ended(self, job: RelayedJob) -> None:
        """It has ended, and no call of a client that waits for it has been answered."""

    def dropped(self, job: RelayedJob) -> None:
        """It was not handed in after all."""

    def forgets(self, buffer: Buffer) -> None:
        """No job will use that buffer again."""


class Jobs:
    """All jobs on their way, and the thread that sees to them. ``logged`` is told each line of the kernel's log."""

    def __init__(self, kernel: Kernel, watcher: RelayWatcher) -> None:
        self.logged: Callable[[str], None] | None = None
        self._kernel = kernel
        self._watcher = watcher
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._commands: deque[Callable[[], None]] = deque()
        self._unsettled: list[RelayedJob] = []  # by us, in the order of their submits
        # The thread's own.
        self._asking: deque[RelayedJob] = deque()
        self._granted: tuple[RelayedJob, float] | None = None
        self._running: list[RelayedJob] = []
        self._unused: list[tuple[RelayedFile, Callable[[], None]]] = []  # what to do when no job of a file runs
        self._stop_at: float | None = None
        self._thread = threading.Thread(target=self._work, name="relayed jobs", daemon=True)
        self._thread.start()

    @property
    def unsettled(self) -> list[RelayedJob]:
        """Jobs that were handed in and whose end has not been recorded yet."""
        with self._lock:
            return list(self._unsettled)

    def ask(self, job: RelayedJob) -> None:
        """Let ``job`` become ready when its turn comes."""
        self._tell(lambda: self._asking.append(job))

    def take(self, job: RelayedJob) -> bool:
        """Whether it may be made now; then it must be, or abandoned. If not, wait for its ``ready`` of now.

        What was seen of memory for one that comes too late is true no more: it has to wait for another turn.
        """
        with self._lock:
            if job.turn is Turn.READY:
                job.turn = Turn.TAKEN
            missed = job.turn is Turn.MISSED
            if missed:
                job.turn, job.ready, job.asked = Turn.ASKED, Signal(), time.monotonic()
        if missed:
            self.ask(job)
        return job.turn is Turn.TAKEN

    def submitted(self, job: RelayedJob) -> None:
        """It was handed in."""
        with self._lock:
            self._unsettled.append(job)
        self._watcher.begins(job)

        def runs() -> None:
            self._end_grant(job)
            self._running.append(job)

        self._tell(runs)

    def abandon(self, job: RelayedJob) -> None:
        """It was not handed in, and won't be."""

        def forget() -> None:
            self._end_grant(job)
            if job in self._asking:
                self._asking.remove(job)
            self._watcher.dropped(job)

        self._tell(forget)

    def forget(self, file: RelayedFile, buffer: Buffer) -> None:
        """The buffer of that file is no longer looked at once no job uses it."""
        self._tell(lambda: self._unused.append((file, lambda: self._watcher.forgets(buffer))))

    def release(self, file: RelayedFile) -> None:
        """Nobody has that file any more: close it once no job of it runs."""

        def close() -> None:
            for buffer in file.buffers:
                self._watcher.forgets(buffer)
            self._kernel.close(file.fd)

        self._tell(lambda: self._unused.append((file, close)))

    def close(self) -> None:
        """Wait a while for jobs that run, and stop."""

        def stop() -> None:
            self._stop_at = time.monotonic() + _FAREWELL

        self._tell(stop)
        self._thread.join()
        os.close(self._wake)

    def _tell(self, command: Callable[[], None]) -> None:
        with self._lock:
            self._commands.append(command)
        os.eventfd_write(self._wake, 1)

    # The thread.

    def _work(self) -> None:
        while self._stop_at is None or (self._running and time.monotonic() < self._stop_at):
            self._wait()
            while self._commands:
                self._guard(self._commands.popleft())
            self._tidy_up()
            self._grant()
        for job in self._running:  # nobody will learn how they end
            self._guard(functools.partial(self._kernel.close, job.sync_fd))
        self._running.clear()
        self._tidy_up()

    def _wait(self) -> None:
        """Until there is something to do; jobs that have ended meanwhile are seen to."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        jobs = {job.sync_fd: job for job in self._running}
        for fd in jobs:
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(self._timeout()):
            if fd == self._wake:
                os.eventfd_read(self._wake)
            else:
                self._end(jobs[fd])

    def _timeout(self) -> int | None:
        """In milliseconds."""
        if self._stop_at is not None:
            return 100
        if not self._asking:
            return None
        until = self._asking[0].asked + _HOLD if self._running else 0.0
        if self._granted is not None:
            if self._granted[0].turn is Turn.TAKEN:
                return None
            until = max(until, self._granted[1])
        return max(0, int((until - time.monotonic()) * 1000) + 1)

    def _end_grant(self, job: RelayedJob) -> None:
        if self._granted is not None and self._granted[0] is job:
            self._granted = None

    def _tidy_up(self) -> None:
        busy = {job.file for job in self._running}
        left = self._unused
        self._unused = [(file, do) for file, do in left if file in busy]
        for file, do in left:
            if file not in busy:
                self._guard(do)

    def _grant(self) -> None:
        """Let the next one go, if it is time."""
        now = time.monotonic()
        if self._granted is not None and now >= self._granted[1]:
            with self._lock:  # one that is being made has its turn until it was
                if self._granted[0].turn is Turn.READY:
                    self._granted[0].turn = Turn.MISSED
                    self._granted = None
        while self._asking and self._granted is None:
            job = self._asking[0]
            if self._running and now < job.asked + _HOLD:
                return
            self._asking.popleft()
            self._granted = job, now + _GRANT
            job.busy = self._being_written()
            self._guard(functools.partial(self._watcher.prepares, job))
            with self._lock:
                job.turn = Turn.READY
            job.ready.happen()

    def _end(self, job: RelayedJob) -> None:
        self._running.remove(job)
        self._guard(functools.partial(self._look_behind, job))
        with self._lock:
            self._unsettled.remove(job)
        job.settled.happen()

    def _look_behind(self, job: RelayedJob) -> None:
        """It has ended: see how, and what it left."""
        job.status, job.ended = self._result(job)
        with contextlib.suppress(OSError):
            self._kernel.close(job.sync_fd)
        for buffer in _written([job]):
            buffer.device_wrote()
        if self.logged is not None:
            try:
                for line in self._kernel.messages(job.file.fd):
                    self.logged(line)
            except OSError:
                _log.debug("the kernel's log can't be read", exc_info=True)
        job.busy = self._being_written()
        self._watcher.ended(job)

    def _being_written(self) -> frozenset[int]:
        return frozenset(buffer.identity for buffer in _written(self._running))

    @staticmethod
    def _guard(do: Callable[[], None]) -> None:
        try:
            do()
        except Exception:  # to look on is a help; no call may wait for ever because of it
            _log.exception("a job could not be watched")

    def _result(self, job: RelayedJob) -> tuple[int, int]:
        fence = SyncFenceInfo()
        info = SyncFileInfo(num_fences=1, sync_fence_info=ctypes.addressof(fence))
        try:
            self._kernel.ioctl(job.sync_fd, SYNC_IOC_FILE_INFO.number, info)
        except OSError:
            info.status = PENDING
        if info.status == PENDING:  # it polls as if it had signalled: the device has gone
            return -errno.ECANCELED, time.monotonic_ns()
        return info.status, fence.timestamp_ns or time.monotonic_ns()


def _written(jobs: Iterable[RelayedJob]) -> Iterator[Buffer]:
    """The buffers that these jobs may write."""
    for job in jobs:
        for use in job.uses:
            if use.buffer is not None and use.flags & SubmitBoFlag.WRITE:
                yield use.buffer
