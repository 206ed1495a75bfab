# SPDX-License-Identifier: MIT
"""What becomes of a submission that the kernel has taken? It waits its turn, runs, and ends, one way or the other."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hornito.hardware.chips import Chip
from hornito.virtual.etnaviv import surroundings
from hornito.virtual.etnaviv.buffers import Buffer, Mapping
from hornito.virtual.etnaviv.client import Change, OpenFile
from hornito.virtual.etnaviv.counters import CounterRequest
from hornito.virtual.etnaviv.fences import Fence
from hornito.virtual.etnaviv.jobs import Call, ElsewhereExecutor, Executor, Worker
from hornito.virtual.faults import Stopped
from hornito.virtual.injection import Injection
from hornito.virtual.timeline import Counters, Look, Start, Timeline

_log = logging.getLogger(__name__)


class Cancelled(Exception):
    """The job did not run, through no fault of its own: the device ended, or recovery took it along."""


@dataclass(eq=False)
class Job:
    """One submission on its way: the stream, what its address space must follow first, its fence, how many pages of
    command memory it holds and where (``address``), the buffers of its table with their flags, the process that made
    it, and which counters it asks for.

    ``injection`` is what is to go wrong; ``doomed``: recovery took it along. From its begin on, ``timeline`` tells how
    far it is and ``before`` what the core's counters showed; at its end ``after`` does, ``error`` says why it was
    killed (None: it was not), ``written`` the first addresses of the buffers that it may have written (None: nobody
    knows), ``unmapped`` which changes the space could not follow, ``lines`` what the log says.
    """

    file: OpenFile
    stream: NDArray[np.uint32]
    changes: list[Change]
    fence: Fence
    pages: int
    uses: list[Mapping] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    pid: int = 0
    requests: list[CounterRequest] = field(default_factory=list)
    address: int = 0
    injection: Injection | None = None
    doomed: bool = False
    timeline: Timeline | None = None
    before: Counters = Counters()
    after: Counters = Counters()
    error: BaseException | None = None
    written: set[int] | None = None
    unmapped: list[tuple[Change, Exception]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


class JobWatcher(Protocol):
    """Who wants to see memory as jobs find it and leave it. Called in the worker's thread; none may raise, or call
    the device."""

    def keep_to(self, processors: set[int]) -> None:
        """Jobs run on others: what works for the watcher should leave those alone."""

    def begins(self, job: Job) -> None:
        """All that the job reads is in its buffers; it runs next."""

    def runs(self, job: Job, hurry: Callable[[], bool] = ...) -> None:
        """It has just begun, if it runs in another process, and ``hurry`` tells when that is done; or it is about to.
        This holds nobody up until then."""

    def ended(self, job: Job) -> None:
        """It has ended, or did not even begin (``job.error``), and nobody has been told so yet."""

    def freed(self, buffer: Buffer) -> None:
        """Nobody uses it any more."""


class Scheduler:
    """Runs jobs in order, in a thread of its own; ``executor`` is made when the first job comes, if there is none.

    ``fd`` is the file that the buffers lie in. The callers take turns.
    """

    def __init__(self, chip: Chip, executor: Executor | None, fd: int) -> None:
        self.worker = Worker()
        self.counters = Counters()  # of the core, since the beginning
        self.watcher: JobWatcher | None = None
        self._chip = chip
        self._executor = executor
        self._fd = fd
        self._look = Look()
        self._completed = 0  # the newest fence of a job that ended well
        self._running: Timeline | None = None
        self._apart = False  # the executor has been told that this thread works beside it

    def submit(self, job: Job, ended: Callable[[Job], None]) -> None:
        """Let ``job`` run after all before it; ``ended`` is then called in the worker's thread. It must not raise."""
        self.worker.put(_Turn(self, job, ended))

    def in_turn(self, function: Callable[[], None]) -> None:
        """Do it after all jobs that were submitted so far: at once if none ever was, never if one outlived the end."""
        if not self.worker.running:
            function()
        elif not self.worker.stopped:
            self.worker.put(Call(function))

    def run(self, job: Job) -> None:
        """Run one job to its end, whatever that is."""
        try:
            job.unmapped = job.file.apply(job.changes, self._fd)
            if job.doomed:
                raise Cancelled
            start = Start(job.address, self._completed, self._look, job.injection)
            job.timeline = self._running = Timeline(self._chip, start)
            job.before = job.after = self.counters
            if job.unmapped:
                raise job.unmapped[0][1]
            if self._executor is None:
                self._executor = _virtual_npu(self._chip)
            surroundings.before(job.uses, job.requests, job.before, self._fd)
            self._execute(self._executor, job, job.timeline)
            self._completed = job.fence.number
        except Stopped:
            job.error = Cancelled()
        except BaseException as error:  # whatever it is, the client must not take the job for done
            job.error = error
        if job.timeline is not None:
            self._running = None
            self._look = job.timeline.progress.look
            job.after = self.counters = self.counters.later(job.timeline.progress, self._chip)
            try:
                surroundings.after(job.uses, [] if job.error else job.requests, job.after, self._fd)
            except Exception as error:
                job.error = job.error or error
        self._tell_end(job)

    def cancel(self, job: Job) -> None:
        """It never runs."""
        job.error = Cancelled()
        self._tell_end(job)

    def _execute(self, executor: Executor, job: Job, timeline: Timeline) -> None:
        space, watcher = job.file.space(), self.watcher
        if watcher is None:
            executor.run(space, job.stream, timeline)
            return
        self._tell(watcher.begins, job)
        space.written()
        try:
            if isinstance(executor, ElsewhereExecutor):
                if not self._apart:
                    watcher.keep_to(executor.keep_apart())
                    self._apart = True
                executor.run_beside(
                    space, job.stream, timeline, lambda hurry: self._tell(lambda job: watcher.runs(job, hurry), job)
                )
            else:
                self._tell(watcher.runs, job)
                executor.run(space, job.stream, timeline)
        finally:
            job.written = space.written()

    def _tell_end(self, job: Job) -> None:
        if self.watcher is not None:
            self._tell(self.watcher.ended, job)

    @staticmethod
    def _tell(what: Callable[[Job], None], job: Job) -> None:
        try:
            what(job)
        except Exception:  # to look on is a help; its end must not depend on it
            _log.exception("the job could not be watched")

    def stop(self) -> None:
        """Cancel what has not begun, and let what runs end: at its next job in this process, at once in another."""
        if self.worker.foreign or self.worker.stopped:
            return
        self.worker.refuse()
        running = self._running
        if running is not None:
            running.stop()
        if self._executor is not None:
            self._executor.close()
        self.worker.stop()


class _Turn:
    """A job's place in the line."""

    def __init__(self, scheduler: Scheduler, job: Job, ended: Callable[[Job], None]) -> None:
        self._scheduler = scheduler
        self._job = job
        self._ended = ended

    def run(self) -> None:
        self._scheduler.run(self._job)
        self._ended(self._job)

    def cancel(self) -> None:
        self._scheduler.cancel(self._job)
        self._ended(self._job)


def _virtual_npu(chip: Chip) -> Executor:
    from hornito.virtual.npu.executor import Executor as VirtualNpu

    return VirtualNpu(chip)
