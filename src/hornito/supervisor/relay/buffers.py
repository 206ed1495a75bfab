# SPDX-License-Identifier: MIT
"""How does one look at a buffer of the machine's own device? Through a mapping of our own, or, where it is a client's
memory, by reading that."""

import errno
import itertools
import mmap
import os
import platform

from hornito.uapi.etnaviv import GEM_CPU_FINI, GEM_CPU_PREP, GEM_INFO, BoFlag, Prep
from hornito.uapi.kernel import Kernel
from hornito.virtual.etnaviv.user_memory import UserMemory

_numbers = itertools.count(1)


class DeviceBuffer:
    """A buffer that the client knows as ``handle`` of the open file ``fd`` (ours); ``flags``: those that it was made
    with (0: nobody knows). ``held``: the client is between CPU_PREP and CPU_FINI."""

    def __init__(self, kernel: Kernel, fd: int, handle: int, size: int, flags: int) -> None:
        self.identity = next(_numbers)
        self.size = size
        self.held = False
        self.closed = False  # the handle means something else by now
        self._kernel = kernel
        self._fd = fd
        self._handle = handle
        self._flags = flags
        self._prepared = False

    def content(self) -> mmap.mmap:
        # aarch64 maps uncached buffers as a device's registers, which do not bear every access that memory does.
        if self._flags & BoFlag.UNCACHED and platform.machine() != "x86_64":
            raise OSError(errno.EOPNOTSUPP, "an uncached buffer can't be looked at on this machine")
        self._check()
        offset = GEM_INFO(self._kernel, self._fd, handle=self._handle).offset
        return self._kernel.mmap(self._fd, self.size, offset)

    def prepare(self) -> None:
        # Only a cached buffer has caches to be brought up to date. To prepare one that the client has prepared would
        # end what the client began.
        if self._flags & BoFlag.CACHED and not self.held:
            self._check()
            GEM_CPU_PREP(self._kernel, self._fd, handle=self._handle, op=Prep.READ | Prep.NOSYNC)
            self._prepared = True

    def finish(self) -> None:
        if self._prepared:
            self._prepared = False
            if not self.closed:
                GEM_CPU_FINI(self._kernel, self._fd, handle=self._handle)

    def _check(self) -> None:
        if self.closed:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))


class ClientMemory:
    """``size`` bytes of the process's memory from ``address`` on, of which the client has made a buffer (GEM_USERPTR).

    Every look reads them: its process must still have them.
    """

    held = False
    closed = False

    def __init__(self, process: int, address: int, size: int) -> None:
        self.identity = next(_numbers)
        self.size = size
        self._memory = UserMemory(process)
        self._address = address
        self._copy = bytearray(size)

    def content(self) -> bytearray:
        return self._copy

    def prepare(self) -> None:
        self._copy[:] = self._memory.read(self._address, self.size)

    def finish(self) -> None:
        """Nothing was held."""


Buffer = DeviceBuffer | ClientMemory
