# SPDX-License-Identifier: MIT
"""How do calls and jobs, told one by one and by different threads, become the events of a recording? What belongs
together is put together and numbered here, and handed to the writer.
"""

import ctypes
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, TypeVar

from hornito.errors import BadInput
from hornito.trace.copies import Copies
from hornito.trace.records import BufferEntry, Call, Digest, Done, Event, JobTime, Message, Reloc, Submit, Written
from hornito.trace.snapshots import Snapshot
from hornito.trace.watched_call import WatchedCall
from hornito.trace.writer import Build, Keeper
from hornito.uapi.drm import DRM_TYPE
from hornito.uapi.etnaviv import GEM_SUBMIT, GemSubmit, SubmitBo, SubmitReloc
from hornito.uapi.ioctl import Struct

S = TypeVar("S", bound=Struct)
_log = logging.getLogger(__name__)
_STREAM = -1  # a relocation's place


@dataclass(frozen=True)
class Placed:
    """A buffer of a submit's table: where the device sees it, and what it held (None: nobody knows)."""

    address: int
    size: int
    before: Snapshot | None = None


@dataclass(frozen=True)
class Begun:
    """A job begins. ``stream``: its words as the device gets them; ``buffers`` in the order of the table."""

    stream: bytes
    buffers: tuple[Placed, ...]


@dataclass(frozen=True)
class Ended:
    """A submit has ended. ``after``: what a buffer of the table holds now, by its number; ``times``: of each job its
    number (or WHOLE_SUBMIT), unit, start and duration, as ``JobTime`` has them."""

    time: int
    status: int
    after: dict[int, Snapshot] = field(default_factory=dict)
    times: tuple[tuple[int, str, int, int], ...] = ()


@dataclass
class _Flight:
    """A submit, from its call on. Call and job are told by two threads; each part waits for those before it."""

    asked: "_Asked | None" = None
    begun: Begun | None = None
    ended: Ended | None = None
    number: int | None = None  # once it is recorded


@dataclass(frozen=True)
class _Asked:
    """What a submit's call says. ``bos``: flags, handle, presumed address."""

    call: int
    space: int
    fence: int
    flags: int
    stream: bytes
    bos: tuple[tuple[int, int, int], ...]
    relocs: tuple[Reloc, ...]
    pipe: int = 0

    @property
    def key(self) -> int:
        """Names the fence among those of all cores: each counts its own."""
        return self.pipe << 32 | self.fence

    def placed(self) -> Begun:
        """As far as the call tells, where the job never began."""
        return Begun(self.stream, tuple(Placed(address, 0) for _, _, address in self.bos))


# What becomes an event once its contents are kept; values, so that another process may do that.


@dataclass(frozen=True)
class _MessageToKeep:
    event: Message

    def __call__(self, keeper: Keeper) -> Event:
        return self.event


@dataclass(frozen=True)
class _CallToKeep:
    event: Call
    more: dict[str, bytes]

    def __call__(self, keeper: Keeper) -> Event:
        kept: dict[str, Digest] = {name: keeper.whole(content) for name, content in self.more.items()}
        return replace(self.event, more=kept) if kept else self.event


@dataclass(frozen=True)
class _SubmitToKeep:
    number: int
    asked: _Asked
    begun: Begun

    @property
    def snapshots(self) -> Iterator[Snapshot]:
        return (placed.before for placed in self.begun.buffers if placed.before is not None)

    def __reduce__(self) -> tuple[Any, ...]:
        """Many small objects take long to pickle."""
        placed = [(one.address, one.size, one.before) for one in self.begun.buffers]
        return _submit_to_keep, (self.number, self.asked, self.begun.stream, placed)

    def __call__(self, keeper: Keeper) -> Event:
        asked, begun = self.asked, self.begun
        return Submit(
            self.number,
            len(begun.stream),
            keeper.extents(begun.stream),
            tuple(_entry(bo, placed, keeper) for bo, placed in zip(asked.bos, begun.buffers, strict=True)),
            asked.relocs,
            asked.call,
            asked.space,
            asked.fence,
            asked.flags,
        )


def _submit_to_keep(
    number: int, asked: _Asked, stream: bytes, placed: list[tuple[int, int, Snapshot | None]]
) -> _SubmitToKeep:
    return _SubmitToKeep(number, asked, Begun(stream, tuple(Placed(*one) for one in placed)))


@dataclass(frozen=True)
class _DoneToKeep:
    number: int
    ended: Ended

    @property
    def snapshots(self) -> Iterator[Snapshot]:
        return iter(self.ended.after.values())

    def __call__(self, keeper: Keeper) -> tuple[Event, ...]:
        ended = self.ended
        written = tuple(Written(buffer, after.extents(keeper)) for buffer, after in sorted(ended.after.items()))
        times = (JobTime(self.number, *time) for time in ended.times)
        return Done(self.number, ended.time, ended.status, written), *times


class Writer(Protocol):
    """Where a recording goes: ``TraceWriter``, or one whose work another process does. ``copies`` is where it wants
    contents to lie."""

    @property
    def copies(self) -> Copies: ...

    def defer(self, build: Build) -> None:
        """Raises BadInput where the file can't be written any more."""

    def keep_to(self, processors: set[int]) -> None:
        """Where another process writes, it should do so on these processors."""

    def close(self) -> None:
        """Raises BadInput if not all could be written."""


class Left(NamedTuple):
    """A call that has returned. ``duration`` in ns; ``process`` made it, on its descriptor ``descriptor``."""

    call: WatchedCall
    duration: int
    process: int
    descriptor: int
    code: int = 0
    space: int = 0
    unseen: bool = False


class Assembly:
    """Makes events of what it is told. Not for two threads at once; ``submits`` is how many there have been,
    ``failure`` what the writer said, if it failed: that is also logged."""

    def __init__(self, writer: Writer) -> None:
        self.failure: BadInput | None = None
        self._writer = writer
        self._calls = 0
        self.submits = 0
        self._flights: dict[int, _Flight] = {}  # by fence

    def left(self, left: Left) -> None:
        """A call has returned."""
        call = left.call
        number, self._calls = self._calls, self._calls + 1
        made = Call(
            *(number, call.time, left.duration, left.process, call.pid, left.descriptor, call.request),
            *(call.sent, call.returned, 0, left.code),
            unseen=left.unseen,
        )
        self._defer(_CallToKeep(made, call.more()))
        if not left.code and not left.unseen and _is_submit(call.request):
            asked = _asked(call, number, left.space)
            flight = self._flights.setdefault(asked.key, _Flight())
            flight.asked = asked
            self._advance(asked.key, flight)

    def begun(self, fence: int, begun: Begun) -> None:
        """The job of that fence begins."""
        flight = self._flights.setdefault(fence, _Flight())
        flight.begun = begun
        self._advance(fence, flight)

    def ended(self, fence: int, ended: Ended) -> None:
        """The job of that fence has ended; it may not even have begun."""
        flight = self._flights.setdefault(fence, _Flight())
        flight.ended = ended
        self._advance(fence, flight)

    def message(self, message: Message) -> None:
        """A line of the kernel's log, or a remark."""
        self._defer(_MessageToKeep(message))

    def finish(self) -> None:
        """Nothing more comes: record what has not come to its end."""
        for fence, flight in list(self._flights.items()):
            if flight.asked is not None and flight.begun is None:
                flight.begun = flight.asked.placed()
                self._advance(fence, flight)

    def _advance(self, fence: int, flight: _Flight) -> None:
        asked, ended = flight.asked, flight.ended
        begun = flight.begun
        if asked is None:
            return
        if begun is None and ended is not None:
            begun = asked.placed()
        if begun is not None and flight.number is None:
            flight.number, self.submits = self.submits, self.submits + 1
            self._submit(flight.number, asked, begun)
        if ended is not None and flight.number is not None:
            self._done(flight.number, ended)
            del self._flights[fence]

    def _submit(self, number: int, asked: _Asked, begun: Begun) -> None:
        self._defer(_SubmitToKeep(number, asked, begun))

    def _done(self, number: int, ended: Ended) -> None:
        self._defer(_DoneToKeep(number, ended))

    def _defer(self, build: Build) -> None:
        if self.failure is not None:
            return
        try:
            self._writer.defer(build)
        except BadInput as error:
            self.failure = error
            _log.error("%s", error)
            error.told = True


def _entry(bo: tuple[int, int, int], placed: Placed, keeper: Keeper) -> BufferEntry:
    flags, handle, _ = bo
    known = placed.before is not None
    extents = () if placed.before is None else placed.before.extents(keeper)
    return BufferEntry(handle, flags, placed.address, placed.size, extents, known)


def _is_submit(request: int) -> bool:
    return request & 0xFF == GEM_SUBMIT.nr and request >> 8 & 0xFF == ord(DRM_TYPE)


def _asked(call: WatchedCall, number: int, space: int) -> _Asked:
    size = ctypes.sizeof(GemSubmit)
    given, answer = (GemSubmit.from_buffer_copy(c.ljust(size, b"\0")[:size]) for c in (call.sent, call.returned))
    read = dict(call.read_besides)
    bos = _array(SubmitBo, read.get(given.bos, b""))
    relocs = _array(SubmitReloc, read.get(given.relocs, b""))
    return _Asked(
        *(number, space, answer.fence, given.flags, read.get(given.stream, b"")),
        bos=tuple((bo.flags, bo.handle, bo.presumed) for bo in bos),
        relocs=tuple(Reloc(_STREAM, one.submit_offset, one.reloc_idx) for one in relocs),
        pipe=given.pipe,
    )


def _array(kind: type[S], content: bytes) -> list[S]:
    size = ctypes.sizeof(kind)
    return [kind.from_buffer_copy(content, at) for at in range(0, len(content), size)]
