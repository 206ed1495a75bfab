# SPDX-License-Identifier: MIT
"""Does a device do again what was recorded? Each submit with the memory it found, compared with the memory it left."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hornito.driver import Device
from hornito.errors import BadInput
from hornito.stream import Buffer
from hornito.trace.bisection import OpenReference, Stopped, bisect, run
from hornito.trace.cuts import with_relocations
from hornito.trace.footprint import Range
from hornito.trace.records import Done, Recording, Submit
from hornito.trace.submissions import order_of
from hornito.trace.view import JobView, SubmitView, view

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
    over their results. ``skipped``: it could not be played, for that reason. ``reference``: the device that told which
    job it was, as nothing that was recorded could."""

    submit: int
    problem: str = ""
    skipped: str = ""
    job: int | None = None
    unit: str = ""
    suspects: tuple[int, ...] = ()
    difference: Difference | None = None
    bytes: int = 0  # that were compared
    killed: bool = False  # now as when it was recorded, so that there is nothing to compare
    reference: str = ""

    @property
    def same(self) -> bool:
        return not self.problem

    @property
    def is_settled(self) -> bool:
        """Nothing differs, or it is known with which job that begins."""
        return self.same or (self.job is not None and not self.suspects)


def replay(recording: Recording, device: Device, reference: OpenReference = lambda: None) -> Iterator[Verdict]:
    """Each submit in order, as soon as the recording says how it ended. Those whose end it does not know are passed
    over. ``reference`` gives a device that is asked where it can't be seen otherwise which job was the first to differ.

    Raises BadInput for a submit that can't be read, DeviceError where the device as such failed."""
    waiting: dict[int, Submit] = {}
    for event in recording.events():
        if isinstance(event, Submit):
            waiting[event.number] = event
        elif isinstance(event, Done) and event.submit in waiting:
            yield _play(_Played(recording, waiting.pop(event.submit), event), device, reference)


def _play(played: "_Played", device: Device, reference: OpenReference) -> Verdict:
    recording, submit, done = played.recording, played.submit, played.done
    if not all(entry.known for entry in submit.buffers):
        return Verdict(submit.number, skipped="nobody recorded what its buffers held")
    seen = view(recording, submit)
    expected = _expected(recording, submit, done)
    try:
        results = run(device, with_relocations(seen), list(expected))
    except Stopped as error:
        if done.status != _DONE:
            return Verdict(submit.number, killed=True)
        unit = "" if error.job is None else seen.job(error.job).unit
        return Verdict(submit.number, f"is killed; it was not when it was recorded ({error})", job=error.job, unit=unit)
    if done.status != _DONE:
        return Verdict(submit.number, f"runs to its end; it was killed when it was recorded ({done.status})")
    verdict = _judge(seen, expected, results)
    return verdict if verdict.is_settled else _settled(played, verdict, device, reference)


@dataclass(frozen=True)
class _Played:
    """A submit, and how it ended."""

    recording: Recording
    submit: Submit
    done: Done


def _settled(played: _Played, verdict: Verdict, device: Device, open_reference: OpenReference) -> Verdict:
    """The verdict, with the first job that differs if a reference can tell."""
    reference = open_reference()
    if reference is None:
        return verdict
    seen = view(played.recording, played.submit)
    expected = _expected(played.recording, played.submit, played.done)
    culprit = bisect(seen, list(expected), list(expected.values()), device, reference)
    if culprit is None:
        return verdict
    unit = seen.job(culprit.job).unit
    found = replace(verdict, job=culprit.job, unit=unit, suspects=(), reference=reference.name)
    if culprit.found is None:
        return replace(found, problem=f"job {culprit.job} is killed", difference=None)
    right = dict(zip(expected, culprit.expected, strict=True))
    wrong = _judge(seen, right, culprit.found)
    return replace(found, problem=f"job {culprit.job} differs", difference=wrong.difference)


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


@dataclass(frozen=True, eq=False)
class _Compared:
    """A buffer by its number in the submission: where it lies, what it was to hold, what was found."""

    number: int
    buffer: Buffer
    recorded: NDArray[np.uint8]
    found: NDArray[np.uint8]

    @cached_property
    def wrong(self) -> NDArray[np.uint64]:
        """The addresses of what differs."""
        return np.flatnonzero(self.recorded != self.found).astype(np.uint64) + np.uint64(self.buffer.address)


def _judge(seen: SubmitView, expected: dict[int, NDArray[np.uint8]], results: Sequence[NDArray[np.uint8]]) -> Verdict:
    """Compare, and find the first job whose results differ where no later job wrote over them."""
    submit = seen.submit
    size = sum(map(len, results))
    both = zip(expected.items(), results, strict=True)
    compared = [_Compared(number, seen.submission.buffers[number], right, found) for (number, right), found in both]
    wrong = [one for one in compared if len(one.wrong)]
    if not wrong:
        return Verdict(submit.number, bytes=size)
    addresses = np.concatenate([one.wrong for one in wrong])
    blamed, inside = None, addresses
    suspects: list[_Part] = []
    for part in _parts(seen, addresses):
        if len(part.wrong):
            blamed, inside = part, part.wrong
            break
        if not part.right:
            suspects.append(part)
    numbers = tuple(part.job.number for part in suspects)
    first = int(inside.min())
    difference = _difference(seen, next(one for one in wrong if first in one.wrong), first)
    if blamed is None:
        return Verdict(submit.number, "differs", suspects=numbers, difference=difference, bytes=size)
    return Verdict(
        *(submit.number, f"job {blamed.job.number} differs", "", blamed.job.number, blamed.job.unit, numbers),
        *(difference, size),
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """What became of a job's results: the addresses that differ where no later job wrote; and whether they are known to
    have been right."""

    job: JobView
    wrong: NDArray[np.uint64]
    right: bool


def _parts(seen: SubmitView, addresses: NDArray[np.uint64]) -> list[_Part]:
    """The jobs in order; ``addresses`` are all that differ. Right is what is as recorded and nobody wrote over, and
    what a job that has right results read before anybody did."""
    prints = [(job, [one.footprint for one in job.descriptors]) for job in seen.jobs]
    found: list[_Part] = []
    for index, (job, own) in reversed(list(enumerate(prints))):
        written = [one.written for one in own]
        over = [at for at in range(index + 1, len(prints)) if _meet(written, [one.written for one in prints[at][1]])]
        wrong = _within(addresses, written)
        wrong = wrong[~np.isin(wrong, _within(wrong, [one.written for at in over for one in prints[at][1]]))]
        # Of those behind it up to the first that wrote over it; the last of ``found`` is the next job.
        readers = range(index + 1, (over[0] if over else len(prints) - 1) + 1)
        used = any(
            found[len(prints) - 1 - at].right and _meet(written, [one.read for one in prints[at][1]]) for at in readers
        )
        found.append(_Part(job, wrong, not len(wrong) and (used or not over)))
    return found[::-1]


def _meet(a: Sequence[Range], b: Sequence[Range]) -> bool:
    return any(x.start < y.end and y.start < x.end for x in a for y in b)


def _within(addresses: NDArray[np.uint64], ranges: Sequence[Range]) -> NDArray[np.uint64]:
    inside = np.zeros(len(addresses), bool)
    for one in ranges:
        inside |= (addresses >= one.start) & (addresses < one.end)
    return addresses[inside]


def _difference(seen: SubmitView, one: _Compared, address: int) -> Difference:
    """Of the byte at that address."""
    offset = address - one.buffer.address
    tensor = seen.goal(address) or ", ".join(seen.users(one.number))
    return Difference(
        *(one.number, seen.submit.buffers[order_of(seen.submit)[one.number]].handle, offset, address),
        *(int(one.recorded[offset]), int(one.found[offset]), len(one.wrong), tensor),
    )
