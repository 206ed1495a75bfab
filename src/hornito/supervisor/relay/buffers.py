# SPDX-License-Identifier: MIT
"""How does one look at a buffer of the machine's own device? Through a mapping of our own, or, where it is a client's
memory, by reading that; and the CPU's caches must not show what was there before the device wrote.

Source of what CPU_PREP and CPU_FINI do to caches: Linux, etnaviv_gem.c.
"""

import contextlib
import errno
import itertools
import mmap
import os
import platform
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from hornito.uapi.etnaviv import GEM_CPU_FINI, GEM_CPU_PREP, GEM_INFO, BoFlag, Prep
from hornito.uapi.kernel import Kernel
from hornito.virtual.etnaviv.user_memory import UserMemory

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Handle:
    """What the open file ``fd`` (ours) knows by a ``number``."""

    kernel: Kernel
    fd: int
    number: int


class Buffer:
    """A buffer of ``size`` bytes that is ``cached`` by the CPU or not. ``identity`` is its own for ever.

    ``held``: its client is between CPU_PREP and CPU_FINI. ``closed``: the handle means something else by now.
    """

    def __init__(self, handle: Handle, size: int, cached: bool) -> None:
        self.identity = next(_numbers)
        self.size = size
        self.held = False
        self.closed = False
        self._handle = handle
        self._cached = cached
        self._stale = False
        self._prepared = False  # by us
        self._lock = threading.Lock()  # clients' calls are made by another thread than looks

    def device_wrote(self) -> None:
        """Caches may show less than there is."""
        self._stale = self._cached

    @contextlib.contextmanager
    def taken_up(self) -> Iterator[None]:
        """The client's CPU_PREP is made within the block, without waiting; if it succeeds the client holds it."""
        with self._lock:
            yield
            self.held, self._prepared = True, False  # what we began is the client's to end

    @contextlib.contextmanager
    def given_back(self) -> Iterator[None]:
        """The client's CPU_FINI is made within the block."""
        with self._lock:
            yield
            self.held = False

    def content(self) -> mmap.mmap | bytearray:
        """Its bytes, as ``prepare`` brings them up to date. Raises OSError."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Somebody is about to look. Raises OSError."""
        # Only where it must be: what ends a look may cost a client what it has in the caches, and to prepare a buffer
        # that the client has prepared would end what the client began.
        with self._lock:
            if self._stale and not self.held:
                self.check()
                handle = self._handle
                GEM_CPU_PREP(handle.kernel, handle.fd, handle=handle.number, op=Prep.READ | Prep.NOSYNC)
                self._prepared, self._stale = True, False

    def finish(self) -> None:
        """He has looked."""
        with self._lock:
            if self._prepared:
                self._prepared = False
                if not self.closed:
                    GEM_CPU_FINI(self._handle.kernel, self._handle.fd, handle=self._handle.number)

    def check(self) -> None:
        """Raises OSError with ENOENT if the handle means something else by now."""
        if self.closed:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))


class DeviceBuffer(Buffer):
    """One of the device's; ``flags``: those that it was made with (0: nobody knows)."""

    def __init__(self, handle: Handle, size: int, flags: int) -> None:
        super().__init__(handle, size, bool(flags & BoFlag.CACHED))
        self._flags = flags

    def content(self) -> mmap.mmap:
        # aarch64 maps uncached buffers as a device's registers, which do not bear every access that memory does.
        if self._flags & BoFlag.UNCACHED and platform.machine() != "x86_64":
            raise OSError(errno.EOPNOTSUPP, "an uncached buffer can't be looked at on this machine")
        self.check()
        handle = self._handle
        offset = GEM_INFO(handle.kernel, handle.fd, handle=handle.number).offset
        return handle.kernel.mmap(handle.fd, self.size, offset)


class ClientMemory(Buffer):
    """What a process made a buffer of, from ``address`` of its memory on (GEM_USERPTR). Every look reads it: the
    process must still have it."""

    def __init__(self, handle: Handle, process: int, address: int, size: int) -> None:
        super().__init__(handle, size, cached=True)
        self._memory = UserMemory(process)
        self._address = address
        self._copy = bytearray(size)

    def content(self) -> bytearray:
        return self._copy

    def prepare(self) -> None:
        super().prepare()
        try:
            self._copy[:] = self._memory.read(self._address, self.size)
        except OSError:
            self.finish()
            raise
