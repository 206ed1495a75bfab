# SPDX-License-Identifier: MIT
"""How are a virtual device's jobs recorded? By a look at the buffers when a job is about to run and when it has ended,
before anybody is told; in the device's own thread.

What need not hold anybody up is looked at while the job runs, if its table says that it only reads it; and after its
end was told, if no client can see it.
"""

import errno
import threading

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


class RecordedDevice(RecordedCalls[OpenFile]):
    """A ``Served`` device (hornito.supervisor.served) that is ``device``, with all that goes in and out recorded."""

    def __init__(self, device: VirtualDevice, recorder: Recorder) -> None:
        super().__init__(device, recorder)
        self._fd = device.pool.fd
        self._snapshots = Snapshots(recorder.copies)
        self._known: set[int] = set()  # offsets of buffers that no job has written since the last look
        self._job: Job | None = None  # one that has not begun to run
        self._before: dict[int, Snapshot | None] = {}  # of that, by numbers in its table
        self._after: dict[int, Snapshot | None] = {}  # of the job that has ended
        self._unseen: dict[int, Buffer] = {}  # what it wrote and no client can see
        self._at_rest = threading.Event()  # nothing is unseen
        self._at_rest.set()
        self._time = 0  # of its end
        device.watch(self)

    def call(self, file: OpenFile, request: int, arg: int, caller: ServedCaller) -> None:
        super().call(file, request, arg, caller)
        if request & 0xFF == GEM_INFO.nr:  # its answer lets the client see a buffer
            self._at_rest.wait()

    # A ``JobWatcher``.

    def begins(self, job: Job) -> None:
        for request in job.requests:  # the kernel writes there
            self._known.discard(request.buffer.offset)
        self._job = job
        self._before = {
            number: self._look(use.buffer)
            for number, use in enumerate(job.uses)
            if writes(job.flags[number]) and self._unchanged(use.buffer) is None
        }

    def runs(self, job: Job) -> None:
        self._job = None
        placed: list[Placed] = []
        for number, use in enumerate(job.uses):
            before = self._before[number] if number in self._before else self._now(use.buffer)
            placed.append(Placed(use.va, use.buffer.size, before))
        self._recorder.begun(job.fence.number, Begun(job.stream.tobytes(), tuple(placed)))

    def ended(self, job: Job) -> None:
        if self._job is job:  # it came to nothing
            self.runs(job)
        self._time = self._recorder.now()
        self._after = {}
        self._unseen.clear()
        if job.timeline is None:
            return
        self._note_written(job)
        self._at_rest.clear()
        for number, use in enumerate(job.uses):
            if writes(job.flags[number]):
                if use.buffer.shown:
                    self._after[number] = self._look(use.buffer)
                else:
                    self._unseen[number] = use.buffer

    def told(self, job: Job) -> None:
        try:
            self._after.update((number, self._now(buffer)) for number, buffer in self._unseen.items())
        finally:
            self._at_rest.set()
        after = {number: snapshot for number, snapshot in self._after.items() if snapshot is not None}
        status = SIGNALLED if job.error is None else _KILLED
        self._recorder.ended(job.fence.number, Ended(self._time, status, after, _times(job)))

    def freed(self, buffer: Buffer) -> None:
        self._known.discard(buffer.offset)
        self._snapshots.forget(self._memory(buffer))

    def _note_written(self, job: Job) -> None:
        """What the job may have written is not known any more."""
        written = job.written
        for use in job.uses:
            if written is None or use.va in written:
                self._known.discard(use.buffer.offset)
        if written is None or not written.issubset(use.va for use in job.uses):  # other buffers of its space
            self._known.clear()

    def _now(self, buffer: Buffer) -> Snapshot | None:
        """What it holds; None: nobody knows."""
        return self._unchanged(buffer) or self._look(buffer)

    def _unchanged(self, buffer: Buffer) -> Snapshot | None:
        """What it held at the last look, if nobody can have changed it: no client was ever told where it lies, and no
        job has written it."""
        if buffer.shown or buffer.offset not in self._known:
            return None
        return self._snapshots.last(self._memory(buffer))

    def _look(self, buffer: Buffer) -> Snapshot | None:
        try:
            snapshot = self._snapshots.take(self._memory(buffer))
        except OSError:  # no more mappings, or no memory
            return None
        self._known.add(buffer.offset)
        return snapshot

    def _memory(self, buffer: Buffer) -> FileMemory:
        return FileMemory(self._fd, buffer.offset, buffer.size)


def _times(job: Job) -> tuple[tuple[int, str, int, int], ...]:
    spans = () if job.timeline is None else job.timeline.spans
    return tuple((span.job, span.unit, round(span.start * 1e9), round(span.seconds * 1e9)) for span in spans)
