# SPDX-License-Identifier: MIT
"""Does a device do again what was recorded? Each submit with the memory it found, compared with the memory it left."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hornito.driver import Device
from hornito.errors import BadInput, DeviceError
from hornito.stream import Port, Submission, TensorInfo
from hornito.trace.cuts import with_relocations
from hornito.trace.footprint import Range
from hornito.trace.records import Done, Recording, Submit
from hornito.trace.submissions import order_of
from hornito.trace.view import SubmitView, view

_DONE = 1


@dataclass(frozen=True)
class Difference:
    """The first byte of a buffer (by its number in the submission, and its handle) that is not as it was recorded.

    ``address`` is the recorded one, ``tensor`` what the buffer is to the network, ``count`` how many bytes differ."""

    buffer: int
    handle: int
    offset: int
    address: int
    recorded: int
    found: int
    count: int
    tensor: str


@dataclass(frozen=True)
class Verdict:
    """What came of one submit. ``problem``: what differs, in a line ("": nothing); ``job`` and ``unit``: the first job
    whose results do, if one can be named; ``suspects``: earlier jobs that may have differed too, since later ones wrote
    over their results. ``skipped``: it could not be played, for that reason."""

    submit: int
    problem: str = ""
    skipped: str = ""
    job: int | None = None
    unit: str = ""
    suspects: tuple[int, ...] = ()
    difference: Difference | None = None
    bytes: int = 0  # that were compared

    @property
    def same(self) -> bool:
        return not self.problem


def replay(recording: Recording, device: Device) -> Iterator[Verdict]:
    """Each submit in order, as soon as the recording says how it ended. Those whose end it does not know are passed
    over. Raises BadInput for a submit that can't be read, DeviceError where the device as such failed."""
    waiting: dict[int, Submit] = {}
    for event in recording.events():
        if isinstance(event, Submit):
            waiting[event.number] = event
        elif isinstance(event, Done) and event.submit in waiting:
            yield _play(recording, waiting.pop(event.submit), event, device)


def _play(recording: Recording, submit: Submit, done: Done, device: Device) -> Verdict:
    if not all(entry.known for entry in submit.buffers):
        return Verdict(submit.number, skipped="nobody recorded what its buffers held")
    seen = view(recording, submit)
    expected = _expected(recording, submit, done)
    submission = replace(with_relocations(seen), inputs=(), outputs=_ports(seen.submission, expected))
    try:
        loaded = device.load(submission)
        try:
            results = [np.asarray(array, np.uint8).reshape(-1) for array in loaded.run([])]
        finally:
            loaded.close()
    except DeviceError as error:
        if done.status != _DONE:
            return Verdict(submit.number)  # it was killed then, too
        unit = "" if error.job is None else seen.job(error.job).unit
        return Verdict(submit.number, f"is killed; it was not when it was recorded ({error})", job=error.job, unit=unit)
    if done.status != _DONE:
        return Verdict(submit.number, f"runs to its end; it was killed when it was recorded ({done.status})")
    return _judge(seen, submit, expected, results)


def _expected(recording: Recording, submit: Submit, done: Done) -> dict[int, NDArray[np.uint8]]:
    """What was written, by the submission's buffer numbers."""
    rank = {number: new for new, number in enumerate(order_of(submit))}
    found: dict[int, NDArray[np.uint8]] = {}
    for one in done.written:
        if one.buffer not in rank:
            raise BadInput(f"{recording.path}: submit {submit.number} wrote to a buffer that is not in its table")
        size = submit.buffers[one.buffer].size
        content = recording.bytes_of(one.after, size)
        found[rank[one.buffer]] = np.frombuffer(content.ljust(size, b"\0"), np.uint8)
    return dict(sorted(found.items()))


def _ports(submission: Submission, numbers: Sequence[int] | dict[int, NDArray[np.uint8]]) -> tuple[Port, ...]:
    """Whole buffers as outputs."""
    sizes = {number: submission.buffers[number].size for number in numbers}
    return tuple(
        Port(TensorInfo(number, f"buffer {number}", (size,), "uint8"), number, 0, size)
        for number, size in sizes.items()
    )


def _judge(
    seen: SubmitView,
    submit: Submit,
    expected: dict[int, NDArray[np.uint8]],
    results: Sequence[NDArray[np.uint8]],
) -> Verdict:
    """Compare, and find the first job whose results differ where no later job wrote over them."""
    compared = sum(map(len, results))
    buffers = seen.submission.buffers
    wrong: list[tuple[int, NDArray[np.uint64]]] = []  # buffer, the addresses that differ
    for (number, right), found in zip(expected.items(), results, strict=True):
        offsets = np.flatnonzero(right != found)
        if len(offsets):
            wrong.append((number, offsets.astype(np.uint64) + np.uint64(buffers[number].address)))
    if not wrong:
        return Verdict(submit.number, bytes=compared)
    addresses = np.concatenate([one for _, one in wrong])
    written = [(job, [one.footprint.written for one in job.descriptors]) for job in seen.jobs]
    suspects: list[int] = []
    blamed, inside = None, addresses
    for index, (job, ranges) in enumerate(written):
        own = _within(addresses, ranges)
        later = [one for _, others in written[index + 1 :] for one in others]
        alone = own[~np.isin(own, _within(own, later))]
        if len(alone):
            blamed, inside = job, alone
            break
        if len(own):
            suspects.append(job.number)
    first = int(inside.min())
    number = next(number for number in expected if buffers[number].address <= first < buffers[number].end)
    difference = _difference(seen, submit, number, first - buffers[number].address, expected, results)
    if blamed is None:
        return Verdict(submit.number, "differs", suspects=tuple(suspects), difference=difference, bytes=compared)
    return Verdict(
        *(submit.number, f"job {blamed.number} differs", "", blamed.number, blamed.unit, tuple(suspects)),
        *(difference, compared),
    )


def _within(addresses: NDArray[np.uint64], ranges: Sequence[Range]) -> NDArray[np.uint64]:
    inside = np.zeros(len(addresses), bool)
    for one in ranges:
        inside |= (addresses >= one.start) & (addresses < one.end)
    return addresses[inside]


def _difference(
    seen: SubmitView,
    submit: Submit,
    number: int,
    offset: int,
    expected: dict[int, NDArray[np.uint8]],
    results: Sequence[NDArray[np.uint8]],
) -> Difference:
    buffer = seen.submission.buffers[number]
    found = results[list(expected).index(number)]
    right = expected[number]
    tensor = seen.goal(buffer.address + offset) or ", ".join(seen.users(number))
    return Difference(
        *(number, submit.buffers[order_of(submit)[number]].handle, offset, buffer.address + offset),
        *(int(right[offset]), int(found[offset]), int(np.count_nonzero(right != found)), tensor),
    )
