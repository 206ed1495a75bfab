# SPDX-License-Identifier: MIT
"""How are a virtual device's jobs recorded? By a look at the buffers when a job is about to run and when it has ended,
before anybody is told; in the device's own thread.

What need not hold anybody up is looked at while the job runs, if its table says that it only reads it; and, if no
client can see it, after its end was told: beside the next job, or when nobody has called for some time.
"""

import errno
import threading
from dataclasses import dataclass, field

from hornito.supervisor.served import ServedCaller
from hornito.trace.recorded_calls import RecordedCalls
from hornito.trace.recorder import Begun, Ended, Placed, Recorder, writes
from hornito.trace.snapshots import FileMemory, Snapshot, Snapshots
from hornito.uapi.etnaviv import GEM_INFO
from hornito.uapi.sync_file import SIGNALLED
from hornito.virtual.etnaviv.buffers import Buffer
from hornito.virtual.etnaviv.client import OpenFile
from hornito.virtual.etnaviv.device import VirtualDevice
from hornito.virtual.etnaviv.scheduler import Job

_KILLED = -errno.ECANCELED


@dataclass
class _Ended:
    """A job whose end was told: its fence, when that was, its status, what it left in buffers by their numbers in its
    table, and those that have yet to be looked at, which no client can see."""

    fence: int
    time: int
    status: int
    after: dict[int, Snapshot | None] = field(default_factory=dict)
    unseen: list[tuple[int, Buffer]] = field(default_factory=list)


class RecordedDevice(RecordedCalls[OpenFile]):
    """A ``Served`` device (hornito.supervisor.served) that is ``device``, with all that goes in and out recorded."""

    def __init__(self, device: VirtualDevice, recorder: Recorder) -> None:
        super().__init__(device, recorder)
        self._fd = device.pool.fd
        self._snapshots = Snapshots(recorder.copies)
        self._known: set[int] = set()  # offsets of buffers that no job has written since the last look
        self._job: Job | None = None  # one that has not begun to run
        self._before: dict[int, Snapshot | None] = {}  # of that, by numbers in its table
        self._last: _Ended | None = None
        self._looking = threading.RLock()
        recorder.at_end(self._settle)
        device.watch(self)

    def call(self, file: OpenFile, request: int, arg: int, caller: ServedCaller) -> None:
        super().call(file, request, arg, caller)
        if request & 0xFF == GEM_INFO.nr:  # its answer lets the client see a buffer
            self._settle()

    # A ``JobWatcher``.

    def begins(self, job: Job) -> None:
        with self._looking:
            for request in job.requests:  # the kernel writes there
                self._known.discard(request.buffer.offset)
            self._job = job
            self._before = {
                number: self._now(use.buffer) for number, use in enumerate(job.uses) if writes(job.flags[number])
            }

    def runs(self, job: Job) -> None:
        self._job = None
        self._settle()
        placed: list[Placed] = []
        with self._looking:
            for number, use in enumerate(job.uses):
                before = self._before[number] if number in self._before else self._now(use.buffer)
                placed.append(Placed(use.va, use.buffer.size, before))
        self._recorder.begun(job.fence.number, Begun(job.stream.tobytes(), tuple(placed)))

    def ended(self, job: Job) -> None:
        if self._job is job:  # it came to nothing
            self.runs(job)
        with self._looking:
            self._settle()
            ended = _Ended(job.fence.number, self._recorder.now(), SIGNALLED if job.error is None else _KILLED)
            if job.timeline is not None:
                self._note_written(job)
                for number, use in enumerate(job.uses):
                    if not writes(job.flags[number]):
                        continue
                    if use.buffer.shown:
                        ended.after[number] = self._look(use.buffer)
                    else:
                        ended.unseen.append((number, use.buffer))
            self._last = ended

    def freed(self, buffer: Buffer) -> None:
        with self._looking:
            self._settle()
            self._known.discard(buffer.offset)
            self._snapshots.forget(self._memory(buffer))

    # What nobody had to wait for.

    @property
    def unfinished(self) -> bool:
        return self._last is not None or super().unfinished

    def rest(self) -> None:
        self._settle()
        super().rest()

    def _settle(self) -> None:
        """Look at what the last job wrote and no client can see, and record its end."""
        with self._looking:
            last, self._last = self._last, None
            if last is None:
                return
            for number, buffer in last.unseen:
                last.after[number] = self._now(buffer)
            after = {number: snapshot for number, snapshot in last.after.items() if snapshot is not None}
            self._recorder.ended(last.fence, Ended(last.time, last.status, after))

    def _note_written(self, job: Job) -> None:
        """What the job may have written is not known any more."""
        written = job.written
        for use in job.uses:
            if written is None or use.va in written:
                self._known.discard(use.buffer.offset)
        if written is None or not written.issubset(use.va for use in job.uses):  # other buffers of its space
            self._known.clear()

    def _now(self, buffer: Buffer) -> Snapshot | None:
        """What it holds; None: nobody knows.

        That is what it held at the last look, if no client was ever told where it lies, and no job has written it."""
        known = not buffer.shown and buffer.offset in self._known
        return (self._snapshots.last(buffer.offset) if known else None) or self._look(buffer)

    def _look(self, buffer: Buffer) -> Snapshot | None:
        try:
            snapshot = self._snapshots.take(self._memory(buffer))
        except OSError:  # no more mappings, or no memory
            return None
        self._known.add(buffer.offset)
        return snapshot

    def _memory(self, buffer: Buffer) -> FileMemory:
        return FileMemory(self._fd, buffer.offset, buffer.size)
