# SPDX-License-Identifier: MIT
"""How are a virtual device's jobs recorded? By a look at the buffers when a job is about to run and when it has ended,
before anybody is told; in the device's own thread.
"""

import errno

from hornito.trace.recorded_calls import RecordedCalls
from hornito.trace.recorder import Begun, Ended, Placed, Recorder, writes
from hornito.trace.snapshots import FileMemory, Snapshot, Snapshots
from hornito.uapi.sync_file import SIGNALLED
from hornito.virtual.etnaviv.client import OpenFile
from hornito.virtual.etnaviv.device import VirtualDevice
from hornito.virtual.etnaviv.scheduler import Job

_KILLED = -errno.ECANCELED


class RecordedDevice(RecordedCalls[OpenFile]):
    """A ``Served`` device (hornito.supervisor.served) that is ``device``, with all that goes in and out recorded."""

    def __init__(self, device: VirtualDevice, recorder: Recorder) -> None:
        super().__init__(device, recorder)
        self._fd = device.pool.fd
        self._snapshots = Snapshots()
        device.watch(self)

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
            return self._snapshots.take(FileMemory(self._fd, buffer.offset, buffer.size))
        except OSError:  # no more mappings: the recording says that nobody knows
            return None
