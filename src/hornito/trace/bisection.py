# SPDX-License-Identifier: MIT
"""Which job was the first to do something else, where later jobs wrote over what it left?

A recording has memory as a whole submit found and left it. What lay between is asked of a reference: a device that
leaves what was recorded. Both run the jobs up to some number, in a stream that ends there; halving the range of numbers
finds the job that made different memory of equal memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hornito.driver import Device
from hornito.errors import DeviceError
from hornito.stream import Port, Submission, TensorInfo
from hornito.trace.cuts import with_jobs, with_relocations
from hornito.trace.view import SubmitView

Memory = list[NDArray[np.uint8]]
OpenReference = Callable[[], Device | None]


@dataclass(frozen=True)
class Culprit:
    """The job, and the buffers (in the order of the numbers that were asked for) as the reference and the device left
    them after it. ``found`` is None where the device was stopped in it."""

    job: int
    expected: Memory
    found: Memory | None


class Stopped(DeviceError):
    """The device failed while it ran: a job was killed. Any other DeviceError is no matter of the submission's."""


def run(device: Device, submission: Submission, numbers: Sequence[int]) -> Memory:
    """What a submission leaves in these of its buffers. Raises Stopped, DeviceError where it can't be loaded."""
    loaded = device.load(replace(submission, inputs=(), outputs=_ports(submission, numbers)))
    try:
        return [np.asarray(array, np.uint8).reshape(-1) for array in loaded.run([])]
    except DeviceError as error:
        raise Stopped(str(error), unit=error.unit, address=error.address, job=error.job, line=error.line) from error
    finally:
        loaded.close()


def bisect(
    seen: SubmitView, numbers: Sequence[int], recorded: Sequence[NDArray[np.uint8]], device: Device, reference: Device
) -> Culprit | None:
    """The job; None if the reference does not leave what was recorded, so that it can't tell what lay between, or if
    one of the devices fails. ``numbers``: the buffers that are compared."""
    try:
        return _search(seen, numbers, recorded, device, reference)
    except DeviceError:
        return None


def _search(
    seen: SubmitView, numbers: Sequence[int], recorded: Sequence[NDArray[np.uint8]], device: Device, reference: Device
) -> Culprit | None:
    """As ``bisect``. Raises DeviceError where a device failed, other than that ours was stopped in a job."""
    whole = run(reference, with_relocations(seen), numbers)
    if not _same(whole, recorded):
        return None
    jobs = [job.number for job in seen.jobs]
    right, wrong = -1, len(jobs) - 1  # places in the list: memory is equal after the one, different after the other
    expected, found = whole, _after(device, seen, jobs[-1], numbers)
    if found is not None and _same(found, whole):
        return None  # it does not differ any more
    while wrong - right > 1:
        middle = (right + wrong) // 2
        theirs = run(reference, with_jobs(seen, jobs[0], jobs[middle]), numbers)
        ours = _after(device, seen, jobs[middle], numbers)
        if ours is not None and _same(ours, theirs):
            right = middle
        else:
            wrong, expected, found = middle, theirs, ours
    return Culprit(jobs[wrong], expected, found)


def _after(device: Device, seen: SubmitView, job: int, numbers: Sequence[int]) -> Memory | None:
    """Memory after a job, on the device; None where that was stopped. Raises DeviceError."""
    try:
        return run(device, with_jobs(seen, seen.jobs[0].number, job), numbers)
    except Stopped:
        return None


def _same(a: Sequence[NDArray[np.uint8]], b: Sequence[NDArray[np.uint8]]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def _ports(submission: Submission, numbers: Sequence[int]) -> tuple[Port, ...]:
    """Whole buffers as outputs."""
    sizes = {number: submission.buffers[number].size for number in numbers}
    return tuple(
        Port(TensorInfo(number, f"buffer {number}", (size,), "uint8"), number, 0, size)
        for number, size in sizes.items()
    )
