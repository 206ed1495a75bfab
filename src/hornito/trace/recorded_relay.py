# SPDX-License-Identifier: MIT
"""How are the jobs of the machine's own device recorded? By a look at the buffers before a job is handed in, and when
its fence has signalled, before the clients that wait for it are answered.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence

from hornito.supervisor.relay.buffers import Buffer
from hornito.supervisor.relay.device import RelayedDevice
from hornito.supervisor.relay.files import RelayedFile
from hornito.supervisor.relay.jobs import RelayedJob, Use
from hornito.trace.assembly import Begun, Ended, Placed
from hornito.trace.recorded_calls import RecordedCalls, recording
from hornito.trace.recorder import Recorder, writes
from hornito.trace.records import WHOLE_SUBMIT
from hornito.trace.snapshots import Snapshot, Snapshots

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def recorded_node(
    device: RelayedDevice, path: str, chip: str, program: Sequence[str], by: str
) -> "Iterator[RecordedRelay]":
    """``device``, recorded as ``recording`` does, and closed when the block ends."""
    with recording(path, chip, program, by) as recorder, contextlib.closing(device):
        yield RecordedRelay(device, recorder)


class RecordedRelay(RecordedCalls[RelayedFile]):
    """A ``Served`` device (hornito.supervisor.served) that is ``device``, with all that goes in and out recorded."""

    def __init__(self, device: RelayedDevice, recorder: Recorder) -> None:
        self._snapshots = Snapshots(recorder.copies)
        self._device = device
        self._before: dict[RelayedJob, tuple[Placed, ...]] = {}
        device.watch(self)
        super().__init__(device, recorder)

    @property
    def opened(self) -> int:
        return self._device.opened

    # A ``RelayWatcher``.

    def prepares(self, job: RelayedJob) -> None:
        self._before[job] = tuple(
            Placed(use.address, 0 if use.buffer is None else use.buffer.size, self._take(use, job.busy))
            for use in job.uses
        )

    def begins(self, job: RelayedJob) -> None:
        nothing = tuple(Placed(use.address, 0) for use in job.uses)
        self._recorder.begun(job.key, Begun(job.stream, self._before.pop(job, nothing)))

    def ended(self, job: RelayedJob) -> None:
        found = {number: self._take(use, job.busy) for number, use in enumerate(job.uses) if writes(use.flags)}
        after = {number: snapshot for number, snapshot in found.items() if snapshot is not None}
        whole = (WHOLE_SUBMIT, "", 0, max(0, job.ended - job.started))
        self._recorder.ended(job.key, Ended(self._recorder.at(job.ended), job.status, after, (whole,)))

    def dropped(self, job: RelayedJob) -> None:
        self._before.pop(job, None)

    def forgets(self, buffer: Buffer) -> None:
        self._snapshots.forget(buffer)

    def _take(self, use: Use, busy: frozenset[int]) -> Snapshot | None:
        """None where nobody knows what it holds."""
        if use.buffer is None or use.buffer.identity in busy:
            return None
        try:
            return self._snapshots.take(use.buffer)
        except OSError as error:
            _log.debug("buffer %d can't be looked at: %s", use.handle, error)
            return None
