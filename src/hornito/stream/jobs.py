# SPDX-License-Identifier: MIT
"""Which jobs does a submission start? Its descriptors, found through its stream, with what belongs to each."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hornito.errors import BadStream
from hornito.hardware.commands import Opcode
from hornito.hardware.nn import KERNEL_ADDRESS_SHIFT, NNDescriptor
from hornito.hardware.states import PS_NN_INST_ADDR, PS_TP_INST_ADDR, PS_UNK10A4, TAG_ALIGNMENT
from hornito.hardware.tp import TPDescriptor
from hornito.stream.annotate import words_at
from hornito.stream.submission import Buffer, BufferKind, Submission
from hornito.stream.walker import LoadState, walk

_UNIT = 64  # bytes that coefficients are aligned to
_START = 4 * _UNIT


@dataclass(frozen=True)
class NNJob:
    """A convolution: its descriptor, and the size of its coefficients in bytes. Where they end nobody says: drivers
    make buffers larger than need be, so zeros at a buffer's end are taken for unused. ``start``: the first
    few of these bytes. ``wave``: in parallel mode, how many stalls are before it; jobs of one wave may run at the same
    time. None in the default mode, where all run in order."""

    descriptor: NNDescriptor
    coefficient_bytes: int
    start: bytes = b""
    wave: int | None = None


@dataclass(frozen=True)
class TPJob:
    """A move: one descriptor for each TP core that takes part."""

    descriptors: tuple[TPDescriptor, ...]
    wave: int | None = None


Job = NNJob | TPJob


def jobs_of(submission: Submission) -> Iterator[Job]:
    """The jobs of a submission in order. Raises BadStream for a trigger that points at no descriptor."""
    cores: list[TPDescriptor] = []
    stalls = 0
    for packet in walk(submission.stream.tolist()):
        stalls += packet.opcode is Opcode.STALL
        if not isinstance(packet, LoadState):
            continue
        for index, value in enumerate(packet.values, packet.first):
            if index == PS_NN_INST_ADDR.index:
                words = _words(submission, value, NNDescriptor.WORDS)
                wave = stalls if value % TAG_ALIGNMENT else None
                yield replace(_nn_job(submission, NNDescriptor.decode(words)), wave=wave)
            elif index == PS_TP_INST_ADDR.index:
                cores.append(TPDescriptor.decode(_words(submission, value, TPDescriptor.WORDS)))
            elif index == PS_UNK10A4.index and cores:
                yield TPJob(tuple(cores), stalls if value else None)
                cores = []


def _nn_job(submission: Submission, descriptor: NNDescriptor) -> NNJob:
    address = descriptor.kernel_address << KERNEL_ADDRESS_SHIFT
    buffer = _buffer(submission, address)
    if buffer is None or buffer.kind is not BufferKind.COEFFICIENTS:
        return NNJob(descriptor, 0)
    offset = address - buffer.address
    if buffer.data is None:
        return NNJob(descriptor, buffer.size - offset)
    content = bytes(buffer.data[offset:]).rstrip(b"\0")
    size = min(-(-len(content) // _UNIT) * _UNIT, buffer.size - offset)
    return NNJob(descriptor, size, content[:_START])


def _buffer(submission: Submission, address: int) -> Buffer | None:
    number = submission.buffer_at(address)
    return None if number is None else submission.buffers[number]


def _words(submission: Submission, value: int, count: int) -> list[int]:
    address = value - value % TAG_ALIGNMENT
    words = words_at(submission, address, count)
    if words is None:
        raise BadStream(f"a job's descriptor at {address:#x} lies in no buffer of the submission")
    return words
