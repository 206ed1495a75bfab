# SPDX-License-Identifier: MIT
"""How do calls and jobs become a recording, whichever kernel answers them? Whoever stands between client and kernel
tells of each call, and of each job as it begins and ends; what belongs together is put together here.
"""

import ctypes
import errno
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from hornito.errors import BadInput
from hornito.supervisor.served import ServedCaller
from hornito.trace.copies import Copies
from hornito.trace.records import BufferEntry, Call, Digest, Done, Event, JobTime, Message, Reloc, Submit, Written
from hornito.trace.snapshots import Snapshot
from hornito.trace.watched_call import WatchedCall
from hornito.trace.writer import Build, Keeper
from hornito.uapi.drm import DRM_TYPE
from hornito.uapi.etnaviv import GEM_SUBMIT, GemSubmit, SubmitBo, SubmitBoFlag, SubmitReloc
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


@dataclass(frozen=True)
class _DoneToKeep:
    number: int
    ended: Ended

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

    def close(self) -> None:
        """Raises BadInput if not all could be written."""


class Recorder:
    """Makes one recording. Its methods may be called from any thread; none raises for what goes wrong with the file:
    that is said once, and ``close`` raises it again.

    ``clock`` gives ns; the recording's own clock begins now.
    """

    def __init__(self, writer: Writer, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._writer = writer
        self._clock = clock
        self._start = clock()
        self._lock = threading.RLock()
        self._calls = 0
        self._submits = 0
        self._made: dict[int, WatchedCall] = {}  # calls that have not returned, by their threads
        self._tickets: dict[int, int] = {}
        self._processes: dict[int, int] = {}
        self._flights: dict[int, _Flight] = {}  # by fence
        self._failure: BadInput | None = None

    @property
    def copies(self) -> Copies:
        """Where snapshots should lie."""
        return self._writer.copies

    def now(self) -> int:
        """ns on the recording's clock."""
        return self.at(self._clock())

    def at(self, time: int) -> int:
        """The same for what ``clock`` gave."""
        return time - self._start

    # Calls.

    def enter(self, caller: ServedCaller, request: int, argument: Struct | int) -> WatchedCall:
        """A call is made, or made again. The kernel is to be given the result in place of ``caller``."""
        with self._lock:
            thread = caller.pid
            call = self._made.get(thread)
            if call is not None and self._tickets[thread] != caller.ticket:
                self._record(call, errno.EINTR)  # a signal took the thread out of it
                call = None
            if call is None:
                call = self._made[thread] = WatchedCall(caller, request & 0xFFFFFFFF, argument, self.now())
                self._tickets[thread] = caller.ticket
            call.caller = caller
        call.begin()
        return call

    def leave(self, call: WatchedCall, code: int = 0, *, space: int = 0, unseen: bool = False) -> None:
        """It has returned 0, or failed with the errno ``code``; ``space`` is its open file. ``unseen``: the kernel
        is to make it, and nobody will see what comes of it."""
        with self._lock:
            self._made.pop(call.pid, None)
            number = self._record(call, code, unseen)
            if not code and not unseen and _is_submit(call.request):
                asked = _asked(call, number, space)
                flight = self._flights.setdefault(asked.key, _Flight())
                flight.asked = asked
                self._advance(asked.key, flight)

    def forget_threads(self) -> None:
        """Processes have ended: their threads' numbers may mean others from now on."""
        with self._lock:
            self._processes.clear()

    def _record(self, call: WatchedCall, code: int, unseen: bool = False) -> int:
        call.end()
        number, self._calls = self._calls, self._calls + 1
        thread = call.pid
        if thread not in self._processes:
            try:
                self._processes[thread] = call.process
            except OSError:  # it died in this call
                self._processes[thread] = thread
        more = call.more()
        duration = self.now() - call.time
        process, descriptor = self._processes[thread], call.caller.descriptor
        made = Call(
            *(number, call.time, duration, process, thread, descriptor, call.request),
            *(call.sent, call.returned, 0, code),
            unseen=unseen,
        )
        self._defer(_CallToKeep(made, more))
        return number

    # Jobs.

    def begun(self, fence: int, begun: Begun) -> None:
        """The job of that fence (above its 32 bits: the core's number) begins."""
        with self._lock:
            flight = self._flights.setdefault(fence, _Flight())
            flight.begun = begun
            self._advance(fence, flight)

    def ended(self, fence: int, ended: Ended) -> None:
        """The job of that fence (as for ``begun``) has ended; it may not even have begun."""
        with self._lock:
            flight = self._flights.setdefault(fence, _Flight())
            flight.ended = ended
            self._advance(fence, flight)

    def message(self, text: str, origin: str = "kernel") -> None:
        """A line of the kernel's log, or a remark."""
        self._defer(_MessageToKeep(Message(self.now(), text, origin)))

    def close(self) -> None:
        """Record what has not come to its end, and end the file. Raises BadInput if it could not all be written."""
        with self._lock:
            for call in self._made.values():
                self._record(call, errno.EINTR)
            self._made.clear()
            for fence, flight in list(self._flights.items()):
                if flight.asked is not None and flight.begun is None:
                    flight.begun = flight.asked.placed()
                    self._advance(fence, flight)
        self._writer.close()

    def _advance(self, fence: int, flight: _Flight) -> None:
        asked, ended = flight.asked, flight.ended
        begun = flight.begun
        if asked is None:
            return
        if begun is None and ended is not None:
            begun = asked.placed()
        if begun is not None and flight.number is None:
            flight.number, self._submits = self._submits, self._submits + 1
            self._submit(flight.number, asked, begun)
        if ended is not None and flight.number is not None:
            self._done(flight.number, ended)
            del self._flights[fence]

    def _submit(self, number: int, asked: _Asked, begun: Begun) -> None:
        self._defer(_SubmitToKeep(number, asked, begun))

    def _done(self, number: int, ended: Ended) -> None:
        self._defer(_DoneToKeep(number, ended))

    def _defer(self, build: Build) -> None:
        if self._failure is not None:
            return
        try:
            self._writer.defer(build)
        except BadInput as error:
            self._failure = error
            _log.error("%s", error)


def writes(flags: int) -> bool:
    """A buffer with these flags in a submit's table may be written."""
    return bool(flags & SubmitBoFlag.WRITE)


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
