# SPDX-License-Identifier: MIT
"""What does a report show once a job is chosen? Facts, neighbours, pictures of its tensors, its listing: data in the
page, which the page's script makes visible."""

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.errors import BadInput
from hornito.hardware.nn import NNDescriptor, Pooling
from hornito.stream import Port
from hornito.stream.annotate import NN
from hornito.stream.listing import line_text
from hornito.trace.pictures import coloured, mosaic, png
from hornito.trace.records import Recording
from hornito.trace.report_data import Facts, JobFacts, SubmitFacts
from hornito.trace.submissions import order_of

MOST_LISTED = 2_000_000  # characters of listings in a page
MOST_DRAWN = 1_500_000  # bytes of pictures in a page
_COLOURS = 3


@dataclass(frozen=True)
class _Planes:
    """Where a tensor lies that an NN job reads or writes: bytes from row to row and from plane to plane."""

    address: int
    size: tuple[int, int, int]  # planes, rows, columns
    strides: tuple[int, int, int]


class Details:
    """Of all jobs of a recording, in order; ``left_out`` says which limits were met."""

    def __init__(self, facts: Facts) -> None:
        self._listed = self._drawn = 0
        self.left_out: set[str] = set()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pictures: dict[str, dict[str, Any]] = {}
        for submit in facts.submits:
            contents = _Contents(facts.recording, submit)
            for port, role in [(p, "input") for p in submit.view.submission.inputs] + [
                (p, "output") for p in submit.view.submission.outputs
            ]:
                self._port(submit, contents, port, role)
            for job in submit.jobs:
                self.jobs[key(submit, job)] = self._job(submit, job, contents)

    def _port(self, submit: SubmitFacts, contents: "_Contents", port: Port, role: str) -> None:
        values = contents.at(submit.view.submission.buffers[port.buffer].address + port.offset, port.bytes)
        tensor = port.tensor
        if values is None or tensor.bytes != port.bytes or port.bytes == 0 or len(values) < port.bytes:
            return
        shape = tensor.shape[1:] if len(tensor.shape) == 4 else (1, 1, port.bytes)
        if np.prod(shape) != port.bytes:
            return
        pixels = values[: port.bytes].reshape(shape)
        caption = f"{role} T#{tensor.index} {tensor.name!r} {'x'.join(map(str, tensor.shape))}"
        if shape[2] == _COLOURS:
            self._picture(f"{submit.number}.{role}{tensor.index}", coloured(pixels), caption)
        else:
            image, shown = mosaic(pixels.transpose(2, 0, 1))
            of = f", {shown} of {shape[2]} planes" if shown < shape[2] else ""
            self._picture(f"{submit.number}.{role}{tensor.index}", image, f"{caption}{of}")

    def _job(self, submit: SubmitFacts, job: JobFacts, contents: "_Contents") -> dict[str, Any]:
        own = key(submit, job)
        found: dict[str, Any] = {"title": f"Job {own}: {job.job.title()}", "facts": list(_facts(submit, job))}
        found["listing"] = self._listing(submit, job)
        if job.job.unit == NN and job.job.descriptors:
            descriptor = job.job.descriptors[0].nn
            for role, planes in (("reads", _read(descriptor)), ("writes", _written(descriptor))):
                self._planes(f"{own}.{role}", f"{role} ", planes, contents)
        found["pictures"] = [name for name in (f"{own}.reads", f"{own}.writes") if name in self.pictures]
        return found

    def _planes(self, name: str, words: str, planes: _Planes, contents: "_Contents") -> None:
        count, rows, columns = planes.size
        if min(planes.size) <= 0:
            return
        reach = sum((length - 1) * step for length, step in zip(planes.size, planes.strides, strict=True)) + 1
        values = contents.at(planes.address, reach)
        if values is None or math.prod(planes.size) > reach:  # no such tensor: its rows or planes overlap
            return
        tensor = np.lib.stride_tricks.as_strided(values, planes.size, planes.strides, writeable=False)
        image, shown = mosaic(tensor)
        of = f", {shown} planes shown" if shown < count else ""
        span = f"stored values {int(tensor.min())} to {int(tensor.max())}"
        self._picture(name, image, f"{words}{columns}x{rows}x{count}{of}; {span}")

    def _picture(self, name: str, image: NDArray[np.uint8], caption: str) -> None:
        content = base64.b64encode(png(image)).decode()
        if self._drawn + len(content) > MOST_DRAWN:
            self.left_out.add("pictures")
            return
        self._drawn += len(content)
        height, width = image.shape[:2]
        self.pictures[name] = {"png": content, "caption": caption, "width": width, "height": height}

    def _listing(self, submit: SubmitFacts, job: JobFacts) -> str:
        text = "\n".join(listing(submit, job))
        if self._listed + len(text) > MOST_LISTED:
            self.left_out.add("listings")
            return ""
        self._listed += len(text)
        return text


def key(submit: SubmitFacts, job: JobFacts) -> str:
    """A job's name in the page, as ``--job`` takes it: submit and job."""
    return f"{submit.number}.{job.job.number}"


def listing(submit: SubmitFacts, job: JobFacts) -> Iterator[str]:
    """The lines of a job, as ``show`` has them."""
    seen = submit.view
    for line in seen.lines:
        if line.job is not None and line.job.number == job.job.number:
            note = seen.note(line)
            yield line_text(line, seen.names) + (f"  ({note})" if note else "")


def _facts(submit: SubmitFacts, job: JobFacts) -> Iterator[tuple[str, str]]:
    known = "recorded" if job.recorded else "modelled"
    if job.cost is not None:
        span = "" if job.recorded else f" ({1e6 * job.cost.time.low:.0f} .. {1e6 * job.cost.time.high:.0f})"
        yield f"time, {known}", f"{1e6 * job.seconds:.1f} µs{span}; modelled as bound by {job.cost.bound.value}"
        if job.work.macs:
            yield "multiply-adds", f"{job.work.macs:,}, {100 * job.cost.utilisation:.0f} % of the array's rate"
        yield "read", f"{job.work.read:,} bytes, {job.work.coefficient_reads:,} of them coefficients"
        yield "written", f"{job.work.written:,} bytes"
        if job.work.cached:
            yield "from SRAM", f"{job.work.cached:,} bytes"
    elif job.recorded:
        yield f"time, {known}", f"{1e6 * job.seconds:.1f} µs"
    if job.coefficients is not None:
        yield "coefficients", job.coefficients.text()
    if job.problem:
        yield "coefficients", f"can't be read: {job.problem}"
    yield "reads from", ", ".join(f"job {submit.number}.{n}" for n in job.sources) or "no earlier job"
    users = [other.job.number for other in submit.jobs if job.job.number in other.sources]
    yield "read by", ", ".join(f"job {submit.number}.{number}" for number in users) or "no later job"


def _read(d: NNDescriptor) -> _Planes:
    plane = d.in_image_x_stride * d.in_image_y_stride
    size = (d.channels, d.in_image_y_size, d.in_image_x_size)
    return _Planes(d.in_image_address, size, (plane, d.in_image_x_stride, 1))


def _written(d: NNDescriptor) -> _Planes:
    step = 2 if d.pooling == Pooling.FIRST_PIXEL else 1
    plane = d.out_image_x_stride * d.out_image_y_stride
    size = (d.out_image_z_size, d.out_image_y_size // step, d.out_image_x_size // step)
    return _Planes(d.out_image_address, size, (plane, d.out_image_x_stride, 1))


class _Contents:
    """What a submit's buffers held after its jobs; before them those that no job wrote to."""

    def __init__(self, recording: Recording, submit: SubmitFacts) -> None:
        self._recording = recording
        self._submission = submit.view.submission
        rank = {old: new for new, old in enumerate(order_of(submit.view.submit))}
        written = submit.done.written if submit.done is not None else ()
        self._after = {rank[one.buffer]: one.after for one in written if one.buffer in rank}
        self._touched = [one for job in submit.jobs for one in job.writes]

    def at(self, address: int, length: int) -> NDArray[np.uint8] | None:
        """So many bytes from an address on; None where they were not recorded."""
        number = self._submission.buffer_at(address)
        if number is None or address + length > self._submission.buffers[number].end:
            return None
        buffer = self._submission.buffers[number]
        if number in self._after:
            try:
                content = self._recording.bytes_of(self._after[number], buffer.size)
            except BadInput:
                return None
            data = np.frombuffer(content, np.uint8)
        elif buffer.data is None or any(one.start < buffer.end and buffer.address < one.end for one in self._touched):
            return None
        else:
            data = buffer.data
        found = data[address - buffer.address : address - buffer.address + length]
        return np.pad(found, (0, length - len(found)))
