# SPDX-License-Identifier: MIT
"""How is one submit shown? Its jobs with every word by name, their coefficients, its buffers; as text and as JSON."""

import itertools
from collections.abc import Iterator
from typing import Any

from hornito.errors import BadInput, BadStream, Unsupported
from hornito.stream import BufferKind
from hornito.stream.annotate import DESCRIPTORS, NN, Line, LineKind
from hornito.stream.listing import line_text, value_text
from hornito.trace.records import Recording, Submit
from hornito.trace.show import Options, Shown, Style
from hornito.trace.view import JobView, SubmitView, view

_ROW = 32
_ROWS = 8  # of bytes behind a descriptor that are shown


def submit_lines(recording: Recording, submit: Submit, options: Options) -> Iterator[Shown]:
    """Below a submit's heading. A submit that can't be understood is a line that says why."""
    try:
        seen = view(recording, submit, options.chip)
    except BadInput as error:
        yield Shown(f"  ? {error}", Style.STRANGE)
        return
    jobs = {job.number: job for job in seen.jobs}
    heading: int | None = None
    for line, behind in itertools.zip_longest(seen.lines, seen.lines[1:]):
        if options.selection.has(submit.number, line):
            if line.job is not None and line.job.number != heading:
                heading = line.job.number
                yield Shown(f"  job {heading}: {jobs[heading].title()}", Style.JOB)
            yield _line(seen, line)
        if _ends_convolution(line, behind) and not options.selection.fields:
            assert line.job is not None
            if options.selection.has_job(submit.number, line.job.number, NN):
                yield _coefficients(seen, jobs[line.job.number])
    if options.selection.everything:
        yield from _buffers(seen)


def _ends_convolution(line: Line, behind: Line | None) -> bool:
    """Is it the last line of an NN job's descriptor?"""
    own = (LineKind.FIELD, LineKind.UNNAMED)
    if line.kind not in own or line.job is None or line.job.unit != NN:
        return False
    return behind is None or behind.kind not in own


def _line(seen: SubmitView, line: Line) -> Shown:
    text = line_text(line, seen.names)
    if note := seen.note(line):
        text += f"  ({note})"
    if line.state is not None and (meaning := line.state.meaning(line.value)):
        text += f"  ({meaning})"
    if line.strange:
        if line.only is not None and not text.endswith("?"):
            text += "?"
        return Shown(text, Style.STRANGE)
    guess = line.confidence is not None and bool(line.confidence.mark)
    return Shown(text, Style.GUESS if guess else Style.PLAIN)


def _coefficients(seen: SubmitView, job: JobView) -> Shown:
    try:
        return Shown(f"         coefficients: {seen.coefficients(job.descriptors[0]).text()}", Style.NOTE)
    except (BadStream, Unsupported) as error:
        text = str(error)
        return Shown(f"         ? {text if 'coefficients' in text else f'coefficients: {text}'}", Style.STRANGE)


def _buffers(seen: SubmitView) -> Iterator[Shown]:
    pointed = {line.pointer.buffer for line in seen.lines if line.pointer is not None}
    flags = {(entry.address, entry.size): entry.flags for entry in seen.submit.buffers}
    for number, name in seen.names.all().items():
        buffer = seen.submission.buffers[number]
        parts = [f"{name}: {buffer.size} bytes at {buffer.address:#010x}"]
        access = {1: "read", 2: "write", 3: "read and write"}.get(flags[buffer.address, buffer.size])
        parts += [f"submitted to {access}"] if access else []
        parts += seen.users(number)
        parts += [] if number in pointed else ["no job points there"]
        parts += ["contents not recorded"] if buffer.data is None else []
        yield Shown(f"  {'; '.join(parts)}", Style.NOTE)
        if buffer.kind in (BufferKind.NN, BufferKind.TP) and buffer.data is not None:
            yield from _behind(seen, number)


def _behind(seen: SubmitView, number: int) -> Iterator[Shown]:
    """What lies in a descriptor's buffer that belongs to no descriptor."""
    data = seen.submission.buffers[number].data
    assert data is not None
    rest = data.copy()
    for job in seen.jobs:
        for one in job.descriptors:
            if one.buffer == number:
                rest[one.offset : one.offset + 4 * DESCRIPTORS[job.unit].WORDS] = 0
    if not rest.any():
        return
    rows = [(at, rest[at : at + _ROW].tobytes()) for at in range(0, len(rest), _ROW) if rest[at : at + _ROW].any()]
    for at, row in rows[:_ROWS]:
        yield Shown(f"    {at:04x}  {row.hex(' ', -4)}  ?", Style.STRANGE)
    if len(rows) > _ROWS:
        yield Shown(f"    ... {len(rows) - _ROWS} rows more that belong to no descriptor", Style.STRANGE)


def submit_json(recording: Recording, submit: Submit, options: Options) -> dict[str, Any]:
    """What ``submit_lines`` says, for programs."""
    try:
        seen = view(recording, submit, options.chip)
    except BadInput as error:
        return {"problem": str(error)}
    lines = [_line_json(seen, line) for line in seen.lines if options.selection.has(submit.number, line)]
    jobs = [job for job in seen.jobs if options.selection.has_job(submit.number, job.number, job.unit)]
    buffers = [
        {"name": name, "address": b.address, "size": b.size, "kind": b.kind.value, "recorded": b.data is not None}
        for b, name in ((seen.submission.buffers[number], name) for number, name in seen.names.all().items())
    ]
    return {"jobs": [_job_json(seen, job) for job in jobs], "buffers": buffers, "lines": lines}


def _job_json(seen: SubmitView, job: JobView) -> dict[str, Any]:
    found: dict[str, Any] = {"number": job.number, "unit": job.unit, "title": job.title()}
    if job.unit != NN or not job.descriptors:
        return found
    try:
        made = seen.coefficients(job.descriptors[0])
    except (BadStream, Unsupported) as error:
        return found | {"coefficients": {"problem": str(error)}}
    streams = [{"bytes": s.size, "bits": s.bits, "kernels": s.kernels, "zrl_bits": s.zrl_bits} for s in made.streams]
    sizes = {"bytes": made.size, "raw_bytes": made.raw_bytes, "weights": made.count, "zeros": made.zeros}
    return found | {"coefficients": {**sizes, "padding_kernels": made.padding_kernels, "streams": streams}}


def _line_json(seen: SubmitView, line: Line) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": line.kind.value, "place": line.place, "name": line.name, "value": line.value}
    found["text"] = value_text(line, seen.names)
    found["confidence"] = None if line.confidence is None else line.confidence.value
    if line.strange:
        found["strange"] = True
    if line.job is not None:
        found |= {"job": line.job.number, "unit": line.job.unit}
        if line.job.core is not None:
            found["core"] = line.job.core
    if line.pointer is not None:
        found["pointer"] = {"buffer": seen.names.of(line.pointer.buffer), "offset": line.pointer.offset}
    if note := seen.note(line):
        found["note"] = note
    return found
