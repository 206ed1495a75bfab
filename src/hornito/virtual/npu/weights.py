# SPDX-License-Identifier: MIT
"""What passes between a descriptor and whoever reads its coefficients?"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hornito.hardware.chips import Chip
from hornito.hardware.nn import NNDescriptor
from hornito.virtual.faults import Fault
from hornito.virtual.npu import decoders


@dataclass(frozen=True)
class KernelShape:
    """What a descriptor says about its coefficients. ``plane``: bytes of an output plane; ``per_core``: kernels that a
    core has in each superblock but the last; ``depthwise``: output o sees input plane o alone, and the stream holds one
    plane a kernel."""

    outputs: int
    planes: int
    rows: int
    columns: int
    per_core: int
    zero_point: int
    plane: int
    depthwise: bool = False


def shape_of(d: NNDescriptor) -> KernelShape:
    """What a descriptor says about its coefficients."""
    return KernelShape(
        *(d.out_image_z_size, d.channels, d.kernel_y_size, d.kernel_xy_size, d.kernels_per_core, d.coef_zero_point),
        *(d.out_image_x_stride * d.out_image_y_stride, bool(d.depthwise)),
    )


@dataclass(frozen=True, eq=False)
class CoreStream:
    """One core's stream as it was found: its place in the blob (bytes), the bits of it that are used, its kernels, and
    on version 7 the width of its zero runs (bits) and each kernel's two fields, in the order of the stream."""

    begin: int
    size: int
    bits: int
    kernels: int
    zrl_bits: int | None = None
    biases: tuple[int, ...] = ()
    offsets: tuple[int, ...] = ()


Found = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int16]]


@dataclass(frozen=True, eq=False)
class Weights:
    """Biases, one an output channel, and every non-zero weight; and the streams that held them.

    A weight's place is input channel, row and column counted as one index. Where many weights differ from zero they are
    all in ``table``, bytes [output channel, place] of which ``zero_point`` means zero; where few do ``few`` has those.
    """

    biases: NDArray[np.int64]
    table: NDArray[np.uint8] | None
    zero_point: int
    few: Found | None
    streams: tuple[CoreStream, ...] = ()

    @cached_property
    def found(self) -> Found:
        """The non-zero weights: output channels, places, and values with the zero point subtracted."""
        if self.few is not None:
            return self.few
        assert self.table is not None
        outputs, places = np.nonzero(self.table != self.zero_point)
        values = self.table[outputs, places].astype(np.int16) - np.int16(self.zero_point)
        return outputs, places.astype(np.int32), values

    @property
    def outputs(self) -> NDArray[np.int64]:
        """Output channels of the non-zero weights."""
        return self.found[0]

    @property
    def places(self) -> NDArray[np.int32]:
        """Their places."""
        return self.found[1]

    @property
    def values(self) -> NDArray[np.int16]:
        """Their values, with the zero point subtracted."""
        return self.found[2]

    def all_bytes(self, outputs: int, places: int) -> NDArray[np.uint8]:
        """``table``, made if it is not there."""
        if self.table is not None:
            return self.table
        table = np.full((outputs, places), self.zero_point, np.uint8)
        table[self.outputs, self.places] = (self.values + self.zero_point).astype(np.uint8)
        return table

    def used(self, places: int) -> NDArray[np.bool_]:
        """Of which places any output has a weight that differs from zero."""
        if self.table is not None:
            return np.asarray((self.table != self.zero_point).any(axis=0))
        used = np.zeros(places, np.bool_)
        used[self.places] = True
        return used

    @property
    def extremes(self) -> tuple[int, int]:
        """The least and the greatest value, or zero."""
        if self.table is None:
            return int(self.values.min(initial=0)), int(self.values.max(initial=0))
        low, high = (int(end(initial=self.zero_point)) for end in (self.table.min, self.table.max))
        return low - self.zero_point, high - self.zero_point

    def sums(self, outputs: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each output, the sum of its values' sizes, and that of its values."""
        sizes, totals = np.zeros(outputs, np.int64), np.zeros(outputs, np.int64)
        if self.table is not None:
            decoders.add_up_bytes(self.table, self.zero_point, sizes, totals)
        else:
            decoders.add_up(self.outputs, self.values, sizes, totals)
        return sizes, totals


@dataclass(frozen=True)
class CoefficientReader:
    """How one format is read. ``header``: bytes from which ``size`` tells the whole length."""

    header: Callable[[KernelShape, Chip], int]
    size: Callable[[NDArray[np.uint8], KernelShape, Chip], int]
    decode: Callable[[NDArray[np.uint8], KernelShape, Chip], Weights]


def fault(text: str) -> Fault:
    """What to raise for coefficients that can't be read."""
    return Fault(f"coefficients: {text}", unit="NN")
