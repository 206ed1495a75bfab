# SPDX-License-Identifier: MIT
"""What is in a recording? The values that a writer is given and a reader gives back, one class each.

docs/trace-files.md says how they are kept. Contents of memory are named by their hash (``Digest``) and kept once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from blake3 import blake3

from hornito.errors import BadInput

Digest = bytes
DIGEST_BYTES = 16
CHUNK = 1 << 20  # a longer content is kept in pieces of this size
WHOLE_SUBMIT = -1
MOST_BYTES = 1 << 28  # of memory that one submission may show


def digest(content: bytes | bytearray | memoryview) -> Digest:
    """The name of a content: the first 16 bytes of its BLAKE3 hash."""
    return blake3(content).digest(DIGEST_BYTES)


@dataclass(frozen=True)
class Header:
    """Where a recording comes from. ``chip`` is a name of ``hornito.hardware.chips``, or "" where nobody knows it;
    ``source`` says who wrote it ("supervisor", or which kind of file was imported); ``started`` is the wall clock's
    time at which the recording's own clock stood at 0, in ns since 1970, or 0."""

    source: str
    chip: str = ""
    program: tuple[str, ...] = ()
    started: int = 0
    writer: str = ""


@dataclass(frozen=True)
class Call:
    """One ioctl: ``time`` and ``duration`` in ns on the recording's clock (time of entry); ``request`` as in the system
    call; the argument's bytes as sent and as they were when the call returned; what it returned, or errno.

    ``more`` has further memory that the argument points to, by the name of the pointer's field: what the kernel read
    there, or what it wrote. ``unseen``: the kernel made the call itself, and nobody knows what came of it.
    """

    number: int  # from 0, in the order of entry
    time: int
    duration: int
    process: int
    thread: int
    descriptor: int
    request: int
    sent: bytes
    returned: bytes
    result: int = 0
    errno: int = 0
    more: Mapping[str, Digest] = field(default_factory=dict)
    unseen: bool = False


@dataclass(frozen=True)
class Extent:
    """``length`` bytes from ``offset`` of a buffer: the content named ``digest``."""

    offset: int
    length: int
    digest: Digest


@dataclass(frozen=True)
class BufferEntry:
    """A line of a submit's buffer table. ``address`` is the device's, ``flags`` are the submit's: 1 read, 2
    write, 0 where nobody knows.
    ``before``: what it held when the job was handed in; bytes in no extent are zero if ``known``, else unknown."""

    handle: int
    flags: int
    address: int
    size: int
    before: tuple[Extent, ...] = ()
    known: bool = True


@dataclass(frozen=True)
class TensorPlace:
    """Where a tensor of the model lies, in buffer number ``buffer`` of the table. ``role`` is "input" or "output"."""

    role: str
    buffer: int
    offset: int
    bytes: int
    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0


@dataclass(frozen=True)
class Reloc:
    """A word that holds an address, as ``stream.Relocation``: buffers by number in the table, -1 the stream."""

    buffer: int
    offset: int
    target: int
    shift: int = 0


@dataclass(frozen=True)
class Submit:
    """One submission. ``call`` is the number of its ioctl (None: there was none, it was imported); ``space`` names the
    address space (one for each opened file). ``stream`` are the words, ``stream_bytes`` long."""

    number: int  # from 0
    stream_bytes: int
    stream: tuple[Extent, ...]
    buffers: tuple[BufferEntry, ...] = ()
    relocations: tuple[Reloc, ...] = ()
    call: int | None = None
    space: int = 0
    fence: int = 0
    flags: int = 0
    tensors: tuple[TensorPlace, ...] = ()
    title: str = ""


@dataclass(frozen=True)
class Written:
    """What the jobs of submit ``submit`` left in buffer number ``buffer`` of its table."""

    buffer: int
    after: tuple[Extent, ...]


@dataclass(frozen=True)
class Done:
    """A submit has ended. ``status`` is 1, or -errno where the kernel killed it; ``time`` is when that was seen."""

    submit: int
    time: int
    status: int = 1
    written: tuple[Written, ...] = ()


@dataclass(frozen=True)
class JobTime:
    """When a job ran, in ns from the submit's start on the device; by the device's own (modelled) time. ``job`` may be
    WHOLE_SUBMIT: from when it was handed in until its fence signalled, by the wall clock."""

    submit: int
    job: int
    unit: str
    start: int
    duration: int


@dataclass(frozen=True)
class Message:
    """A line of the kernel's log, or a remark of the recorder."""

    time: int
    text: str
    origin: str = "kernel"


Event = Call | Submit | Done | JobTime | Message


class Contents(Protocol):
    """Where contents are looked up."""

    def content(self, name: Digest) -> bytes:
        """The bytes of that digest. Raises BadInput where the recording does not have them."""


class Recording:
    """What was recorded, or imported. ``events`` may be walked any number of times; each walk reads anew.

    ``problem``, after a walk, says why the recording ends before its end, or is "".
    """

    def __init__(
        self, path: str, header: Header, events: Callable[["Recording"], Iterator[Event]], contents: Contents
    ) -> None:
        self.path = path
        self.header = header
        self.problem = ""
        self._events = events
        self._contents = contents

    def events(self) -> Iterator[Event]:
        """The events in order. Contents that an event names can be looked up as soon as it was given."""
        return self._events(self)

    def submits(self) -> Iterator[Submit]:
        """The submissions alone."""
        return (event for event in self.events() if isinstance(event, Submit))

    def bytes_of(self, extents: Sequence[Extent], limit: int = MOST_BYTES) -> bytes:
        """Contents put together, from offset 0 on; what no extent covers is zero.

        Raises BadInput for contents that are missing, not as long as said, or reach beyond ``limit`` bytes.
        """
        result = bytearray()
        for extent in extents:
            if not len(result) <= extent.offset <= extent.offset + extent.length <= limit:
                raise BadInput(f"contents at {extent.offset:#x} overlap others or reach beyond {limit} bytes")
            content = self._contents.content(extent.digest)
            if len(content) != extent.length:
                raise BadInput(f"the content {extent.digest.hex()} has {len(content)} bytes, not {extent.length}")
            result.extend(bytes(extent.offset - len(result)))
            result.extend(content)
        return bytes(result)

    def content(self, name: Digest) -> bytes:
        """One content. Raises BadInput where the recording does not have it."""
        return self._contents.content(name)

    def more(self, call: Call, name: str) -> bytes:
        """The memory that a pointer of a call's argument pointed to; b"" where it was not recorded."""
        found = call.more.get(name)
        return b"" if found is None else self._contents.content(found)


class Store:
    """Contents in memory, and the events that name them: what imports fill."""

    def __init__(self) -> None:
        self._contents: dict[Digest, bytes] = {}
        self.events: list[Event] = []

    def content(self, name: Digest) -> bytes:
        try:
            return self._contents[name]
        except KeyError:
            raise BadInput(f"there is no content {name.hex()}") from None

    def keep(self, content: bytes | bytearray | memoryview) -> tuple[Extent, ...]:
        """Keep a buffer's bytes; gives the extents that name them. Zeros at the end are left out."""
        return tuple(self._pieces(pieces(content)))

    def _pieces(self, found: Iterable[tuple[int, bytes]]) -> Iterator[Extent]:
        for offset, piece in found:
            name = digest(piece)
            self._contents.setdefault(name, piece)
            yield Extent(offset, len(piece), name)

    def recording(self, path: str, header: Header) -> Recording:
        """What was kept, as a recording."""
        return Recording(path, header, lambda _: iter(self.events), self)


def pieces(content: bytes | bytearray | memoryview) -> Iterator[tuple[int, bytes]]:
    """A content in pieces of at most CHUNK bytes, with their offsets; pieces of zeros, and zeros at the end of one, are
    left out."""
    view = memoryview(content).cast("B")
    for offset in range(0, len(view), CHUNK):
        piece = bytes(view[offset : offset + CHUNK]).rstrip(b"\0")
        if piece:
            yield offset, piece
