# SPDX-License-Identifier: MIT
"""How is a virtual device recorded? By one that takes its place, hands each call on, and looks at the buffers when a
job is about to run and when it has ended, before anybody is told.

A call costs its own bytes; memory is looked at in the device's own thread, and hashed and packed in the writer's.
"""

import contextlib
import errno
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from hornito.hardware.chips import Chip
from hornito.trace.process_writer import ProcessWriter
from hornito.trace.recorder import Begun, Ended, Placed, Recorder, writes
from hornito.trace.records import Header
from hornito.trace.snapshots import FileMemory, Snapshot, Snapshots
from hornito.trace.watched_call import TracedCaller, WatchedCall
from hornito.uapi.ioctl import Struct
from hornito.uapi.sync_file import SIGNALLED
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
        self._snapshots = Snapshots()
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

    # A ``JobWatcher``.

    def begins(self, job: Job) -> None:
        buffers = tuple(Placed(use.va, use.buffer.size, self._take(job, number)) for number, use in enumerate(job.uses))
        self._recorder.begun(job.fence.number, Begun(job.stream.tobytes(), buffers))

    def ended(self, job: Job) -> None:
        numbers = [number for number, flags in enumerate(job.flags) if writes(flags)] if job.timeline else []
        found = {number: self._take(job, number) for number in numbers}
        after = {number: snapshot for number, snapshot in found.items() if snapshot is not None}
        status = SIGNALLED if job.error is None else _KILLED
        self._recorder.ended(job.fence.number, Ended(self._recorder.now(), status, after))

    def _take(self, job: Job, number: int) -> Snapshot | None:
        buffer = job.uses[number].buffer
        try:
            return self._snapshots.take(FileMemory(self._device.pool.fd, buffer.offset, buffer.size))
        except OSError:  # no more mappings: the recording says that nobody knows
            return None

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
