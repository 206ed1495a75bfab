# SPDX-License-Identifier: MIT
"""How does the device see memory that a client calls its own (GEM_USERPTR)? By a copy, in before a job, out after it.

Linux pins the pages when they are first needed, and only for the process that named them; from then on they stay what
the device sees, though their process unmap them or end. Here the buffer's place in the pool stands for the pages: it
follows the process as long as that has them.
"""

import contextlib
import errno
import os

import numpy as np
from numpy.typing import NDArray

from hornito.virtual.etnaviv.caller import Caller
from hornito.virtual.etnaviv.user_memory import PinnedMemory

_LINE = 64  # bytes that are written back as one: a cache line


class UserPages:
    """``length`` bytes of a process's memory from ``address`` on; ``writable``: by the device."""

    def __init__(self, caller: Caller, address: int, length: int, writable: bool) -> None:
        self.writable = writable
        self._process = caller.process
        self._address = address
        self._length = length
        self._memory: PinnedMemory | None = None
        self._before: NDArray[np.uint8] | None = None

    def pin(self, caller: Caller) -> None:
        """Take hold of the pages, once. Raises OSError: EPERM for another process than the one that named them, EFAULT
        where something else is mapped than what was promised."""
        if self._memory is not None:
            return
        if caller.process != self._process:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        self._memory = caller.pin(self._address, self._length, self.writable)

    def copy_in(self, fd: int, offset: int) -> None:
        """Bring the copy, in the file ``fd``, up to date. What the process has no more stays as it was."""
        if self._memory is None:
            return
        copy = bytearray(os.pread(fd, self._length, offset))
        self._memory.read(memoryview(copy))
        os.pwrite(fd, copy, offset)
        self._before = np.frombuffer(copy, np.uint8)

    def copy_out(self, fd: int, offset: int) -> None:
        """Give the process what the device has changed since ``copy_in``, whole cache lines."""
        before, self._before = self._before, None
        if self._memory is None or before is None or not self.writable:
            return
        after = np.frombuffer(os.pread(fd, self._length, offset), np.uint8)
        changed = (before != after).reshape(-1, _LINE).any(axis=1)
        edges = np.flatnonzero(np.diff(changed, prepend=False, append=False)) * _LINE
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            self._memory.write(start, after[start:end].tobytes())

    def close(self) -> None:
        """Let go of the pages."""
        if self._memory is not None:
            with contextlib.suppress(OSError):
                self._memory.close()
        self._memory = None
