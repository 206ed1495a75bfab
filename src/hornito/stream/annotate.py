# SPDX-License-Identifier: MIT
"""What does each word of a submission mean? One ``Line`` for each value, in the stream's order, nothing left out.

Listings, ``hornito trace`` and its comparisons are made of these lines; each says how far the fact behind it can be
trusted.
"""

import contextlib
import enum
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from hornito.bits import BitField, Confidence, Packed
from hornito.errors import BadStream
from hornito.hardware.commands import COMMANDS, OPCODE_SHIFT
from hornito.hardware.nn import NNDescriptor
from hornito.hardware.states import PS_NN_INST_ADDR, PS_TP_INST_ADDR, PS_UNK10A4, STATES, TAG_ALIGNMENT, State
from hornito.hardware.tp import TPDescriptor
from hornito.stream.submission import STREAM, Relocation, Submission
from hornito.stream.walker import LoadState, Packet, walk

NN, TP = "NN", "TP"
DESCRIPTORS: dict[str, type[Packed]] = {NN: NNDescriptor, TP: TPDescriptor}
TRIGGERS: dict[int, str] = {PS_NN_INST_ADDR.index: NN, PS_TP_INST_ADDR.index: TP}
# Fields that hold device addresses, and how far these are shifted right.
ADDRESS_FIELDS = NNDescriptor.addresses() | TPDescriptor.addresses()


class LineKind(enum.StrEnum):
    """What a line is about."""

    COMMAND = "command"  # a command that loads no states: all of its words
    STATE = "state"  # a value for a state register
    PADDING = "padding"  # a word behind a command's values that is not zero
    FIELD = "field"  # of a job's descriptor
    UNNAMED = "unnamed"  # bits of a descriptor's word that are set and belong to no field
    MISSING = "missing"  # a job's descriptor that lies in no buffer
    BROKEN = "broken"  # from here on the stream can't be split; ``name`` says why
    WORD = "word"  # a word of that rest


@dataclass(frozen=True, slots=True)
class JobPlace:
    """To which job a line belongs: its number within the submission (from 0), its unit, and of a TP job the core's
    turn (None for what concerns the job as a whole, or not yet a core)."""

    number: int
    unit: str
    core: int | None = None


@dataclass(frozen=True, slots=True)
class Pointer:
    """An address, as a buffer's number and the offset from its start. ``relocation`` is what keeps it right, if any."""

    buffer: int
    offset: int
    relocation: Relocation | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One value. ``holder`` and ``offset`` (bytes) say where it lies: in STREAM or in a buffer, by number; ``start``
    is the offset there at which the command or descriptor begins. ``words`` are a command's."""

    kind: LineKind
    name: str
    value: int
    job: JobPlace | None = None
    holder: int = STREAM
    offset: int = 0
    start: int = 0
    words: tuple[int, ...] = ()
    field: BitField | None = None
    state: State | None = None
    pointer: Pointer | None = None
    fixed_point: bool = False

    @property
    def confidence(self) -> Confidence | None:
        """Of the fact that names the value; None: no fact does."""
        if self.field is not None:
            return self.field.confidence
        if self.state is not None:
            return self.state.confidence
        return COMMANDS[self.words[0] >> OPCODE_SHIFT].confidence if self.kind is LineKind.COMMAND else None

    @property
    def only(self) -> tuple[int, ...] | None:
        """The values that are ever written there; None: any."""
        fact = self.field or self.state
        return None if fact is None else fact.only

    @property
    def strange(self) -> bool:
        """No fact explains the value."""
        return self.confidence is None or (self.only is not None and self.value not in self.only)

    @property
    def place(self) -> str:
        """Within its descriptor, as in ``w0[5:2]``; of anything else the word's number in the stream."""
        if self.field is not None:
            return self.field.place
        return f"w{(self.offset - self.start) // 4}" if self.holder != STREAM else str(self.offset // 4)


def annotate(submission: Submission) -> Iterator[Line]:
    """Every command and state of the stream, and below each trigger its descriptor's fields, lazily."""
    return _Annotator(submission).lines()


@dataclass
class _Annotator:
    submission: Submission
    relocations: dict[tuple[int, int], Relocation] = field(init=False)

    def __post_init__(self) -> None:
        self.relocations = {(place.buffer, place.offset): place for place in self.submission.relocations}

    def lines(self) -> Iterator[Line]:
        words = self.submission.stream.tolist()
        packets: list[Packet] = []
        broken: BadStream | None = None
        try:
            packets.extend(walk(words))
        except BadStream as error:
            broken = error
        for packet, job in zip(packets, assign_jobs(packets), strict=True):
            yield from self._packet(packet, job)
        if broken is not None:
            done = packets[-1].index + len(packets[-1].words) if packets else 0
            yield Line(LineKind.BROKEN, str(broken), words[done], offset=4 * done, start=4 * done)
            for index in range(done, len(words)):
                yield Line(LineKind.WORD, "", words[index], offset=4 * index, start=4 * index)

    def _packet(self, packet: Packet, job: JobPlace | None) -> Iterator[Line]:
        start = 4 * packet.index
        if not isinstance(packet, LoadState):
            yield Line(LineKind.COMMAND, packet.opcode.name, packet.words[0], job, STREAM, start, start, packet.words)
            return
        for place, value in enumerate(packet.values, 1):
            index = packet.first + place - 1
            state, unit = STATES.get(index), TRIGGERS.get(index)
            offset = start + 4 * place
            line = Line(
                LineKind.STATE,
                f"state {index << 2:#07x}" if state is None else state.name,
                *(value, job, STREAM, offset, start, packet.words[:1]),
                state=state,
                pointer=self._pointer(STREAM, offset, value, 0, unit is not None),
                fixed_point=packet.fixed_point,
            )
            yield line
            if unit is not None:
                place_of = JobPlace(0, unit) if job is None else job
                yield from self._descriptor(unit, value - value % TAG_ALIGNMENT, place_of)
        for place, word in enumerate(packet.words[1 + len(packet.values) :], 1 + len(packet.values)):
            if word:
                yield Line(
                    *(LineKind.PADDING, "padding", word, job, STREAM, start + 4 * place, start),
                    fixed_point=packet.fixed_point,
                )

    def _pointer(self, holder: int, offset: int, value: int, shift: int, is_address: bool = True) -> Pointer | None:
        """Where a word (or field) points to, if it holds an address: by its relocation, else by its value."""
        relocation = self.relocations.get((holder, offset))
        address = value << shift
        buffers = self.submission.buffers
        if relocation is not None and 0 <= relocation.target < len(buffers):
            return Pointer(relocation.target, address - buffers[relocation.target].address, relocation)
        number = self.submission.buffer_at(address) if is_address else None
        return None if number is None else Pointer(number, address - buffers[number].address)

    def _descriptor(self, unit: str, address: int, job: JobPlace) -> Iterator[Line]:
        kind = DESCRIPTORS[unit]
        words = words_at(self.submission, address, kind.WORDS)
        number = self.submission.buffer_at(address)
        if words is None or number is None:
            yield Line(LineKind.MISSING, "no descriptor lies there", address, job)
            return
        start = address - self.submission.buffers[number].address
        for name, at in kind.layout().items():
            value, offset = at.extract(words), start + 4 * at.word
            shift = ADDRESS_FIELDS.get(name)
            pointer = None if shift is None else self._pointer(number, offset, value, shift)
            yield Line(LineKind.FIELD, name, value, job, number, offset, start, field=at, pointer=pointer)
        for index, rest in enumerate(kind.unnamed(words)):
            if rest:
                yield Line(LineKind.UNNAMED, "unnamed", rest, job, number, start + 4 * index, start)


def triggers(words: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Unit and descriptor's address of everything that a stream starts, up to where it can't be split."""
    with contextlib.suppress(BadStream):
        for packet in walk(words):
            if isinstance(packet, LoadState):
                for index, value in enumerate(packet.values, packet.first):
                    if index in TRIGGERS:
                        yield TRIGGERS[index], value - value % TAG_ALIGNMENT


def words_at(submission: Submission, address: int, count: int) -> list[int] | None:
    """So many words of the buffer that holds ``address``; None where no buffer with contents holds them all."""
    number = submission.buffer_at(address)
    buffer = None if number is None else submission.buffers[number]
    if buffer is None or buffer.data is None or buffer.end - address < 4 * count:
        return None
    start = address - buffer.address
    content = buffer.data[start : start + 4 * count]
    words: list[int] = np.pad(content, (0, 4 * count - len(content))).view("<u4").tolist()
    return words


@dataclass
class _Open:
    """The job that is being gathered: its first packet, its unit, and the packets that hold its triggers."""

    begin: int
    unit: str = ""
    triggers: list[int] = field(default_factory=list)

    def places(self, number: int, end: int) -> Iterator[tuple[int, JobPlace]]:
        """Its packets, each with its place. What is set before a TP core's trigger is for that core."""
        for at in range(self.begin, end):
            core = bisect_left(self.triggers, at) if self.unit == TP else len(self.triggers)
            yield at, JobPlace(number, self.unit, core if core < len(self.triggers) else None)


def assign_jobs(packets: Sequence[Packet]) -> list[JobPlace | None]:
    """Of each packet the job that it belongs to: from the first state that is set for it to the tag behind its trigger.

    A stream need not be sound: a job without its tag ends with its last trigger.
    """
    found: list[JobPlace | None] = [None] * len(packets)
    number = 0
    job: _Open | None = None
    for at, packet in enumerate(packets):
        if not isinstance(packet, LoadState):
            if job is not None and not job.unit:
                job = None  # what was set so far was for no job
            continue
        for index in range(packet.first, packet.first + len(packet.values)):
            unit = TRIGGERS.get(index)
            ended = index == PS_UNK10A4.index
            if job is not None and job.unit and (ended or (unit is not None and NN in (unit, job.unit))):
                end = at + 1 if ended else job.triggers[-1] + 1
                for inside, place in job.places(number, end):
                    found[inside] = place
                number += 1
                job = None if ended else _Open(min(end, at))
            if not ended:
                job = job or _Open(at)
            if unit is not None and job is not None:
                job.unit = unit
                job.triggers.append(at)
    if job is not None and job.unit:
        for inside, place in job.places(number, job.triggers[-1] + 1):
            found[inside] = place
    return found
