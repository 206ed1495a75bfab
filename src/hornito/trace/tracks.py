# SPDX-License-Identifier: MIT
"""Which job of one recording is which of the others, and what is each of their values in all of them? Jobs are laid
side by side as ``diff`` does it, so that one more or less, other submits, or buffers in another order mislead nobody.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TypeVar

import numpy as np

from hornito.errors import HornitoError
from hornito.stream.annotate import ADDRESS_FIELDS, NN, TP, TRIGGERS, LineKind
from hornito.trace.align import align
from hornito.trace.infer import bit_ranges
from hornito.trace.items import JOB, Item, items_of, similarity
from hornito.trace.records import Recording
from hornito.trace.relations import WORD_BITS, Series
from hornito.trace.view import JobView, SubmitView, view

Key = tuple[str, int | None, str, str, int]  # unit, core, place, name, width
K = TypeVar("K")


@dataclass(frozen=True)
class Placed:
    """A job of one recording, in its submit."""

    seen: SubmitView
    item: Item

    @cached_property
    def job(self) -> JobView:
        return self.seen.job(self.item.job)


@dataclass
class Track:
    """A job that recordings have in common: ``jobs`` by the recording's number."""

    number: int
    unit: str
    jobs: dict[int, Placed] = field(default_factory=dict)

    @property
    def cores(self) -> int:
        """The most descriptors that it has anywhere."""
        return max(len(placed.job.descriptors) for placed in self.jobs.values())


def views_of(recording: Recording, chip: str = "") -> list[SubmitView]:
    """The submits of a recording that start jobs."""
    found = (view(recording, submit, chip) for submit in recording.submits())
    return [seen for seen in found if seen.jobs]


def tracks(sides: Sequence[Sequence[SubmitView]], order: Sequence[int] | None = None) -> list[Track]:
    """The jobs of all recordings, in order; each recording is laid beside those before it in ``order``, which should
    have like ones next to each other."""
    found: list[Track] = []
    for number in range(len(sides)) if order is None else order:
        side = sides[number]
        jobs = [Placed(seen, item) for seen in side for item in items_of(0, seen) if item.kind == JOB]
        last = [next(reversed(track.jobs.values())).item for track in found]
        pairs = align(
            [item.key for item in last],
            [placed.item.key for placed in jobs],
            lambda x, y, last=last, jobs=jobs: similarity(last[x], jobs[y].item),  # type: ignore[misc]
        )
        merged: list[Track] = []
        for x, y in pairs:
            track = found[x] if x is not None else Track(0, jobs[y or 0].item.sort)
            if y is not None:
                track.jobs[number] = jobs[y]
            merged.append(track)
        found = merged
    for number, track in enumerate(found):
        track.number = number
    return found


def series(found: Sequence[Track], count: int) -> Iterator[Series]:
    """Every value of the tracks of ``count`` recordings, by field; an address is its offset within its buffer."""
    for track in found:
        named = {side: _named(placed) for side, placed in track.jobs.items()}
        for key in _keys(list(named.values())):
            unit, core, place, name, width = key
            values = tuple(named[side].get(key) if side in named else None for side in range(count))
            yield Series(track.number, unit, core, place, name, values, width)
    yield from _targets(found, count)


def raw_series(found: Sequence[Track], parameters: Sequence[Fraction]) -> Iterator[Series]:
    """By bits of descriptors' words alone, as if no field had a name; addresses aside."""
    for track in found:
        words = {side: _words(placed) for side, placed in track.jobs.items()}
        for core, index in _keys(list(words.values())):
            seen = {side: one[core, index] for side, one in words.items() if (core, index) in one}
            ranges = bit_ranges([parameters[side] for side in seen], list(seen.values()))
            for high, low, _ in ranges:
                part = {side: word >> low & (2 << (high - low)) - 1 for side, word in seen.items()}
                place = f"w{index}[{high}:{low}]" if high > low else f"w{index}[{low}]"
                values = tuple(part.get(side) for side in range(len(parameters)))
                yield Series(track.number, track.unit, core, place, "", values, WORD_BITS)


def _keys(sides: Sequence[dict[K, int]]) -> list[K]:
    """All keys, in the order of the side that has the most."""
    longest = max(sides, key=len)
    return list(dict.fromkeys([*longest, *(key for side in sides for key in side)]))


def _named(placed: Placed) -> dict[Key, int]:
    found: dict[Key, int] = {}
    for line in placed.item.lines:
        assert line.job is not None
        unit, core = line.job.unit, line.job.core
        if line.kind is LineKind.FIELD and line.field is not None:
            value = line.value
            if line.name in ADDRESS_FIELDS:
                value = -1 if line.pointer is None else line.pointer.offset
            found[unit, core, line.place, line.name, line.field.width] = value
        elif line.kind is LineKind.STATE and (line.state is None or line.state.index not in TRIGGERS):
            found[unit, core, "", line.name, WORD_BITS] = line.value
        elif line.kind is LineKind.UNNAMED:
            found[unit, core, line.place, "unnamed bits", WORD_BITS] = line.value
    job = placed.job
    more = {"cores": len(job.descriptors)} if job.unit == TP else _composed(job) | _coefficients(placed.seen, job)
    return found | {(job.unit, None, "", name, WORD_BITS): value for name, value in more.items()}


def _composed(job: JobView) -> dict[str, int]:
    """What several fields of a convolution's descriptor make together."""
    if not job.descriptors:
        return {}
    descriptor = job.descriptors[0].nn
    return {"shift, all bits": descriptor.shift, "multiplier, all bits": descriptor.multiplier}


def _coefficients(seen: SubmitView, job: JobView) -> dict[str, int]:
    """What a convolution's coefficients hold besides its weights: sizes, and the first of what there is for each
    output. Nothing where they can't be read."""
    if not job.descriptors:
        return {}
    try:
        found = seen.coefficients(job.descriptors[0])
    except HornitoError:
        return {}
    first = found.streams[0]
    values = {"bytes": found.size, "core 0, zrl_bits": first.zrl_bits, "core 0, kernels": first.kernels}
    if len(found.streams) > 1 and found.streams[1].offsets:
        values["core 1, first output offset"] = found.streams[1].offsets[0]
    values["bias of output 0"] = int(found.weights.biases[0])
    return {f"coefficients, {name}": value for name, value in values.items() if value is not None}


def _targets(found: Sequence[Track], count: int) -> Iterator[Series]:
    """Which buffer each address points into: a number for the address that is the first to name it. Compared among the
    recordings of the commonest shape alone: where a job is missing, others are the first."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for side in range(count):
        shape = tuple(len(track.jobs[side].job.descriptors) if side in track.jobs else -1 for track in found)
        shapes.setdefault(shape, []).append(side)
    mentions: dict[int, dict[tuple[int, int | None, str, str], int]] = {}
    for side in max(shapes.values(), key=len):
        first: dict[tuple[int, int], int] = {}
        mentions[side] = {}
        for number, (key, target) in enumerate(_pointers(found, side)):
            mentions[side][key] = first.setdefault(target, number)
    for key in dict.fromkeys(key for one in mentions.values() for key in one):
        track, core, place, name = key
        values = tuple(mentions[side].get(key) if side in mentions else None for side in range(count))
        yield Series(track, found[track].unit, core, place, f"{name}, which buffer", values, is_number=False)


def _pointers(found: Sequence[Track], side: int) -> Iterator[tuple[tuple[int, int | None, str, str], tuple[int, int]]]:
    """Every address of a recording's jobs, in order, with the submission and the buffer that it points into."""
    submissions: dict[int, int] = {}
    for track in found:
        if side not in track.jobs:
            continue
        placed = track.jobs[side]
        submission = submissions.setdefault(id(placed.seen), len(submissions))
        for line in placed.item.lines:
            if line.kind is LineKind.FIELD and line.pointer is not None and line.job is not None:
                yield (track.number, line.job.core, line.place, line.name), (submission, line.pointer.buffer)


def _words(placed: Placed) -> dict[tuple[int | None, int], int]:
    """By core and number, every word of every descriptor, without the bits of addresses."""
    found: dict[tuple[int | None, int], int] = {}
    for one in placed.job.descriptors:
        data = placed.seen.submission.buffers[one.buffer].data
        assert data is not None
        kind = type(one.nn if placed.job.unit == NN else one.tp)
        content = data[one.offset : one.offset + 4 * kind.WORDS].tobytes().ljust(4 * kind.WORDS, b"\0")
        masks = {at.word: at.mask for name, at in kind.layout().items() if name in ADDRESS_FIELDS}
        for index, word in enumerate(np.frombuffer(content, "<u4").tolist()):
            found[one.job.core, index] = word & ~masks.get(index, 0)
    return found
