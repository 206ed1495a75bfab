# SPDX-License-Identifier: MIT
"""What becomes of a submission that the kernel has taken? It waits its turn, runs, and ends, one way or the other."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hornito.hardware.chips import Chip
from hornito.virtual import surroundings
from hornito.virtual.buffers import Mapping
from hornito.virtual.client import Change, OpenFile
from hornito.virtual.counters import CounterRequest
from hornito.virtual.fences import Fence
from hornito.virtual.jobs import Call, Executor, Worker
from hornito.virtual.timeline import Counters


class Cancelled(Exception):
    """The device ended before the job began."""


@dataclass(eq=False)
class Job:
    """One submission on its way: the stream, what its address space must follow first, its fence, how many pages of
    command memory it holds, the buffers of its table, the process that made it, and which counters it asks for.

    ``before`` and ``after``: what the core's counters showed. At its end ``error`` says why it was killed (None: it was
    not), ``unmapped`` which changes the space could not follow.
    """

    file: OpenFile
    stream: NDArray[np.uint32]
    changes: list[Change]
    fence: Fence
    pages: int
    uses: list[Mapping] = field(default_factory=list)
    pid: int = 0
    requests: list[CounterRequest] = field(default_factory=list)
    before: Counters = Counters()
    after: Counters = Counters()
    error: BaseException | None = None
    unmapped: list[tuple[Change, Exception]] = field(default_factory=list)


class Scheduler:
    """Runs jobs in order, in a thread of its own; ``executor`` is made when the first job comes, if there is none.

    ``fd`` is the file that the buffers lie in. The callers take turns.
    """

    def __init__(self, chip: Chip, executor: Executor | None, fd: int) -> None:
        self.worker = Worker()
        self._chip = chip
        self._executor = executor
        self._fd = fd

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
            if job.unmapped:
                raise job.unmapped[0][1]
            if self._executor is None:
                self._executor = _virtual_npu(self._chip)
            surroundings.before(job.uses, job.requests, job.before, self._fd)
            self._executor.run(job.file.space(), job.stream)
        except BaseException as error:  # whatever it is, the client must not take the job for done
            job.error = error
        surroundings.after(job.uses, [] if job.error else job.requests, job.after, self._fd)


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
        self._job.error = Cancelled()
        self._ended(self._job)


def _virtual_npu(chip: Chip) -> Executor:
    from hornito.virtual.executor import Executor as VirtualNpu

    return VirtualNpu(chip)
