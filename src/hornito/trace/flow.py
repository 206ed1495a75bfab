# SPDX-License-Identifier: MIT
"""From which job does a job read what it reads, in the same submit or an earlier one?

Within a submit addresses tell. Between two of them a client may have freed the buffer, or written to it itself: there
the memory that a job found must be what the other job's submit left, of recordings that have both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hornito.errors import BadInput
from hornito.stream.annotate import NN
from hornito.trace.footprint import Range
from hornito.trace.records import Done, Extent, Recording, Submit
from hornito.trace.view import SubmitView

JobAt = tuple[int, int]  # the submit's place in the recording, the job's number
Read = tuple[int | None, str]  # core, field
_READS = {NN: "in_image_address"}
_OTHER_READS = "in_image_base_address"


@dataclass(frozen=True)
class _Write:
    """What a job wrote, of memory that no later job wrote over."""

    range: Range
    job: JobAt


class Flow:
    """What jobs read of other jobs: ``origins`` by job, core and address field. ``add`` is given submits in order."""

    def __init__(self, recording: Recording) -> None:
        self.origins: dict[JobAt, dict[Read, JobAt]] = {}
        self._recording = recording
        self._done = {event.submit: event for event in recording.events() if isinstance(event, Done)}
        self._submits: list[Submit] = []
        self._writes: dict[int, list[_Write]] = {}  # by address space, the last one last

    def add(self, seen: SubmitView) -> None:
        """The next submit."""
        place, submit = len(self._submits), seen.submit
        self._submits.append(submit)
        earlier = self._writes.setdefault(submit.space, [])
        own: list[_Write] = []
        for job in seen.jobs:
            for one in job.descriptors:
                read = one.footprint.read
                write, found = _last(own, read.start), True
                if write is None:
                    write = _last(earlier, read.start)
                    found = write is not None and self._is_as_left(seen, write, read)
                if write is not None and found:
                    name = _READS.get(job.unit, _OTHER_READS)
                    self.origins.setdefault((place, job.number), {})[one.job.core, name] = write.job
            own += [_Write(one.footprint.written, (place, job.number)) for one in job.descriptors]
        new = {write.range for write in own}
        self._writes[submit.space] = [write for write in earlier if write.range not in new] + own

    def _is_as_left(self, seen: SubmitView, write: _Write, read: Range) -> bool:
        """Does the submit find there what the other one left, and is that known?"""
        writer = self._submits[write.job[0]]
        done = self._done.get(writer.number)
        start, end = max(read.start, write.range.start), min(read.end, write.range.end)
        if done is None:
            return False
        left = [
            (writer.buffers[one.buffer].address, one.after) for one in done.written if one.buffer < len(writer.buffers)
        ]
        found = [(one.address, one.before) for one in seen.submit.buffers if one.known]
        try:
            contents = [self._memory(side, start, end) for side in (left, found)]
        except BadInput:
            return False
        return contents[0] is not None and contents[0] == contents[1]

    def _memory(self, buffers: Sequence[tuple[int, tuple[Extent, ...]]], start: int, end: int) -> bytes | None:
        """The bytes from ``start`` up to ``end``, device addresses, of buffers by their own; None if none has them."""
        address, extents = max((one for one in buffers if one[0] <= start), key=lambda one: one[0], default=(-1, ()))
        if address < 0:
            return None
        content = self._recording.bytes_of(extents)[start - address : end - address]
        return content.ljust(end - start, b"\0")


def _last(writes: Sequence[_Write], address: int) -> _Write | None:
    """The last of them that wrote there."""
    return next((write for write in reversed(writes) if write.range.start <= address < write.range.end), None)
