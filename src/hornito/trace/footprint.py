# SPDX-License-Identifier: MIT
"""Which memory does a job read and write? Device addresses, from its descriptors alone.

The ranges are those between the first and the last byte; what lies between and is skipped counts too.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from hornito.hardware.nn import KERNEL_ADDRESS_SHIFT, NNDescriptor, Pooling
from hornito.hardware.tp import COUNTED_LOOPS, TPDescriptor
from hornito.stream.annotate import NN, TP, JobPlace, Line, LineKind


@dataclass(frozen=True)
class Range:
    """Bytes from ``start`` up to, not including, ``end``; device addresses."""

    start: int
    end: int


@dataclass(frozen=True)
class Footprint:
    """What one descriptor makes its unit touch. ``coefficients`` is the address of an NN job's stream."""

    read: Range
    written: Range
    coefficients: int | None = None


@dataclass(frozen=True)
class DescriptorAt:
    """A descriptor of a submission: whose it is, where it lies (buffer number, byte offset), and its fields."""

    job: JobPlace
    buffer: int
    offset: int
    fields: dict[str, int]

    @cached_property
    def footprint(self) -> Footprint:
        """What it makes its unit touch."""
        return nn_footprint(self.fields) if self.job.unit == NN else tp_footprint(self.fields)

    @property
    def nn(self) -> NNDescriptor:
        """The descriptor of an NN job."""
        return NNDescriptor(**self.fields)

    @property
    def tp(self) -> TPDescriptor:
        """The descriptor of one core of a TP job."""
        return TPDescriptor(**self.fields)


def descriptors(lines: Iterable[Line]) -> Iterator[DescriptorAt]:
    """Every descriptor among a submission's lines, in order."""
    count = {NN: len(NNDescriptor.layout()), TP: len(TPDescriptor.layout())}
    fields: dict[str, int] = {}
    for line in lines:
        if line.kind is LineKind.STATE:
            fields = {}
        if line.kind is LineKind.FIELD and line.job is not None:
            fields[line.name] = line.value
            if len(fields) == count[line.job.unit]:
                yield DescriptorAt(line.job, line.holder, line.start, fields)


def nn_footprint(fields: dict[str, int]) -> Footprint:
    """Of a convolution."""
    d = NNDescriptor(**fields)
    step = 2 if d.pooling == Pooling.FIRST_PIXEL else 1
    read = _planes(d.channels, d.in_image_x_stride * d.in_image_y_stride, d.in_image_y_size, d.in_image_x_stride)
    plane = d.out_image_x_stride * d.out_image_y_stride
    written = _planes(d.out_image_z_size, plane, d.out_image_y_size // step, d.out_image_x_stride)
    return Footprint(
        Range(d.in_image_address, d.in_image_address + read + d.in_image_x_size),
        Range(d.out_image_address, d.out_image_address + written + d.out_image_x_size // step),
        d.kernel_address << KERNEL_ADDRESS_SHIFT,
    )


def _planes(planes: int, plane: int, rows: int, row: int) -> int:
    """Bytes from an image's start to its last row."""
    return max(0, planes - 1) * plane + max(0, rows - 1) * row


def tp_footprint(fields: dict[str, int]) -> Footprint:
    """Of one core's part of a move. What it reads outside of the image is no memory."""
    d = TPDescriptor(**fields)
    columns, rows = d.in_window_x_end - d.in_window_x_start + 1, d.in_window_y_end - d.in_window_y_start + 1
    elements = max(0, columns) * max(0, rows) * d.in_image_z_size
    first = d.in_image_base_address + max(0, d.in_window_y_start) * d.in_image_stride + max(0, d.in_window_x_start)
    last_row, last_column = min(d.in_window_y_end, d.in_image_y_size - 1), min(d.in_window_x_end, d.in_image_x_size - 1)
    planes = max(0, d.in_image_z_size - 1) * d.in_image_slice
    last = d.in_image_base_address + planes + max(0, last_row) * d.in_image_stride + max(0, last_column)
    loops = math.prod(d.loop_counts) or 1
    steps = [*(count - 1 for count in d.loop_counts), max(0, -(-elements // loops) - 1)]
    reach = [step * increment for step, increment in zip(steps, d.loop_increments, strict=True)]
    assert len(reach) == COUNTED_LOOPS + 1
    start = d.out_image_base_address
    return Footprint(
        Range(first, max(first, last) + 1),
        Range(start + sum(min(0, r) for r in reach), start + sum(max(0, r) for r in reach) + 1),
    )
