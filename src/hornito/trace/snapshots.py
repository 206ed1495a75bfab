# SPDX-License-Identifier: MIT
"""What did memory hold at this moment, and what of it is new since the last look? Copies of what changed, nothing else.

Every look compares all of a buffer with what it held before: a client may write to what it has mapped at any time, so
nothing that it says or does not say is relied on. To compare is many times faster than to hash.
"""

import ctypes
import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hornito.trace.records import Digest, Extent
from hornito.trace.writer import Keeper

PIECE = 1 << 16  # bytes: what changes is kept in pieces of this size
_MOST_KEPT = 512 << 20  # bytes of buffers whose last state is remembered

_ZEROS = bytes(PIECE)
# PyDLL keeps Python's lock: to let go of it for each piece costs more than the comparison.
_compare = ctypes.PyDLL(None).memcmp
_compare.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
_compare.restype = ctypes.c_int


class Piece:
    """A part of a buffer from ``offset`` on, as it was once. ``content`` is empty once it is kept."""

    __slots__ = ("__weakref__", "_length", "_name", "content", "offset")

    def __init__(self, offset: int, content: bytes) -> None:
        self.offset = offset
        self.content = content
        self._length = -1
        self._name: Digest = b""

    def extent(self, keeper: Keeper) -> Extent | None:
        """Keep it; None if it is all zeros. On the writer's thread."""
        if self._length < 0:
            content = self.content.rstrip(b"\0")
            self._name = keeper.whole(content) if content else b""
            self._length = len(content)
            self.content = b""
        return Extent(self.offset, self._length, self._name) if self._length else None


@dataclass(eq=False)
class Snapshot:
    """A buffer at one moment; pieces that are missing were zero. ``new``: bytes that were copied for it."""

    pieces: Sequence[Piece]
    new: int
    _extents: tuple[Extent, ...] | None = field(default=None, init=False)

    def extents(self, keeper: Keeper) -> tuple[Extent, ...]:
        """Keep its contents, and name them. On the writer's thread."""
        if self._extents is None:
            found = (piece.extent(keeper) for piece in self.pieces)
            self._extents = tuple(extent for extent in found if extent is not None)
        return self._extents


class _Watched:
    """A buffer, mapped, and what it held at the last look."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self.size = size
        self._map = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset)
        self._now: NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)
        self._at = self._now.ctypes.data
        self._lengths = {start: min(PIECE, size - start) for start in range(0, size, PIECE)}
        self._last = dict.fromkeys(self._lengths, _ZEROS)
        self._pieces: dict[int, Piece] = {}
        self._snapshot = Snapshot((), 0)

    def look(self) -> Snapshot:
        """What it holds now: the same object as before if nothing has changed."""
        at, last = self._at, self._last
        changed = [start for start, length in self._lengths.items() if _compare(at + start, last[start], length)]
        if not changed:
            return self._snapshot
        new = 0
        for start in changed:
            content = last[start] = self._now[start : start + self._lengths[start]].tobytes()
            self._pieces[start] = Piece(start, content)
            new += len(content)
        self._snapshot = Snapshot([self._pieces[start] for start in sorted(self._pieces)], new)
        return self._snapshot


class Snapshots:
    """Looks at buffers that lie in the file ``fd``. For one thread.

    An offset must always mean the same buffer, and the file must not be cut.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._watched: dict[int, _Watched] = {}  # by offset; the one looked at last is the last
        self._bytes = 0

    def take(self, offset: int, size: int) -> Snapshot:
        """The ``size`` bytes from ``offset`` on, as they are now. Raises OSError where they can't be mapped."""
        watched = self._watched.pop(offset, None)
        if watched is None:
            watched = _Watched(self._fd, offset, size)
            self._bytes += size
        self._watched[offset] = watched
        while self._bytes > _MOST_KEPT and len(self._watched) > 1:
            self._bytes -= self._watched.pop(next(iter(self._watched))).size
        return watched.look()
