# SPDX-License-Identifier: MIT
"""How are a virtual device's jobs recorded? By a look at the buffers when a job is about to run and when it has ended,
before anybody is told; in the device's own thread.

What need not hold anybody up is looked at while the job runs, if its table says that it only reads it; and, if no
client can see it, after its end was told: beside the next job, or when nobody has called for some time.
"""

import contextlib
import errno
import threading
from collections.abc import Iterator, Sequence

from hornito.hardware.chips import Chip
from hornito.supervisor.served import ServedCaller
from hornito.trace.assembly import Begun, Ended, Placed
from hornito.trace.recorded_calls import RecordedCalls, recording
from hornito.trace.recorder import Recorder, Until, never
from hornito.trace.snapshots import FileMemory, Snapshot, Snapshots
from hornito.uapi.etnaviv import GEM_INFO, SubmitBoFlag
from hornito.uapi.sync_file import SIGNALLED
from hornito.virtual.etnaviv.buffers import Buffer
from hornito.virtual.etnaviv.client import OpenFile
from hornito.virtual.etnaviv.device import VirtualDevice
from hornito.virtual.etnaviv.scheduler import Job
from hornito.virtual.injection import FaultPlan
from hornito.virtual.standalone import standalone_device

_KILLED = -errno.ECANCELED
_WRITE = int(SubmitBoFlag.WRITE)


class _Ended:
    """A job that has ended: its fence, when that was, its status. ``after`` is what it left in buffers, by their
    numbers in its table; ``unseen`` are those that are yet to be looked at, which no client can see."""

    def __init__(self, device: "RecordedDevice", job: Job, time: int) -> None:
        self.after: dict[int, Snapshot | None] = {}
        self.unseen: dict[int, Buffer] = {}
        self._device = device
        self._time = time
        self._status = SIGNALLED if job.error is None else _KILLED
        self._job = job

    def look(self, until: Until) -> Ended | None:
        """As ``Ending.look``."""
        with self._device.looking:
            while self.unseen:
                number, buffer = self.unseen.popitem()
                self.after[number] = self._device.now_in(buffer)
                if self.unseen and until():
                    return None
            self._device.ended_unseen.discard(self)
        after = {number: snapshot for number, snapshot in self.after.items() if snapshot is not None}
        return Ended(self._time, self._status, after, _times(self._job))

    def look_at(self, buffers: set[Buffer]) -> None:
        """Somebody is about to write these. ``looking`` is held."""
        for number in [number for number, buffer in self.unseen.items() if buffer in buffers]:
            self.after[number] = self._device.now_in(self.unseen.pop(number))


@contextlib.contextmanager
def recorded_device(
    chip: Chip, path: str, program: Sequence[str], by: str, faults: FaultPlan | None = None
) -> "Iterator[RecordedDevice]":
    """A ``standalone_device``, recorded as ``recording`` does, until the block ends. Raises what both raise."""
    with recording(path, chip.name, program, by) as recorder, standalone_device(chip, faults) as device:
        yield RecordedDevice(device, recorder)


class RecordedDevice(RecordedCalls[OpenFile]):
    """A ``Served`` device (hornito.supervisor.served) that is ``device``, with all that goes in and out recorded."""

    def __init__(self, device: VirtualDevice, recorder: Recorder) -> None:
        super().__init__(device, recorder)
        self.looking = threading.RLock()
        self.ended_unseen: set[_Ended] = set()
        self._fd = device.pool.fd
        self._snapshots = Snapshots(recorder.copies)
        self._known: set[int] = set()  # offsets of buffers that no job has written since the last look
        self._job: Job | None = None  # one that has not begun to run
        self._before: dict[int, Snapshot | None] = {}  # of that, by numbers in its table
        self._written: list[tuple[int, Buffer]] = []  # what the last job may write, by numbers in its table
        self._table: dict[int, Buffer] = {}  # its buffers, by their addresses
        device.watch(self)

    def call(self, file: OpenFile, request: int, arg: int, caller: ServedCaller) -> None:
        super().call(file, request, arg, caller)
        if request & 0xFF == GEM_INFO.nr:  # its answer lets the client see a buffer
            self._look_at_unseen()

    # A ``JobWatcher``.

    def keep_to(self, processors: set[int]) -> None:
        self._recorder.keep_to(processors)

    def begins(self, job: Job) -> None:
        written = [(number, job.uses[number].buffer) for number, flags in enumerate(job.flags) if flags & _WRITE]
        with self.looking:
            if self.ended_unseen:
                buffers = {buffer for _, buffer in written}
                for ended in self.ended_unseen:
                    ended.look_at(buffers)
            for request in job.requests:  # the kernel writes there
                self._known.discard(request.buffer.offset)
            self._before = {number: self.now_in(buffer) for number, buffer in written}
            self._written = written
            self._job = job

    def runs(self, job: Job, hurry: Until = never) -> None:
        before = self._before
        with self.looking:
            self._job = None
            self._table = {use.va: use.buffer for use in job.uses}
            placed = [
                Placed(use.va, use.buffer.size, before[number] if number in before else self.now_in(use.buffer))
                for number, use in enumerate(job.uses)
            ]
        self._recorder.begun(job.fence.number, Begun(job.stream.tobytes(), tuple(placed)))
        self._recorder.rest(hurry)

    def ended(self, job: Job) -> None:
        if self._job is job:  # it came to nothing
            self.runs(job)
        with self.looking:
            ended = _Ended(self, job, self._recorder.now())
            if job.timeline is not None:
                self._note_written(job.written)
                for number, buffer in self._written:
                    if buffer.shown:
                        ended.after[number] = self._look(buffer)
                    else:
                        ended.unseen[number] = buffer
            self._written = []
            if ended.unseen:
                self.ended_unseen.add(ended)
            self._recorder.ends(job.fence.number, ended)

    def freed(self, buffer: Buffer) -> None:
        with self.looking:
            self._look_at_unseen()
            self._known.discard(buffer.offset)
            self._snapshots.forget(self._memory(buffer))

    def _look_at_unseen(self) -> None:
        with self.looking:
            for ended in list(self.ended_unseen):
                ended.look(never)

    def _note_written(self, addresses: set[int] | None) -> None:
        """What the job may have written is not known any more."""
        table = self._table
        if addresses is None or not addresses <= table.keys():  # there are other buffers in its space
            self._known.clear()
            return
        self._known.difference_update(table[address].offset for address in addresses)

    def now_in(self, buffer: Buffer) -> Snapshot | None:
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


def _times(job: Job) -> tuple[tuple[int, str, int, int], ...]:
    spans = () if job.timeline is None else job.timeline.spans
    return tuple((span.job, span.unit, round(span.start * 1e9), round(span.seconds * 1e9)) for span in spans)
