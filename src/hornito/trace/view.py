# SPDX-License-Identifier: MIT
"""What is there to say about one submit of a recording? Its lines, its jobs, where each tensor comes from and goes to,
its coefficients: what ``show`` prints and ``report`` draws."""

from dataclasses import dataclass
from functools import cached_property

from hornito.errors import BadInput, BadStream, Unsupported
from hornito.hardware.chips import Chip
from hornito.hardware.nn import KERNEL_ADDRESS_SHIFT, NNDescriptor, Pooling
from hornito.stream import Port, Submission
from hornito.stream.annotate import NN, Line, LineKind, annotate
from hornito.stream.listing import Names
from hornito.trace.coefficients import Coefficients, chip_of, decode
from hornito.trace.footprint import DescriptorAt, Range, descriptors
from hornito.trace.records import Recording, Submit
from hornito.trace.submissions import to_submission


@dataclass(frozen=True)
class JobView:
    """A job of a submit: its number there, its unit, its descriptors in the order of the cores."""

    number: int
    unit: str
    descriptors: tuple[DescriptorAt, ...]

    def title(self) -> str:
        """What it does, in a few words."""
        if not self.descriptors:
            return f"{self.unit}, no descriptor"
        if self.unit == NN:
            return _nn_title(self.descriptors[0].nn)
        cores = f"{len(self.descriptors)} cores" if len(self.descriptors) > 1 else "1 core"
        first = self.descriptors[0].tp
        return (
            f"TP, {cores}: moves {first.in_image_x_size}x{first.in_image_y_size}x{first.in_image_z_size} elements"
            + (" and more" if len(self.descriptors) > 1 else "")
        )


def _nn_title(d: NNDescriptor) -> str:
    step = 2 if d.pooling == Pooling.FIRST_PIXEL else 1
    kind = "depthwise convolution" if d.depthwise else "convolution"
    stride = ", stride 2" if step == 2 else ""
    return (
        f"NN: {kind} {d.kernel_xy_size}x{d.kernel_y_size}{stride}, "
        f"{d.in_image_x_size}x{d.in_image_y_size}x{d.channels} -> "
        f"{d.out_image_x_size // step}x{d.out_image_y_size // step}x{d.out_image_z_size}"
        f"{', ReLU' if d.relu else ''} (x by y by z)"
    )


@dataclass
class SubmitView:
    """One submit, its contents as they were handed in. ``chip`` is the recording's, if anybody knows."""

    submit: Submit
    submission: Submission
    chip_name: str = ""

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """Every value of the stream and of the descriptors."""
        return tuple(annotate(self.submission))

    @cached_property
    def names(self) -> Names:
        """Names for the buffers, in the order in which the lines mention them."""
        names = Names(self.submission)
        for line in self.lines:
            if line.pointer is not None:
                names.of(line.pointer.buffer)
        return names

    @cached_property
    def jobs(self) -> list[JobView]:
        """The jobs in order."""
        found: dict[int, list[DescriptorAt]] = {}
        units: dict[int, str] = {}
        for line in self.lines:
            if line.job is not None:
                units.setdefault(line.job.number, line.job.unit)
        for one in descriptors(self.lines):
            found.setdefault(one.job.number, []).append(one)
        return [JobView(number, unit, tuple(found.get(number, ()))) for number, unit in sorted(units.items())]

    def job(self, number: int) -> JobView:
        """The job of that number."""
        return next(job for job in self.jobs if job.number == number)

    @cached_property
    def chip(self) -> Chip | None:
        """The chip that the recording names, or one of the generation that the descriptors are of."""
        first = next((job.descriptors[0].nn for job in self.jobs if job.unit == NN and job.descriptors), None)
        return chip_of(self.chip_name, first)

    def coefficients(self, descriptor: DescriptorAt) -> Coefficients:
        """An NN job's coefficients, decoded. Raises BadStream or Unsupported, naming what is wrong."""
        address = descriptor.fields["kernel_address"] << KERNEL_ADDRESS_SHIFT
        number = self.submission.buffer_at(address)
        if number is None or self.submission.buffers[number].data is None:
            raise BadStream(f"no coefficients were recorded at {address:#x}")
        if self.chip is None:
            raise Unsupported("nobody knows the chip; name it with --chip")
        buffer = self.submission.buffers[number]
        return decode(buffer, address - buffer.address, descriptor.nn, self.chip)

    @cached_property
    def _writers(self) -> list[tuple[int, Range]]:
        """Of each descriptor the job that it belongs to, and what it writes; in order."""
        return [(job.number, one.footprint.written) for job in self.jobs for one in job.descriptors]

    def origin(self, address: int, job: int) -> str:
        """Where the tensor at that address comes from, for a job that reads it: an earlier job, an input, or ""."""
        for number, written in reversed(self._writers):
            if number < job and written.start <= address < written.end:
                return f"from job {number}"
        return self._port(self.submission.inputs, address, "input")

    def goal(self, address: int) -> str:
        """The output of the network that a job writes there; "" if it is none."""
        return self._port(self.submission.outputs, address, "output")

    def users(self, number: int) -> list[str]:
        """Which jobs write and read a buffer's memory, in words."""
        buffer = self.submission.buffers[number]
        jobs: dict[str, list[str]] = {"written": [], "read": []}
        for job in self.jobs:
            for what, found in jobs.items():
                ranges = [getattr(one.footprint, what) for one in job.descriptors]
                if any(one.start < buffer.end and buffer.address < one.end for one in ranges):
                    found.append(str(job.number))
        return [f"{what} by job {', '.join(found)}" for what, found in jobs.items() if found]

    def _port(self, ports: tuple[Port, ...], address: int, role: str) -> str:
        for port in ports:
            start = self.submission.buffers[port.buffer].address + port.offset
            if start <= address < start + max(1, port.bytes):
                return f"{role} T#{port.tensor.index} {port.tensor.name!r}"
        return ""

    def note(self, line: Line) -> str:
        """What is known of the place that an address field points to, beyond its buffer."""
        if line.kind is not LineKind.FIELD or line.job is None:
            return ""
        if line.name in ("in_image_address", "in_image_base_address"):
            return self.origin(line.value, line.job.number)
        if line.name in ("out_image_address", "out_image_base_address"):
            return self.goal(line.value)
        return ""

    def weights_of(self, job: int) -> Coefficients:
        """The coefficients of a job by its number. Raises BadInput for one that has none."""
        for one in self.jobs:
            if one.number == job and one.unit == NN and one.descriptors:
                return self.coefficients(one.descriptors[0])
        known = ", ".join(str(one.number) for one in self.jobs if one.unit == NN) or "none"
        raise BadInput(f"submit {self.submit.number} has no NN job {job}; it has {known}")


def view(recording: Recording, submit: Submit, chip: str = "") -> SubmitView:
    """A submit of a recording, ready to be looked at. Raises BadInput for one that is malformed."""
    return SubmitView(submit, to_submission(recording, submit), chip or recording.header.chip)
