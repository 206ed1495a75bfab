# SPDX-License-Identifier: MIT
"""Which jobs does a submission start? Its descriptors, found through its stream, with what belongs to each."""

from collections.abc import Iterator
from dataclasses import dataclass

from hornito.errors import BadStream
from hornito.hardware.nn import KERNEL_ADDRESS_SHIFT, NNDescriptor
from hornito.hardware.states import PS_NN_INST_ADDR, PS_TP_INST_ADDR, PS_UNK10A4, TAG_ALIGNMENT
from hornito.hardware.tp import TPDescriptor
from hornito.stream.annotate import words_at
from hornito.stream.submission import Buffer, BufferKind, Submission
from hornito.stream.walker import LoadState, walk


@dataclass(frozen=True)
class NNJob:
    """A convolution: its descriptor, and the size of its coefficient buffer in bytes."""

    descriptor: NNDescriptor
    coefficient_bytes: int


@dataclass(frozen=True)
class TPJob:
    """A move: one descriptor for each TP core that takes part."""

    descriptors: tuple[TPDescriptor, ...]


Job = NNJob | TPJob


def jobs_of(submission: Submission) -> Iterator[Job]:
    """The jobs of a submission in order. Raises BadStream for a trigger that points at no descriptor."""
    cores: list[TPDescriptor] = []
    for packet in walk(submission.stream.tolist()):
        if not isinstance(packet, LoadState):
            continue
        for index, value in enumerate(packet.values, packet.first):
            if index == PS_NN_INST_ADDR.index:
                words = _words(submission, value, NNDescriptor.WORDS)
                yield _nn_job(submission, NNDescriptor.decode(words))
            elif index == PS_TP_INST_ADDR.index:
                cores.append(TPDescriptor.decode(_words(submission, value, TPDescriptor.WORDS)))
            elif index == PS_UNK10A4.index and cores:
                yield TPJob(tuple(cores))
                cores = []


def _nn_job(submission: Submission, descriptor: NNDescriptor) -> NNJob:
    buffer = _buffer(submission, descriptor.kernel_address << KERNEL_ADDRESS_SHIFT)
    return NNJob(descriptor, buffer.size if buffer is not None and buffer.kind is BufferKind.COEFFICIENTS else 0)


def _buffer(submission: Submission, address: int) -> Buffer | None:
    number = submission.buffer_at(address)
    return None if number is None else submission.buffers[number]


def _words(submission: Submission, value: int, count: int) -> list[int]:
    address = value - value % TAG_ALIGNMENT
    words = words_at(submission, address, count)
    if words is None:
        raise BadStream(f"a job's descriptor at {address:#x} lies in no buffer of the submission")
    return words
