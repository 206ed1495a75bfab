# SPDX-License-Identifier: MIT
"""What does a report tell of a recording? Its calls, its submits and, of each job, cost, neighbours and compression."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from hornito.cost import Cost, Demand, Item, Target, Work, estimate, move_work, nn_work
from hornito.errors import BadInput, BadStream, HornitoError, Unsupported
from hornito.stream import BufferKind
from hornito.stream.annotate import NN
from hornito.trace.coefficients import Coefficients
from hornito.trace.footprint import Range
from hornito.trace.records import WHOLE_SUBMIT, Call, Done, JobTime, Message, Recording, Submit
from hornito.trace.view import JobView, SubmitView, view


@dataclass(frozen=True)
class JobFacts:
    """A job. ``start`` and ``seconds``: on the device, from its submit's start there; ``recorded``: they are from the
    recording, else modelled. ``sources``: the jobs whose results it reads; ``coefficients`` is None for a move and
    where ``problem`` says why they can't be read. ``cost`` is None where nobody knows the chip."""

    job: JobView
    reads: tuple[Range, ...]
    writes: tuple[Range, ...]
    sources: tuple[int, ...]
    coefficients: Coefficients | None
    problem: str
    cost: Cost | None
    start: float
    seconds: float
    recorded: bool

    @property
    def work(self) -> Work:
        return Work() if self.cost is None else self.cost.item.work


@dataclass(frozen=True)
class SubmitFacts:
    """A submit with jobs. ``repeats``: numbers of later submits with the same stream, buffers and descriptors;
    ``measured``: seconds from when it was handed in until its fence signalled, where the recording tells."""

    view: SubmitView
    jobs: tuple[JobFacts, ...]
    done: Done | None
    measured: float | None = None
    repeats: list[int] = field(default_factory=list)

    @property
    def number(self) -> int:
        return self.view.submit.number

    @cached_property
    def seconds(self) -> float:
        """From the start of the first job to the end of the last."""
        return max((job.start + job.seconds for job in self.jobs), default=0.0)


@dataclass
class Facts:
    """All of a recording. ``spans``: of each submit when it was handed in and was seen to be done, in ns on the
    recording's clock, where both are known. ``problems``: submits that can't be understood."""

    recording: Recording
    chip: str = ""
    calls: list[Call] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    submits: list[SubmitFacts] = field(default_factory=list)
    without_jobs: int = 0
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def jobs(self) -> list[JobFacts]:
        return [job for submit in self.submits for job in submit.jobs]


def collect(recording: Recording, chip: str = "") -> Facts:
    """Read all of a recording; ``chip`` says whose it is where the file does not."""
    found = Facts(recording)
    submits: list[Submit] = []
    done: dict[int, Done] = {}
    times: dict[int, dict[int, JobTime]] = {}
    for event in recording.events():
        match event:
            case Call():
                found.calls.append(event)
            case Submit():
                submits.append(event)
            case Done():
                done.setdefault(event.submit, event)
            case JobTime():
                times.setdefault(event.submit, {})[event.job] = event
            case Message():
                found.messages.append(event)
    started = {call.number: call.time for call in found.calls}
    seen: dict[bytes, SubmitFacts] = {}
    for submit in submits:
        end = done.get(submit.number)
        if submit.call in started and end is not None:
            found.spans[submit.number] = (started[submit.call], max(end.time, started[submit.call]))
        try:
            one = view(recording, submit, chip)
            name = _name(one)
            if name in seen:
                seen[name].repeats.append(submit.number)
            elif one.jobs:
                known = times.get(submit.number, {})
                whole = known.get(WHOLE_SUBMIT)
                measured = None if whole is None else whole.duration / 1e9
                seen[name] = SubmitFacts(one, _jobs(one, known), end, measured)
                found.submits.append(seen[name])
            else:
                found.without_jobs += 1
        except HornitoError as error:
            found.problems.append(str(error))
    found.chip = next((one.view.chip.name for one in found.submits if one.view.chip is not None), "")
    return found


def _name(one: SubmitView) -> bytes:
    """The same for submits that do the same with the same memory."""
    state = hashlib.blake2b(one.submission.stream.tobytes())
    for buffer in one.submission.buffers:
        state.update(f"{buffer.kind} {buffer.address} {buffer.size};".encode())
        if buffer.kind is not BufferKind.TENSOR and buffer.data is not None:
            state.update(buffer.data.tobytes())
    return state.digest()


def _jobs(one: SubmitView, times: dict[int, JobTime]) -> tuple[JobFacts, ...]:
    coefficients = [_coefficients(one, job) for job in one.jobs]
    costs = _costs(one, [made for made, _ in coefficients])
    found: list[JobFacts] = []
    clock = 0.0
    for job, (made, problem), cost in zip(one.jobs, coefficients, costs, strict=True):
        known = times.get(job.number)
        seconds = cost.time.seconds if cost is not None else 0.0
        if known is not None:
            clock, seconds = known.start / 1e9, known.duration / 1e9
        prints = [descriptor.footprint for descriptor in job.descriptors]
        reads, writes = tuple(p.read for p in prints), tuple(p.written for p in prints)
        sources = tuple(_sources(found, reads))
        found.append(JobFacts(job, reads, writes, sources, made, problem, cost, clock, seconds, known is not None))
        clock += seconds
    return tuple(found)


def _coefficients(one: SubmitView, job: JobView) -> tuple[Coefficients | None, str]:
    if job.unit != NN or not job.descriptors:
        return None, ""
    try:
        return one.coefficients(job.descriptors[0]), ""
    except (BadStream, Unsupported, BadInput) as error:
        return None, str(error)


def _costs(one: SubmitView, coefficients: list[Coefficients | None]) -> list[Cost] | list[None]:
    """What the model says of each job; nothing where nobody knows the chip."""
    if one.chip is None:
        return [None] * len(one.jobs)
    items = []
    for job, made in zip(one.jobs, coefficients, strict=True):
        if not job.descriptors:
            items.append(Item(Target.TP, "", job.unit))
        elif job.unit == NN:
            d = job.descriptors[0].nn
            work = nn_work(d, 0 if made is None else made.size, one.chip)
            items.append(Item(Target.NN, "", job.unit, work))
        else:
            items.append(Item(Target.TP, "", job.unit, move_work([core.tp for core in job.descriptors])))
    return list(estimate(Demand("", tuple(items)), one.chip).costs)


def _sources(before: list[JobFacts], reads: tuple[Range, ...]) -> Iterator[int]:
    """The jobs whose results lie in what is read, the latest first; those that a later one wrote over are left out."""
    left = list(reads)
    for job in reversed(before):
        if any(_overlap(one, other) for one in left for other in job.writes):
            yield job.job.number
            whole = Range(min(w.start for w in job.writes), max(w.end for w in job.writes))
            left = [one for one in left if not whole.start <= one.start <= one.end <= whole.end]


def _overlap(one: Range, other: Range) -> bool:
    return one.start < other.end and other.start < one.end
