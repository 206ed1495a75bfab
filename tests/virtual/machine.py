# SPDX-License-Identifier: MIT
"""What do tests of the virtual NPU run on? Device memory of memfds with guard pages, and descriptors made by hand."""

import csv
import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.hardware.chips import Chip, find_chip
from hornito.hardware.nn import NNDescriptor, split_multiplier, split_offsets
from hornito.hardware.states import (
    GL_NN_CONFIG,
    GL_OCB_REMAP_END,
    GL_OCB_REMAP_START,
    GL_TP_CONFIG,
    GL_UNK03950,
    PS_NN_INST_ADDR,
    PS_TP_INST_ADDR,
    PS_UNK10A4,
)
from hornito.hardware.tp import TPDescriptor
from hornito.stream import Archive, BufferKind, StreamBuilder, Submission
from hornito.virtual.memory import AddressSpace
from hornito.virtual.npu.executor import Executor

PAGE = 4096
Bytes = NDArray[np.uint8]
CHIP = find_chip("vipnano-qi")
CHIP_V8 = find_chip("vipnano-si-plus")
CODE, COEFFICIENTS, INPUT, OUTPUT = 0xF0000000, 0xF0100000, 0xF0200000, 0xF0300000  # of a single NN job
ADDRESSES = {"kernel_address": COEFFICIENTS >> 6, "in_image_address": INPUT, "out_image_address": OUTPUT}


@functools.cache
def executor(chip: Chip = CHIP) -> Executor:
    """One a chip for all tests: what it keeps between runs must never show."""
    return Executor(chip)


class Memory:
    """Device memory. Every buffer lies within a file of its own that has a guard page before and behind it."""

    def __init__(self) -> None:
        self.space = AddressSpace()
        self._files: dict[int, tuple[int, int]] = {}  # by address: descriptor, bytes

    def add(self, address: int, size: int, data: Bytes | None = None) -> Bytes:
        fd = os.memfd_create("test")
        size = -(-size // PAGE) * PAGE
        os.ftruncate(fd, size + 2 * PAGE)
        for guard in (0, PAGE + size):
            os.pwrite(fd, b"\xa5" * PAGE, guard)
        self.space.map(address, size, fd, PAGE)
        self._files[address] = fd, size
        view = self.space.view(address, size)
        if data is not None:
            view[: len(data)] = data
        return view

    def load(self, submission: Submission) -> None:
        for buffer in submission.buffers:
            if buffer.address not in self._files:
                self.add(buffer.address, buffer.size, buffer.data)

    def guards_are_whole(self) -> bool:
        return all(
            os.pread(fd, PAGE, guard) == b"\xa5" * PAGE
            for fd, size in self._files.values()
            for guard in (0, PAGE + size)
        )

    def close(self) -> None:
        self.space.close()
        for fd, _ in self._files.values():
            os.close(fd)

    def __enter__(self) -> "Memory":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def nn_stream(address: int) -> NDArray[np.uint32]:
    """A stream of one NN job."""
    stream = StreamBuilder()
    for state, value in (
        (GL_OCB_REMAP_START, 0),
        (GL_OCB_REMAP_END, 0),
        (GL_NN_CONFIG, 0x10),
        (PS_NN_INST_ADDR, address),
        (PS_UNK10A4, 0),
    ):
        stream.load(state, value)
    return stream.words


def tp_stream(*addresses: int) -> NDArray[np.uint32]:
    """A stream of one TP job, a descriptor a core."""
    stream = StreamBuilder()
    for address in addresses:
        for state in (GL_OCB_REMAP_START, GL_OCB_REMAP_END, GL_TP_CONFIG, GL_UNK03950):
            stream.load(state, 0)
        stream.load(PS_TP_INST_ADDR, address + (address != addresses[-1]))
    stream.load(PS_UNK10A4, 0)
    return stream.words


def nn_descriptor(**fields: Any) -> NNDescriptor:
    """An 8x8x1 image, one 3x3 kernel, no padding, factor 1/256; ``fields`` say otherwise. ``offset`` (of
    ``offset_bits``) and ``scale`` (multiplier, shift) stand for the fields that they are spread over."""
    values: dict[str, Any] = {
        "kernel_xy_size": 3,
        "kernel_y_size": 3,
        "kernel_z_size": 1,
        "kernels_per_core": 1,
        "in_image_x_size": 8,
        "in_image_y_size": 8,
        "in_image_x_stride": 8,
        "in_image_y_stride": 8,
        "in_image_border_const": 0,
        "out_image_x_size": 6,
        "out_image_y_size": 6,
        "out_image_z_size": 1,
        "out_image_x_stride": 6,
        "out_image_y_stride": 6,
        "out_image_tile_x_size": 6,
        "out_image_tile_y_size": 6,
        "kernel_address": 0,
        "in_image_address": 0,
        "out_image_address": 0,
        "kernel_cache_start_address": 0x800,
        "kernel_cache_end_address": 0xA00,
        "image_cache_start_address": 0,
        "image_cache_end_address": 0x800,
        "coef_zero_point": 0,
        "out_zero_point": 0,
        "pooling": 0,
        "image_caching_mode": 0,
        "kernel_caching_mode": 1,
    }
    values |= split_multiplier(*fields.pop("scale", (0, 23)))
    x, y = fields.pop("offset", (0, 0))
    values |= split_offsets(x, y, fields.pop("offset_bits", 4))
    return NNDescriptor(**values | fields)


def nn_descriptor_v8(**fields: Any) -> NNDescriptor:
    """The same for version 8."""
    defaults = {"no_z_offset": 1, "no_flush": 1, "offset_bits": 5, "kernel_caching_mode": 0, "scale": (0, 8)}
    return nn_descriptor(**defaults | fields)


def prepare(memory: Memory, words: Bytes, blob: bytes, image: Bytes, fill: int = 0) -> Bytes:
    """Memory for a single NN job at the addresses above; gives the output's."""
    memory.add(CODE, len(words), words)
    memory.add(COEFFICIENTS, len(blob), np.frombuffer(blob, np.uint8))
    memory.add(INPUT, 0x10000, image)
    out = memory.add(OUTPUT, 0x10000)
    out[:] = fill
    return out


def execute(words: Bytes, blob: bytes, image: Bytes, fill: int = 0, chip: Chip = CHIP) -> Bytes:
    """Run a single NN job; gives what the output's memory holds then."""
    with Memory() as memory:
        out = prepare(memory, words, blob, image, fill)
        executor(chip).run(memory.space, nn_stream(CODE))
        assert memory.guards_are_whole()
        return out.copy()


def as_bytes(descriptor: NNDescriptor | TPDescriptor) -> Bytes:
    return np.array(descriptor.encode(), "<u4").view(np.uint8)


@dataclass(frozen=True)
class Place:
    """Where an input or output of a golden lies, and which of the model's tensors it is."""

    submission: int
    role: str
    tensor: int
    address: int
    bytes: int


def golden_places(shared: Path, chip: str) -> dict[str, list[Place]]:
    """tensors.csv, by golden."""
    places: dict[str, list[Place]] = {}
    with (shared / "goldens" / chip / "tensors.csv").open() as table:
        for row in csv.DictReader(table):
            place = Place(
                int(row["submission"]), row["role"], int(row["tensor"]), int(row["address"], 16), int(row["bytes"])
            )
            places.setdefault(row["file"], []).append(place)
    return places


def run_golden(archive: Archive, places: list[Place], tensors: dict[int, Bytes], chip: Chip = CHIP) -> dict[int, Bytes]:
    """Execute all submissions of a golden with inputs from ``tensors``; gives the outputs by tensor."""
    outputs = {}
    with Memory() as memory:
        for number, submission in enumerate(archive.submissions):
            memory.load(submission)
            here = [place for place in places if place.submission == number]
            for place in here:
                if place.role == "input":
                    memory.space.view(place.address, place.bytes)[:] = tensors[place.tensor].reshape(-1)
            executor(chip).run(memory.space, submission.stream)
            for place in here:
                if place.role == "output":
                    outputs[place.tensor] = memory.space.view(place.address, place.bytes).copy()
        assert memory.guards_are_whole()
    return outputs


def addresses_of(submission: Submission, memory: Memory) -> tuple[set[int], set[int]]:
    """Numbers of the buffers that jobs read and write as tensors."""
    reads: set[int] = set()
    writes: set[int] = set()
    for buffer in submission.buffers:
        if buffer.kind is BufferKind.NN:
            nn = NNDescriptor.decode(memory.space.view(buffer.address, 136).view("<u4").tolist())
            pair = nn.in_image_address, nn.out_image_address
        elif buffer.kind is BufferKind.TP:
            tp = TPDescriptor.decode(memory.space.view(buffer.address, 124).view("<u4").tolist())
            pair = tp.in_image_base_address, tp.out_image_base_address
        else:
            continue
        for numbers, address in zip((reads, writes), pair, strict=True):
            number = submission.buffer_at(address)
            assert number is not None
            numbers.add(number)
    return reads, writes
