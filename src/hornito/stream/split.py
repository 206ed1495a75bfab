# SPDX-License-Identifier: MIT
"""How is a submission of many jobs made into one for each job? As the reference driver does without batching."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from hornito.errors import BadStream
from hornito.hardware.states import PS_UNK10A4
from hornito.stream.submission import STREAM, Buffer, Port, Relocation, Submission
from hornito.stream.walker import LoadState, walk

_WORD = 4  # bytes


def split(submission: Submission) -> list[Submission]:
    """A submission for each job, in order: what stands before the first and after the last is part of all of them.

    Each has only the buffers that its job reaches, and no inputs or outputs. Raises BadStream for a stream without
    jobs.
    """
    begin: int | None = None
    ends = []
    for packet in walk(submission.stream.tolist()):
        if isinstance(packet, LoadState):
            begin = packet.index if begin is None else begin
            if packet.first <= PS_UNK10A4.index < packet.first + len(packet.values):
                ends.append(packet.index + len(packet.words))
    if begin is None or not ends:
        raise BadStream("the stream starts no job")
    return [_part(submission, begin, (first, end), ends[-1]) for first, end in zip([begin, *ends], ends, strict=False)]


def _part(submission: Submission, head: int, body: tuple[int, int], tail: int) -> Submission:
    """The words before ``head``, those of ``body`` (first and last + 1), and those from ``tail`` on."""
    first, end = body
    words = submission.stream
    in_body = [
        dataclasses.replace(place, offset=place.offset - _WORD * (first - head))
        for place in submission.relocations
        if place.buffer == STREAM and _WORD * first <= place.offset < _WORD * end
    ]
    reached = _reached(submission, in_body)
    rank = {number: new for new, number in enumerate(reached)} | {STREAM: STREAM}
    inside = [place for place in submission.relocations if place.buffer in reached]
    return Submission(
        np.concatenate([words[:head], words[first:end], words[tail:]]),
        tuple(submission.buffers[number] for number in reached),
        tuple(
            dataclasses.replace(place, buffer=rank[place.buffer], target=rank[place.target])
            for place in (*in_body, *inside)
        ),
    )


def _reached(submission: Submission, places: Iterable[Relocation]) -> list[int]:
    """The buffers that these words point at, and those that these point at in turn; ascending."""
    found: set[int] = set()
    ahead = {place.target for place in places}
    while ahead:
        found |= ahead
        ahead = {place.target for place in submission.relocations if place.buffer in ahead} - found
    return sorted(found)


def filled(submission: Submission, contents: dict[int, bytes], outputs: tuple[Port, ...]) -> Submission:
    """The same with other contents of its buffers, by address, and with these outputs."""

    def fill(buffer: Buffer) -> Buffer:
        if buffer.address not in contents:
            return buffer
        return dataclasses.replace(buffer, data=np.frombuffer(contents[buffer.address], np.uint8))

    buffers = tuple(fill(buffer) for buffer in submission.buffers)
    return dataclasses.replace(submission, buffers=buffers, outputs=outputs)
