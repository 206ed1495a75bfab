# SPDX-License-Identifier: MIT
"""Where do copies of memory lie until they are written? In memory that two processes share, so that handing one over
costs nothing and survives the process that made it; or simply in this process.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import threading
from typing import Protocol

import numpy as np

_SMALLEST = 9  # the binary logarithm of the least bytes that a copy takes
_AHEAD = 24 << 20  # bytes that are made ready before they are needed
_STEP = 2 << 20  # bytes made ready at once
_JOIN_STEP = 32 << 20  # bytes that the file grows by before free places are joined again
_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE, since Linux 5.14

# PyDLL keeps Python's lock: to let go of it for each piece costs more than the copy.
_move = ctypes.PyDLL(None).memmove
_move.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
_move.restype = None
_advise = ctypes.CDLL(None).madvise
_advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Copy(Protocol):
    """Bytes that do not change any more, for as long as somebody holds the copy."""

    @property
    def address(self) -> int:
        """Where they lie in this process."""

    @property
    def length(self) -> int:
        """In bytes."""

    def view(self) -> memoryview:
        """The bytes."""


class Copies(Protocol):
    """Where copies are made."""

    def copy(self, address: int, length: int) -> Copy:
        """Of ``length`` bytes from ``address`` of this process. Raises OSError where there is no room."""


class OwnCopy:
    """A ``Copy`` in this process's own memory."""

    __slots__ = ("_content", "address", "length")

    def __init__(self, address: int, length: int) -> None:
        self._content = np.empty(length, np.uint8)
        self.address = int(self._content.ctypes.data)
        self.length = length
        _move(self.address, address, length)

    def view(self) -> memoryview:
        return self._content.data


class OwnCopies:
    """``Copies`` in this process's own memory."""

    def copy(self, address: int, length: int) -> OwnCopy:
        return OwnCopy(address, length)


class Block:
    """A ``Copy`` at ``offset`` of an arena. The place is used again once nobody holds it."""

    __slots__ = ("_arena", "_kind", "address", "length", "offset")

    def __init__(self, arena: "Arena", kind: int, offset: int, length: int) -> None:
        self._arena = arena
        self._kind = kind
        self.offset = offset
        self.length = length
        self.address = arena.address + offset

    def view(self) -> memoryview:
        return self._arena.view(self.offset, self.length)

    def __del__(self) -> None:
        self._arena.free[self._kind].append(self.offset)


class Arena:
    """``Copies`` in a file of memory, ``fd``, that another process may map as well: up to ``size`` bytes.

    Places have the sizes of powers of two; what was freed last is used first, while it is in the processor's caches.
    Larger places are cut where there is none of a size, and joined again where much is free and none is large enough.
    Any thread may use it. Raises OSError where there can't be such a file.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.fd = os.memfd_create("hornito-recording", os.MFD_CLOEXEC)
        try:
            os.ftruncate(self.fd, size)
            self._map = mmap.mmap(self.fd, size)
        except OSError:
            os.close(self.fd)
            raise
        self._view = memoryview(self._map)
        self.address = int(np.frombuffer(self._map, np.uint8).ctypes.data)
        self.free: list[list[int]] = [[] for _ in range(size.bit_length() + 1)]  # offsets, by the size's logarithm
        self._lock = threading.Lock()
        self._end = 0
        self._next_join = 0  # for how large an end it is worth the time again
        self._ready = 0  # bytes from the beginning whose pages are there
        self._behind = threading.Semaphore(1)
        self._closed = False
        threading.Thread(target=self._make_ready, name="trace memory", daemon=True).start()

    def new(self, length: int) -> Block:
        """Room for ``length`` bytes. Raises OSError where there is none."""
        kind = max(_SMALLEST, (length - 1).bit_length())
        try:
            offset = self.free[kind].pop()
        except IndexError:
            offset = self._make(kind)
        return Block(self, kind, offset, length)

    def copy(self, address: int, length: int) -> Block:
        block = self.new(length)
        _move(block.address, address, length)
        return block

    def put(self, content: bytes) -> Block:
        """A copy of these bytes. Raises OSError where there is no room."""
        return self.fill(self.new(len(content)), content)

    def fill(self, block: Block, content: bytes) -> Block:
        """The block, of which these bytes are the content from now on: no more than there is room for."""
        if len(content) > block.length:
            raise ValueError(f"{len(content)} bytes for a block of {block.length}")
        block.length = len(content)
        self._view[block.offset : block.offset + len(content)] = content
        return block

    def view(self, offset: int, length: int) -> memoryview:
        """Some of it."""
        return self._view[offset : offset + length]

    def close(self) -> None:
        """Give the file back; copies stay readable for as long as they are held."""
        self._closed = True
        self._behind.release()
        os.close(self.fd)

    def _make(self, kind: int) -> int:
        """Where a place of that size is now that was none. Raises OSError."""
        size = 1 << kind
        with self._lock:
            offset = self._cut(kind)
            free = sum(len(offsets) << of for of, offsets in enumerate(self.free))
            full = self._end + size > self._size
            if offset is None and free >= size and (full or (2 * free >= self._end >= self._next_join)):
                self._join()
                self._next_join = self._end + _JOIN_STEP
                offset = self._cut(kind)
            if offset is None:
                if full:
                    raise OSError(errno.ENOMEM, "no room for what waits to be written")
                offset, self._end = self._end, self._end + size
                if self._end + _AHEAD // 2 > self._ready:
                    self._behind.release()
        return offset

    def _cut(self, kind: int) -> int | None:
        """A place of that size out of the smallest free one that is as large."""
        for larger in range(kind, len(self.free)):
            try:
                offset = self.free[larger].pop()
            except IndexError:
                continue
            for half in range(larger - 1, kind - 1, -1):  # what lies behind it
                self.free[half].append(offset + (1 << half))
            return offset
        return None

    def _join(self) -> None:
        """Make one of free places that lie side by side, and cut that into places as large as can be."""
        places: list[tuple[int, int]] = []
        for kind, offsets in enumerate(self.free):
            with contextlib.suppress(IndexError):  # others take and free some meanwhile, without our lock
                while True:
                    places.append((offsets.pop(), 1 << kind))
        places.sort()
        runs: list[list[int]] = []
        for offset, size in places:
            if runs and runs[-1][1] == offset:
                runs[-1][1] += size
            else:
                runs.append([offset, offset + size])
        for start, end in runs:
            while start < end:
                kind = (end - start).bit_length() - 1
                self.free[kind].append(start)
                start += 1 << kind

    def _make_ready(self) -> None:
        """Have the system make pages before they are needed: whoever copies must not wait for that."""
        while self._behind.acquire() and not self._closed:
            wanted = min(self._end + _AHEAD, self._size)
            while self._ready < wanted and not self._closed:
                if _advise(self.address + self._ready, min(_STEP, self._size - self._ready), _POPULATE_WRITE):
                    return  # an older kernel: pages are made as they are needed
                self._ready += _STEP
