# SPDX-License-Identifier: MIT
"""What do an NN job's coefficients hold, and how well are they packed?

Decoded by what the virtual NPU decodes with; that is imported when the first job is.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hornito.errors import BadStream, HornitoError, Unsupported
from hornito.hardware.chips import Chip, find_chip
from hornito.hardware.nn import NNDescriptor
from hornito.stream.submission import Buffer

if TYPE_CHECKING:
    from hornito.virtual.npu.weights import CoreStream, KernelShape, Weights

MOST_WEIGHTS = 1 << 28  # that an array is made of


@dataclass(frozen=True, eq=False)
class Coefficients:
    """A decoded blob of ``size`` bytes. ``raw_bytes``: what its weights and biases would take as they are."""

    size: int
    shape: "KernelShape"
    weights: "Weights"

    @property
    def streams(self) -> "tuple[CoreStream, ...]":
        """The cores' streams, in order."""
        return self.weights.streams

    @property
    def count(self) -> int:
        """Weights, padding kernels' not counted."""
        planes = 1 if self.shape.depthwise else self.shape.planes
        return self.shape.outputs * planes * self.shape.rows * self.shape.columns

    @property
    def raw_bytes(self) -> int:
        return self.count + 4 * self.shape.outputs

    @property
    def zeros(self) -> int:
        """Weights that equal the zero point."""
        return self.count - len(self.weights.values)

    @property
    def padding_kernels(self) -> int:
        """Kernels that belong to no output channel: those that fill the cores up."""
        return max(0, sum(stream.kernels for stream in self.streams) - self.shape.outputs)

    def array(self) -> NDArray[np.uint8]:
        """The weights as bytes, [output][input][row][column]; of a depthwise job one input each. Raises BadStream for
        more than MOST_WEIGHTS."""
        shape = self.shape
        if self.count > MOST_WEIGHTS:
            raise BadStream(f"coefficients: {self.count} weights; arrays have up to {MOST_WEIGHTS}")
        planes = 1 if shape.depthwise else shape.planes
        found = np.full((shape.outputs, planes * shape.rows * shape.columns), shape.zero_point, np.uint8)
        places = self.weights.places
        if shape.depthwise:
            places = places - (self.weights.outputs * (shape.rows * shape.columns)).astype(np.int32)
        found[self.weights.outputs, places] = (self.weights.values + shape.zero_point).astype(np.uint8)
        return found.reshape(shape.outputs, planes, shape.rows, shape.columns)

    def text(self) -> str:
        """One line: sizes, compression, zero runs, bits used."""
        streams = self.streams
        parts = [f"{self.size} bytes for {self.count} weights and {self.shape.outputs} biases"]
        parts.append(f"{100 * self.size / max(1, self.raw_bytes):.0f} % of their size")
        parts.append(f"{100 * self.zeros / max(1, self.count):.0f} % zeros")
        widths = sorted({stream.zrl_bits for stream in streams if stream.zrl_bits is not None})
        if widths:
            parts.append(f"zero runs of {'/'.join(map(str, widths))} bits" if widths != [0] else "no zero runs")
        else:
            parts.append("byte code")
        used = sum(stream.bits for stream in streams)
        parts.append(f"{len(streams)} cores, {used} of {8 * sum(stream.size for stream in streams)} bits used")
        if self.padding_kernels:
            parts.append(f"{self.padding_kernels} padding kernels")
        return ", ".join(parts)


def chip_of(name: str, descriptor: NNDescriptor | None) -> Chip | None:
    """The chip of a recording: the one it names, else the known one of the descriptor's generation; None: unknown."""
    if name:
        return find_chip(name)
    if descriptor is None:
        return None
    return find_chip(GENERATION_8 if descriptor.no_z_offset else GENERATION_7)


GENERATION_7 = "a311d"
GENERATION_8 = "imx8mp"


def blob_size(buffer: Buffer, offset: int, descriptor: NNDescriptor, chip: Chip) -> int:
    """The size of the blob that begins at ``offset`` of a buffer, by its header. Raises BadStream, Unsupported."""
    from hornito.virtual.npu.coefficients import READERS
    from hornito.virtual.npu.weights import shape_of

    reader = READERS.get(chip.coefficient_format)
    if reader is None:
        raise Unsupported(f"{chip.name}: coefficients of format {chip.coefficient_format.value!r} are not understood")
    shape = shape_of(descriptor)
    for name in ("outputs", "planes", "rows", "columns", "per_core", "plane"):
        if not getattr(shape, name):
            raise BadStream(f"coefficients: the descriptor gives them the shape {shape}, with {name} = 0")
    return reader.size(content_at(buffer, offset, reader.header(shape, chip)), shape, chip)


def content_at(buffer: Buffer, offset: int, length: int) -> NDArray[np.uint8]:
    """So many bytes of a buffer; what was left out of its contents is zero. Raises BadStream where they end early."""
    if buffer.data is None or not 0 <= offset <= offset + length <= max(buffer.size, len(buffer.data)):
        raise BadStream(f"{length} bytes at {offset:#x} of a buffer of {buffer.size} bytes are not there")
    found = buffer.data[offset : offset + length]
    return np.pad(found, (0, length - len(found)))


def decode(buffer: Buffer, offset: int, descriptor: NNDescriptor, chip: Chip) -> Coefficients:
    """Decode the blob that begins at ``offset`` of a buffer. Raises BadStream naming what is wrong, Unsupported."""
    from hornito.virtual.npu.coefficients import READERS
    from hornito.virtual.npu.weights import shape_of

    size = blob_size(buffer, offset, descriptor, chip)
    shape = shape_of(descriptor)
    try:
        weights = READERS[chip.coefficient_format].decode(content_at(buffer, offset, size), shape, chip)
    except HornitoError:
        raise
    except (ValueError, IndexError, ZeroDivisionError, MemoryError) as error:
        raise BadStream(f"coefficients: do not fit the descriptor ({type(error).__name__})") from error
    return Coefficients(size, shape, weights)
