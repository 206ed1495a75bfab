# SPDX-License-Identifier: MIT
"""What did memory hold at this moment, and what of it is new since the last look? Copies of what changed, nothing else.

Every look compares all of a buffer with what it held before: a client may write to what it has mapped at any time, so
nothing that it says or does not say is relied on. To compare is many times faster than to hash.
"""

import ctypes
import mmap
import resource
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from hornito.trace.copies import Copies, Copy, OwnCopies
from hornito.trace.records import Digest, Extent
from hornito.trace.writer import Keeper

PIECE = 1 << 19  # bytes: what changes is kept in pieces of this size
MOST_KEPT = 512 << 20  # bytes of buffers whose last state is remembered

_ZEROS = np.zeros(PIECE, np.uint8)
_ZEROS_AT = int(_ZEROS.ctypes.data)
# PyDLL keeps Python's lock: to let go of it for each piece, and to wait for it again, costs more than the comparison.
_compare = ctypes.PyDLL(None).memcmp
_compare.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
_compare.restype = ctypes.c_int


class Memory(Protocol):
    """A buffer that can be looked at, wherever it lies."""

    @property
    def identity(self) -> Hashable:
        """The same for the same buffer, and never another's."""

    @property
    def size(self) -> int:
        """In bytes."""

    def content(self) -> mmap.mmap | bytearray:
        """Its bytes, asked for once; they show what it holds between ``prepare`` and ``finish``. Raises OSError."""

    def prepare(self) -> None:
        """Somebody is about to look at the content. Raises OSError where that can't be."""

    def finish(self) -> None:
        """He has looked."""


@dataclass(frozen=True)
class FileMemory:
    """A buffer that lies in the file ``fd``. An offset must always mean the same buffer, and the file not be cut."""

    fd: int
    offset: int
    size: int

    @property
    def identity(self) -> int:
        return self.offset

    def content(self) -> mmap.mmap:
        return mmap.mmap(self.fd, self.size, mmap.MAP_SHARED, mmap.PROT_READ, offset=self.offset)

    def prepare(self) -> None:
        """It always shows what it holds."""

    def finish(self) -> None:
        """Nothing was held."""


class Seen(Protocol):
    """Bytes that somebody keeps for us."""

    def view(self) -> memoryview:
        """The bytes."""


class Piece:
    """A part of a buffer from ``offset`` on, as it was once. ``content`` is None once it is kept, or handed over;
    ``mark`` is what the writer knows it by."""

    __slots__ = ("_length", "_name", "content", "mark", "offset")

    def __init__(self, offset: int, content: Seen) -> None:
        self.offset = offset
        self.content: Seen | None = content
        self.mark: Any = None
        self._length = 0
        self._name: Digest = b""

    def extent(self, keeper: Keeper) -> Extent | None:
        """Keep it; None if it is all zeros."""
        if self.content is not None:
            content = self.content.view()
            if not content[-1]:
                content = memoryview(bytes(content).rstrip(b"\0"))
            self._name = keeper.whole(content) if content else b""
            self._length = len(content)
            self.content = None
        return Extent(self.offset, self._length, self._name) if self._length else None


@dataclass(eq=False)
class Snapshot:
    """A buffer at one moment; pieces that are missing were zero. ``mark`` is what the writer knows it by."""

    pieces: Sequence[Piece]
    mark: Any = field(default=None, init=False)
    _extents: tuple[Extent, ...] | None = field(default=None, init=False)

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        """Who gets it pickled gets its mark's number, and must know it by that."""
        return known, (self.mark.value,)

    def extents(self, keeper: Keeper) -> tuple[Extent, ...]:
        """Keep its contents, and name them."""
        if self._extents is None:
            found = (piece.extent(keeper) for piece in self.pieces)
            self._extents = tuple(extent for extent in found if extent is not None)
        return self._extents


def known(number: int) -> Snapshot:
    """The snapshot of that number, where one was pickled: whoever unpickles it puts something else in this place."""
    raise AssertionError(f"snapshot {number} is known elsewhere")


class _Watched:
    """A buffer, mapped, and what it held at the last look."""

    def __init__(self, memory: Memory, copies: Copies) -> None:
        self.size = size = memory.size
        self._memory = memory
        self._copies = copies
        self._now = np.frombuffer(memory.content(), np.uint8, size)
        at = int(self._now.ctypes.data)
        # Of each piece: where it is, where what it held is, how long it is.
        self._parts = [(at + start, _ZEROS_AT, min(PIECE, size - start)) for start in range(0, size, PIECE)]
        self._last: dict[int, Copy] = {}  # by a piece's number
        self._pieces: dict[int, Piece] = {}
        self.snapshot = Snapshot(())

    def look(self) -> Snapshot:
        """What it holds now: the same object as before if nothing has changed. Raises OSError."""
        self._memory.prepare()
        try:
            return self._compared()
        finally:
            self._memory.finish()

    def _compared(self) -> Snapshot:
        parts = self._parts
        changed = [number for number, (at, last, length) in enumerate(parts) if _compare(at, last, length)]
        if not changed:
            return self.snapshot
        for number, copy in [(number, self._copies.copy(parts[number][0], parts[number][2])) for number in changed]:
            self._last[number] = copy
            self._pieces[number] = Piece(number * PIECE, copy)
            parts[number] = parts[number][0], copy.address, copy.length
        self.snapshot = Snapshot([self._pieces[number] for number in sorted(self._pieces)])
        return self.snapshot


class Snapshots:
    """Looks at buffers. For one thread. ``copies`` is where what they hold is copied to."""

    def __init__(self, copies: Copies | None = None) -> None:
        self._copies = copies or OwnCopies()
        self._watched: dict[Hashable, _Watched] = {}  # the one looked at last is the last
        self._bytes = 0
        self._most = max(2, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)  # a mapping holds a descriptor

    def take(self, memory: Memory) -> Snapshot:
        """What it holds now. Raises OSError where it can't be mapped, or there is no room for a copy."""
        identity = memory.identity
        watched = self._watched.pop(identity, None)
        if watched is None:
            watched = _Watched(memory, self._copies)
            self._bytes += watched.size
        self._watched[identity] = watched
        while (self._bytes > MOST_KEPT or len(self._watched) > self._most) and len(self._watched) > 1:
            self._bytes -= self._watched.pop(next(iter(self._watched))).size
        return watched.look()

    def last(self, identity: Hashable) -> Snapshot | None:
        """What the buffer of that identity held at the last look; None if that is not known any more."""
        watched = self._watched.get(identity)
        return None if watched is None else watched.snapshot

    def forget(self, memory: Memory) -> None:
        """Nobody will look at it again: let go of it."""
        watched = self._watched.pop(memory.identity, None)
        if watched is not None:
            self._bytes -= watched.size
