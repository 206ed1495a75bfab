# SPDX-License-Identifier: MIT
"""How is a submission cut into its jobs, so that some of them run alone?"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hornito.stream import Relocation, Submission
from hornito.stream.annotate import ADDRESS_FIELDS, LineKind
from hornito.stream.submission import STREAM
from hornito.trace.view import SubmitView

_WORD = 4


@dataclass(frozen=True)
class _Part:
    """Words of a stream, from ``begin`` up to, not including, ``end``: a job's, or (None) what belongs to none."""

    job: int | None
    begin: int
    end: int


def with_relocations(seen: SubmitView) -> Submission:
    """The submission with a relocation for every address that is known to be one: a device may place buffers anew."""
    places = {(one.buffer, one.offset): one for one in seen.submission.relocations}
    for line in seen.lines:
        if line.pointer is None or line.kind not in (LineKind.FIELD, LineKind.STATE):
            continue
        shift = ADDRESS_FIELDS.get(line.name, 0) if line.kind is LineKind.FIELD else 0
        place = (line.holder, line.offset)
        places.setdefault(place, Relocation(*place, line.pointer.buffer, shift))
    return replace(seen.submission, relocations=tuple(places[place] for place in sorted(places)))


def with_jobs(seen: SubmitView, first: int, last: int) -> Submission:
    """The submission with the jobs from ``first`` to ``last`` alone, by their numbers, and all that stands before,
    between and behind the jobs that are left; with relocations.

    Raises ValueError where there is no such job.
    """
    whole = with_relocations(seen)
    parts = list(_parts(seen))
    jobs = [at for at, part in enumerate(parts) if part.job is not None]
    kept = [at for at in jobs if first <= (_job(parts[at])) <= last]
    if not kept:
        raise ValueError(f"there are no jobs from {first} to {last}")
    chosen = [
        part
        for at, part in enumerate(parts)
        if at in kept or (part.job is None and (at < jobs[0] or kept[0] < at < kept[-1] or at > jobs[-1]))
    ]
    words = np.concatenate([whole.stream[part.begin : part.end] for part in chosen])
    relocations = [one for one in whole.relocations if one.buffer != STREAM]
    start = 0
    for part in chosen:
        relocations += [
            replace(one, offset=one.offset + _WORD * (start - part.begin))
            for one in whole.relocations
            if one.buffer == STREAM and part.begin <= one.offset // _WORD < part.end
        ]
        start += part.end - part.begin
    return replace(
        whole, stream=words, relocations=tuple(sorted(relocations, key=lambda one: (one.buffer, one.offset)))
    )


def _job(part: _Part) -> int:
    assert part.job is not None
    return part.job


def _parts(seen: SubmitView) -> Iterator[_Part]:
    """All words of the stream, in order."""
    begun: list[tuple[int | None, int]] = []
    for line in seen.lines:
        if line.holder == STREAM:
            job = None if line.job is None else line.job.number
            if not begun or begun[-1][0] != job:
                begun.append((job, line.start // _WORD))
    ends = [begin for _, begin in begun[1:]] + [len(seen.submission.stream)]
    return (_Part(job, begin, end) for (job, begin), end in zip(begun, ends, strict=True))
