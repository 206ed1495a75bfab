# SPDX-License-Identifier: MIT
"""Where do copies of memory lie until they are written? In memory that two processes share, so that handing one over
costs nothing and survives the process that made it; or simply in this process.
"""

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
            offset = self._enlarge(1 << kind)
        return Block(self, kind, offset, length)

    def copy(self, address: int, length: int) -> Block:
        block = self.new(length)
        _move(block.address, address, length)
        return block

    def put(self, content: bytes) -> Block:
        """A copy of these bytes."""
        block = self.new(len(content))
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

    def _enlarge(self, size: int) -> int:
        with self._lock:
            if self._end + size > self._size:
                raise OSError(errno.ENOMEM, "no room for what waits to be written")
            offset, self._end = self._end, self._end + size
            if self._end + _AHEAD // 2 > self._ready:
                self._behind.release()
        return offset

    def _make_ready(self) -> None:
        """Have the system make pages before they are needed: whoever copies must not wait for that."""
        while self._behind.acquire() and not self._closed:
            wanted = min(self._end + _AHEAD, self._size)
            while self._ready < wanted and not self._closed:
                if _advise(self.address + self._ready, min(_STEP, self._size - self._ready), _POPULATE_WRITE):
                    return  # an older kernel: pages are made as they are needed
                self._ready += _STEP
