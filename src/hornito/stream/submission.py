# SPDX-License-Identifier: MIT
"""What is handed to a device? A ``Submission``: everything one submit needs, and every place that holds an address.

An ``Archive`` is a compiled model: submissions, the CPU's parts between them, and what joins the two.
"""

import dataclasses
import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.errors import BadStream

STREAM = -1  # a relocation whose place is in the stream
KERNEL_ADDRESS_BITS = 26


class BufferKind(enum.StrEnum):
    """What a buffer holds; the spelling of the file format."""

    NN = "nn"
    TP = "tp"
    COEFFICIENTS = "coef"
    TENSOR = "tensor"


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory that the device reads or writes: its address, its size in bytes, and its first bytes (uint8; the rest is
    zero). ``data`` is None for tensors whose contents do not matter."""

    kind: BufferKind
    address: int
    size: int
    data: NDArray[np.uint8] | None = None

    @property
    def end(self) -> int:
        """The first address behind the buffer."""
        return self.address + self.size


@dataclass(frozen=True)
class Relocation:
    """A 32-bit word that holds a device address, at byte ``offset`` of buffer number ``buffer`` (STREAM: the stream).

    The word already holds what is right for the target's present address. Moving the target by d adds d >> shift; with
    a shift of 6 (descriptor word 5) only bits 25:0 belong to the address.
    """

    buffer: int
    offset: int
    target: int
    shift: int = 0


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as its model declares it. ``dtype`` is numpy's name; scale and zero point are 0 where there are none."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Port:
    """Where an input or output of a submission lies: ``bytes`` from ``offset`` of buffer number ``buffer``.

    The tensor lies there in the model's own order, unsigned: int8 tensors are shifted by 128.
    """

    tensor: TensorInfo
    buffer: int
    offset: int
    bytes: int


@dataclass(frozen=True, eq=False)
class Submission:
    """One submit: the stream's words (uint32), its buffers by ascending address, relocations, inputs and outputs."""

    stream: NDArray[np.uint32]
    buffers: tuple[Buffer, ...] = ()
    relocations: tuple[Relocation, ...] = ()
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()

    def buffer_at(self, address: int) -> int | None:
        """The number of the buffer that holds this address, or None."""
        bases = [buffer.address for buffer in self.buffers]
        number = int(np.searchsorted(np.array(bases, dtype=np.uint64), np.uint64(address), side="right")) - 1
        return number if number >= 0 and address < self.buffers[number].end else None

    def moved(self, addresses: Sequence[int]) -> "Submission":
        """The same submission with buffer i at ``addresses[i]``; buffers are numbered anew, ascending by address.

        Raises BadStream for a relocation that points nowhere.
        """
        shifts = [new - buffer.address for new, buffer in zip(addresses, self.buffers, strict=True)]
        changed = {place.buffer for place in self.relocations}
        contents = {
            number: buffer.data.copy() if number in changed else buffer.data  # weights, mostly: shared, never changed
            for number, buffer in enumerate(self.buffers)
            if buffer.data is not None
        }
        contents[STREAM] = self.stream.astype("<u4").view(np.uint8)  # astype copies
        for place in self.relocations:
            content = contents.get(place.buffer)
            if content is None or place.offset + 4 > len(content) or not 0 <= place.target < len(self.buffers):
                raise BadStream(f"relocation at byte {place.offset} of buffer {place.buffer} points nowhere")
            word = int.from_bytes(content[place.offset : place.offset + 4].tobytes(), "little")
            word = moved_word(word, shifts[place.target], place.shift)
            content[place.offset : place.offset + 4] = np.frombuffer(word.to_bytes(4, "little"), np.uint8)
        order = sorted(range(len(self.buffers)), key=lambda number: addresses[number])
        rank = {number: new for new, number in enumerate(order)} | {STREAM: STREAM}
        return Submission(
            contents[STREAM].view("<u4").astype(np.uint32),
            tuple(
                dataclasses.replace(self.buffers[number], address=addresses[number], data=contents.get(number))
                for number in order
            ),
            tuple(
                dataclasses.replace(place, buffer=rank[place.buffer], target=rank[place.target])
                for place in self.relocations
            ),
            tuple(dataclasses.replace(port, buffer=rank[port.buffer]) for port in self.inputs),
            tuple(dataclasses.replace(port, buffer=rank[port.buffer]) for port in self.outputs),
        )


def moved_word(word: int, distance: int, shift: int) -> int:
    """A relocated word after its target moved by ``distance`` bytes."""
    if shift == 0:
        return (word + distance) % (1 << 32)
    mask = (1 << KERNEL_ADDRESS_BITS) - 1
    return word & ~mask | ((word & mask) + (distance >> shift)) & mask


@dataclass(frozen=True)
class NpuSegment:
    """Operators that one submission runs; ``submission`` is its number in the archive."""

    submission: int


@dataclass(frozen=True)
class CpuSegment:
    """Operators that LiteRT runs: a TFLite model of its own, with the tensors (indices) it takes and gives in order."""

    model: bytes
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Archive:
    """A compiled model, or captured submissions (then ``segments`` is empty and ``chip`` "").

    Submission 0 initialises the device; segments run in order. ``tensors`` holds every tensor that crosses a segment's
    edge; ``inputs`` and ``outputs`` are the model's own, by index, in its order.
    """

    submissions: tuple[Submission, ...]
    chip: str = ""
    level: str = ""
    tensors: tuple[TensorInfo, ...] = ()
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    segments: tuple[NpuSegment | CpuSegment, ...] = ()
