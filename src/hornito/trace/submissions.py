# SPDX-License-Identifier: MIT
"""What is a recorded submit as a ``stream.Submission``? And the other way round, for files that hold submissions."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from hornito.errors import BadInput
from hornito.hardware.nn import KERNEL_ADDRESS_SHIFT, NNDescriptor
from hornito.stream import Archive, Buffer, BufferKind, Port, Relocation, Submission, TensorInfo
from hornito.stream.annotate import NN, triggers, words_at
from hornito.trace.records import (
    MOST_BYTES,
    BufferEntry,
    Extent,
    Header,
    Recording,
    Reloc,
    Store,
    Submit,
    TensorPlace,
)

READ = 1  # of a submit's table
_ADDRESSES = 1 << 32
_KINDS = {"NN": BufferKind.NN, "TP": BufferKind.TP}


def to_submission(recording: Recording, submit: Submit) -> Submission:
    """A submit with its contents before the jobs ran, buffers ascending by address, each of the kind that the stream
    and the descriptors use it as. ``order_of`` tells how buffers were renumbered.

    Raises BadInput for a submit that is none: buffers that overlap, contents that are missing or too large.
    """
    where = f"{recording.path}: submit {submit.number}"
    order = order_of(submit)
    budget = MOST_BYTES
    buffers: list[Buffer] = []
    for number in order:
        entry = submit.buffers[number]
        if not 0 <= entry.address < entry.address + entry.size <= _ADDRESSES:
            raise BadInput(f"{where}: a buffer of {entry.size} bytes at {entry.address:#x} lies outside the addresses")
        if buffers and entry.address < buffers[-1].end:
            raise BadInput(f"{where}: the buffers at {buffers[-1].address:#x} and {entry.address:#x} overlap")
        content = _bytes(recording, entry.before, min(budget, entry.size), where)
        budget -= len(content)
        data = np.frombuffer(content, np.uint8) if entry.known else None
        buffers.append(Buffer(BufferKind.TENSOR, entry.address, entry.size, data))
    rank = {number: new for new, number in enumerate(order)} | {-1: -1}
    if any(place.buffer not in rank or place.target not in rank for place in submit.relocations):
        raise BadInput(f"{where}: a relocation points nowhere")
    found = Submission(
        _words(_bytes(recording, submit.stream, min(submit.stream_bytes, MOST_BYTES), where), submit, where),
        tuple(buffers),
        tuple(Relocation(rank[r.buffer], r.offset, rank[r.target], r.shift) for r in submit.relocations),
    )
    found = with_kinds(found)
    ports = {
        role: tuple(_port(p, rank, where) for p in submit.tensors if p.role == role) for role in ("input", "output")
    }
    return dataclasses.replace(found, inputs=ports["input"], outputs=ports["output"])


def order_of(submit: Submit) -> list[int]:
    """The numbers of a submit's buffers in the order in which ``to_submission`` has them."""
    return sorted(range(len(submit.buffers)), key=lambda number: submit.buffers[number].address)


def with_kinds(submission: Submission) -> Submission:
    """Name what each buffer is by what points to it: descriptors, coefficients; all others are tensors."""
    kinds: dict[int, BufferKind] = {}
    kernels = NNDescriptor.layout()["kernel_address"]
    for unit, address in triggers(submission.stream.tolist()):
        number = submission.buffer_at(address)
        if number is None:
            continue
        kinds[number] = _KINDS[unit]
        words = words_at(submission, address, kernels.word + 1) if unit == NN else None
        pointed = None if words is None else submission.buffer_at(kernels.extract(words) << KERNEL_ADDRESS_SHIFT)
        if pointed is not None:
            kinds.setdefault(pointed, BufferKind.COEFFICIENTS)
    return dataclasses.replace(
        submission,
        buffers=tuple(
            dataclasses.replace(buffer, kind=kinds.get(number, BufferKind.TENSOR))
            for number, buffer in enumerate(submission.buffers)
        ),
    )


def add_submission(store: Store, submission: Submission, title: str = "") -> Submit:
    """Keep a submission as the next submit of a recording."""
    buffers = tuple(
        BufferEntry(
            handle=number + 1,
            flags=0 if buffer.kind is BufferKind.TENSOR else READ,
            address=buffer.address,
            size=buffer.size,
            before=() if buffer.data is None else store.keep(buffer.data.tobytes()),
            known=buffer.data is not None,
        )
        for number, buffer in enumerate(submission.buffers)
    )
    stream = submission.stream.astype("<u4").tobytes()
    submit = Submit(
        number=sum(isinstance(event, Submit) for event in store.events),
        stream_bytes=len(stream),
        stream=store.keep(stream),
        buffers=buffers,
        relocations=tuple(Reloc(r.buffer, r.offset, r.target, r.shift) for r in submission.relocations),
        tensors=(*_places("input", submission.inputs), *_places("output", submission.outputs)),
        title=title,
    )
    store.events.append(submit)
    return submit


def from_archive(path: str, archive: Archive) -> Recording:
    """A submission file as a recording of submits without calls."""
    store = Store()
    for submission in archive.submissions:
        add_submission(store, submission)
    return store.recording(path, Header("submission file", chip=archive.chip))


def _bytes(recording: Recording, extents: tuple[Extent, ...], limit: int, where: str) -> bytes:
    try:
        return recording.bytes_of(extents, limit)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None


def _words(content: bytes, submit: Submit, where: str) -> NDArray[np.uint32]:
    if not 0 <= submit.stream_bytes <= MOST_BYTES or submit.stream_bytes % 4:
        raise BadInput(f"{where}: a stream of {submit.stream_bytes} bytes")
    return np.frombuffer(content.ljust(submit.stream_bytes, b"\0"), "<u4").astype(np.uint32)


def _places(role: str, ports: tuple[Port, ...]) -> list[TensorPlace]:
    return [
        TensorPlace(
            role, port.buffer, port.offset, port.bytes, **dataclasses.asdict(port.tensor) | {"shape": port.tensor.shape}
        )
        for port in ports
    ]


def _port(place: TensorPlace, rank: dict[int, int], where: str) -> Port:
    if not 0 <= place.buffer < len(rank) - 1:
        raise BadInput(f"{where}: tensor {place.index} lies in no buffer")
    info = TensorInfo(place.index, place.name, place.shape, place.dtype, place.scale, place.zero_point)
    return Port(info, rank[place.buffer], place.offset, place.bytes)
