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


@dataclass(frozen=True)
class CoefficientReader:
    """How one format is read. ``header``: bytes from which ``size`` tells the whole length."""

    header: Callable[[KernelShape, Chip], int]
    size: Callable[[NDArray[np.uint8], KernelShape, Chip], int]
    decode: Callable[[NDArray[np.uint8], KernelShape, Chip], Weights]


def fault(text: str) -> Fault:
    """What to raise for coefficients that can't be read."""
    return Fault(f"coefficients: {text}", unit="NN")
