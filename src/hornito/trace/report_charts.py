# SPDX-License-Identifier: MIT
"""How are a recording's times, its graph and its memory drawn? HTML and SVG that stretch with the window."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from hornito.stream import BufferKind
from hornito.trace.calls import name_of
from hornito.trace.report_data import Facts, JobFacts, SubmitFacts
from hornito.trace.report_details import key

ROW = 46  # pixels of a job's row in the graph; the style sheet has it too
_SPACING = 12  # pixels between the graph's lines, at most
_GUTTER = 72  # pixels for all of them, at most
_RIGHT = 14  # pixels for the jobs' own line
_STEPS = 2000  # of a lane of calls: what lies closer together is drawn as one
_LANES = 6  # of calls, by name; the rest share one
_HEIGHT = 300  # of the memory map
_TICKS = 4


def bytes_text(count: float) -> str:
    """For a person."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def time_text(seconds: float) -> str:
    """For a person."""
    if seconds < 1e-3:
        return f"{1e6 * seconds:.0f} µs"
    return f"{1e3 * seconds:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _axis(seconds: float) -> str:
    marks = (f"<span>{time_text(seconds * part / _TICKS)}</span>" for part in range(_TICKS + 1))
    return f'<div class="lane"><b></b><div class="axis">{"".join(marks)}</div></div>'


def job_lanes(submit: SubmitFacts) -> Iterator[str]:
    """A lane for each unit, a button for each job."""
    total = submit.seconds
    if not total:
        yield '<p class="dim">Nothing is known of the jobs\' times: nobody knows the chip (name it with --chip).</p>'
        return
    yield '<div class="lanes" data-arrows>'
    for unit in dict.fromkeys(job.job.unit for job in submit.jobs):
        yield f'<div class="lane"><b>{unit}</b><div class="track">'
        for job in submit.jobs:
            if job.job.unit == unit:
                words = escape(f"job {key(submit, job)}, {time_text(job.seconds)}: {job.job.title()}")
                yield (
                    f'<button class="{unit.lower()}" data-job="{key(submit, job)}" title="{words}" aria-label="{words}"'
                    f' style="left:{100 * job.start / total:.3f}%;width:{100 * job.seconds / total:.3f}%"></button>'
                )
        yield "</div></div>"
    yield _axis(total) + "</div>"


def call_lanes(facts: Facts) -> Iterator[str]:
    """When which calls were made, and from when to when each submit took; by the wall clock."""
    if not facts.calls:
        yield '<p class="dim">No calls were recorded.</p>'
        return
    first = min(call.time for call in facts.calls)
    ends = [call.time + call.duration for call in facts.calls] + [end for _, end in facts.spans.values()]
    length = max(1, max(ends) - first)
    spent: dict[str, int] = {}
    for call in facts.calls:
        spent[name_of(call)] = spent.get(name_of(call), 0) + call.duration + 1
    ranked = sorted(spent, key=lambda name: -spent[name])
    lanes = {name: name for name in ranked[:_LANES]} | dict.fromkeys(ranked[_LANES:], "others")
    spans: dict[str, list[tuple[int, int]]] = {}
    if facts.spans:
        spans["submit to fence"] = sorted(facts.spans.values())
    for call in facts.calls:
        spans.setdefault(lanes[name_of(call)], []).append((call.time, call.time + call.duration))
    yield '<div class="lanes calls">'
    for name, found in spans.items():
        path = "".join(
            f"M{start} 0h{max(end - start, 2)}v10h-{max(end - start, 2)}z"
            for start, end in _joined(found, first, length)
        )
        style = "submits" if name == "submit to fence" else "call"
        label = name.removeprefix("ETNAVIV_").lower().replace("_", " ")
        yield (
            f'<div class="lane"><b>{escape(label)}</b><svg class="track" viewBox="0 0 {_STEPS} 10" '
            f'preserveAspectRatio="none" role="img" aria-label="{len(found)} times"><title>{len(found)} times</title>'
            f'<path class="{style}" d="{path}"/></svg></div>'
        )
    yield _axis(length / 1e9) + "</div>"


def _joined(spans: Iterable[tuple[int, int]], first: int, length: int) -> list[list[int]]:
    """In steps of the drawing; those that touch are one."""
    found: list[list[int]] = []
    for start, end in sorted(spans):
        left, right = ((at - first) * _STEPS // length for at in (start, end))
        if found and left <= found[-1][1] + 1:
            found[-1][1] = max(found[-1][1], right)
        else:
            found.append([left, right])
    return found


def graph(submit: SubmitFacts) -> Iterator[str]:
    """A row for each job, lines from those that write to those that read."""
    rows = {job.job.number: number for number, job in enumerate(submit.jobs)}
    edges = sorted({(rows[source], rows[job.job.number]) for job in submit.jobs for source in job.sources})
    lines, width = _edges(edges)
    height = ROW * len(submit.jobs)
    yield f'<div class="graph" style="--gutter:{width}px"><svg width="{width}" height="{height}" aria-hidden="true">'
    yield f'<path d="{"".join(lines)}"/>'
    for number, job in enumerate(submit.jobs):
        yield f'<circle class="{job.job.unit.lower()}" cx="{width - 8}" cy="{ROW * number + ROW // 2}" r="4.5"/>'
    yield '</svg><ol data-arrows="rows">'
    most = max((job.seconds for job in submit.jobs), default=0.0)
    for job in submit.jobs:
        yield _row(submit, job, most)
    yield "</ol></div>"


def _edges(edges: Sequence[tuple[int, int]]) -> tuple[list[str], int]:
    """SVG path data, and the pixels that it is wide: long lines have lanes at the left of the jobs' own line."""
    ends: list[int] = []  # of each lane: the row at which it is free again
    placed = []
    for start, end in edges:
        lane = -1
        if end - start > 1:
            lane = next((number for number, free in enumerate(ends) if free <= start), len(ends))
            ends[lane : lane + 1] = [end]
        placed.append((start, end, lane))
    step = min(_SPACING, _GUTTER / max(1, len(ends)))
    width = _RIGHT + round(step * len(ends))
    middle = width - 8
    lines = []
    for start, end, lane in placed:
        top, bottom = ROW * start + ROW // 2, ROW * end + ROW // 2
        x = round(middle - step * (lane + 1), 1)
        if lane < 0:
            lines.append(f"M{middle} {top}V{bottom}")
        else:
            turn = min(ROW // 2, 10)
            lines.append(f"M{middle} {top}Q{x} {top} {x} {top + turn}V{bottom - turn}Q{x} {bottom} {middle} {bottom}")
    return lines, width


def _row(submit: SubmitFacts, job: JobFacts, most: float) -> str:
    share = 100 * job.seconds / most if most else 0.0
    parts = [time_text(job.seconds)] if job.seconds else []
    parts += [bytes_text(job.work.traffic) + " moved"] if job.work.traffic else []
    more = ""
    if job.coefficients is not None:
        packed = 100 * job.coefficients.size / max(1, job.coefficients.raw_bytes)
        more = f"<span class=more>, coefficients {packed:.0f} %</span>"
    unit = job.job.unit.lower()
    title = job.job.title().removeprefix(job.job.unit).removesuffix(" (x by y by z)").lstrip(":, ")
    return (
        f'<li><button data-job="{key(submit, job)}"><span class="name"><b class="{unit}">{key(submit, job)} '
        f'{job.job.unit}</b> {escape(title)}</span><span class="cost"><i class="{unit}" style="width:{share:.2f}%"></i>'
        f"<span>{', '.join(parts)}{more}</span></span></button></li>"
    )


def memory_map(submit: SubmitFacts) -> Iterator[str]:
    """Addresses downwards, jobs to the right: who reads and writes what, and from when to when it is in use."""
    submission = submit.view.submission
    used = [b for b in submission.buffers if b.kind in (BufferKind.TENSOR, BufferKind.COEFFICIENTS)]
    total = sum(buffer.size for buffer in used)
    if not total or not submit.jobs:
        return
    columns = len(submit.jobs)
    at = 0.0
    shapes: dict[str, list[str]] = {"rest": [], "live": [], "coef": [], "read": [], "write": []}
    for buffer in used:
        height = _HEIGHT * buffer.size / total
        shapes["rest"].append(_box(0, at, columns, height))
        touched = []
        for column, job in enumerate(submit.jobs):
            accesses = [("read", one.start, one.end) for one in job.reads]
            accesses += [("write", one.start, one.end) for one in job.writes]
            if job.coefficients is not None:
                start = job.job.descriptors[0].footprint.coefficients or 0
                accesses.append(("coef", start, start + job.coefficients.size))
            for style, start, end in accesses:
                low, high = max(start, buffer.address), min(end, buffer.end)
                if low < high:
                    touched.append(column)
                    top = at + height * (low - buffer.address) / buffer.size
                    shapes[style].append(_box(column, top, 1, height * (high - low) / buffer.size))
        if touched and buffer.kind is BufferKind.TENSOR:
            shapes["live"].append(_box(min(touched), at, max(touched) + 1 - min(touched), height))
        at += height
    yield '<div class="key"><span><i class="read"></i>read</span><span><i class="write"></i>written</span>'
    yield '<span><i class="coefs"></i>coefficients read</span><span><i class="live"></i>in use</span></div>'
    yield (
        f'<svg class="memory" viewBox="0 0 {columns} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="memory over time; the table below says the same">'
    )
    for style, boxes in shapes.items():
        yield f'<path class="{"coefs" if style == "coef" else style}" d="{"".join(boxes)}"/>'
    yield (
        f'</svg><p class="dim between"><span>job {key(submit, submit.jobs[0])}</span>'
        f"<span>{bytes_text(total)} in {len(used)} buffers, addresses downwards</span>"
        f"<span>job {key(submit, submit.jobs[-1])}</span></p>"
    )


def _box(x: float, y: float, width: float, height: float) -> str:
    return f"M{x:g} {y:.2f}h{width:g}v{max(height, 0.6):.2f}h-{width:g}z"
