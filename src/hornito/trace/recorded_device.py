# SPDX-License-Identifier: MIT
"""How is a virtual device recorded? By one that takes its place, hands each call on, and looks at the buffers when a
job is about to run and when it has ended, before anybody is told.

A call costs its own bytes; memory is looked at in the device's own thread, and hashed and packed in the writer's.
"""

import contextlib
import errno
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from hornito.hardware.chips import Chip
from hornito.trace.process_writer import ProcessWriter
from hornito.trace.recorder import Begun, Ended, Placed, Recorder, writes
from hornito.trace.records import Header
from hornito.trace.snapshots import FileMemory, Snapshot, Snapshots
from hornito.trace.watched_call import TracedCaller, WatchedCall
from hornito.uapi.etnaviv import GEM_INFO
from hornito.uapi.ioctl import Struct
from hornito.uapi.sync_file import SIGNALLED
from hornito.virtual.etnaviv.buffers import Buffer
from hornito.virtual.etnaviv.caller import FileIdentity
from hornito.virtual.etnaviv.client import OpenFile
from hornito.virtual.etnaviv.device import VirtualDevice
from hornito.virtual.etnaviv.fences import Pending
from hornito.virtual.etnaviv.pool import Pool
from hornito.virtual.etnaviv.scheduler import Job

_KILLED = -errno.ECANCELED
_SWITCH = 0.0005  # seconds that a thread may keep the others from answering a call


@contextlib.contextmanager
def recording(path: str, chip: Chip, program: Sequence[str], by: str) -> Iterator[Recorder]:
    """Records ``program`` to the file ``path`` until the block ends; ``by`` whom.

    Raises BadInput if it can't be written, at once or at the end.
    The device should end within the block: then it is recorded how its last jobs end.
    """
    header = Header("supervisor", chip.name, tuple(program), time.time_ns(), by)
    recorder = Recorder(ProcessWriter(path, header))
    switch = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    try:
        yield recorder
    finally:
        sys.setswitchinterval(switch)
        recorder.close()


class RecordedDevice:
    """A ``Served`` device (hornito.supervisor.served) that is ``device``, with all that goes in and out recorded."""

    def __init__(self, device: VirtualDevice, recorder: Recorder) -> None:
        self._device = device
        self._recorder = recorder
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
        self.tell(None, None)

    @property
    def pool(self) -> Pool:
        return self._device.pool

    def open(self) -> OpenFile:
        return self._device.open()

    def file(self, number: int) -> OpenFile | None:
        return self._device.file(number)

    def sweep(self) -> list[OpenFile]:
        ended = self._device.sweep()
        if ended:
            self._recorder.forget_threads()
        return ended

    def call(self, file: OpenFile, request: int, arg: Struct | int, caller: TracedCaller) -> None:
        call = self._recorder.enter(caller, request, arg)
        with self._returning(call, file.number):
            self._device.call(file, request, arg, call)
            if request & 0xFF == GEM_INFO.nr:  # its answer lets the client see a buffer
                self._at_rest.wait()

    def is_sync_file(self, identity: FileIdentity) -> bool:
        return self._device.is_sync_file(identity)

    def is_dma_buf(self, identity: FileIdentity) -> bool:
        return self._device.is_dma_buf(identity)

    def sync_call(self, identity: FileIdentity, request: int, arg: Struct | int, caller: TracedCaller) -> None:
        call = self._recorder.enter(caller, request, arg)
        with self._returning(call, 0):
            self._device.sync_call(identity, request, arg, call)

    def tell(self, logged: Callable[[str], None] | None, dumped: Callable[[bytes], None] | None) -> None:
        def both(line: str) -> None:
            self._recorder.message(line)
            if logged is not None:
                logged(line)

        self._device.tell(both, dumped)

    def rearm(self) -> None:
        self._device.rearm()

    # A ``JobWatcher``. What need not hold anybody up is done while the job runs, and after its end was told.

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
        self._recorder.ended(job.fence.number, Ended(self._time, status, after))

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
        return FileMemory(self._device.pool.fd, buffer.offset, buffer.size)

    @contextlib.contextmanager
    def _returning(self, call: WatchedCall, space: int) -> Iterator[None]:
        try:
            yield
        except Pending:
            raise
        except OSError as error:
            self._recorder.leave(call, error.errno or errno.EIO, space=space)
            raise
        except BaseException:  # its caller has gone
            self._recorder.leave(call, errno.EINTR, space=space)
            raise
        self._recorder.leave(call, space=space)
