# SPDX-License-Identifier: MIT
"""How does this process itself use a virtual device? Through a ``Kernel`` of its own, which waits where Linux would."""

import ctypes
import errno
import mmap
import os
from collections.abc import Callable

from hornito.hardware.chips import Chip
from hornito.uapi.drm import RENDER_NODE
from hornito.virtual.etnaviv.answers import refuse
from hornito.virtual.etnaviv.caller import FileIdentity, OwnProcess
from hornito.virtual.etnaviv.client import OpenFile
from hornito.virtual.etnaviv.device import VirtualDevice
from hornito.virtual.etnaviv.fences import Pending
from hornito.virtual.etnaviv.jobs import AddressSpace, Executor
from hornito.virtual.injection import FaultPlan


class VirtualKernel:
    """A ``Kernel`` (hornito.uapi.kernel) whose one render node, RENDER_NODE, is a virtual NPU.

    Arguments and errors are those of VirtualDevice. Threads may share it; a forked child gets ENODEV from everything
    but close. An open file ends when the descriptor that ``open`` gave is closed here, whatever else still shows it.
    """

    def __init__(
        self,
        chip: Chip,
        executor: Executor | None = None,
        *,
        new_space: Callable[[], AddressSpace] | None = None,
        memory: int = 4 << 30,
        faults: FaultPlan | None = None,
    ) -> None:
        self.device = VirtualDevice(chip, executor, new_space=new_space, memory=memory, faults=faults)
        self._caller = OwnProcess()
        self._files: dict[int, OpenFile] = {}  # by descriptor

    def open(self, path: str, flags: int) -> int:
        if path != RENDER_NODE:
            raise refuse(errno.ENOENT)
        file = self.device.open()
        stale = self._files.pop(file.client_fd, None)
        if stale is not None:  # closed behind our back
            self.device.release(stale)
        self._files[file.client_fd] = file
        return file.client_fd

    def close(self, fd: int) -> None:
        if os.getpid() != self._caller.pid:
            os.close(fd)
            return
        file = self._files.pop(fd, None)
        if file is not None:
            self.device.release(file)
        identity = _identify(fd)
        known = self.device.is_sync_file(identity) or self.device.is_dma_buf(identity)
        if identity != self.device.pool.identity and not known:
            raise refuse(errno.EBADF)
        os.close(fd)
        self.device.sweep()

    def ioctl(self, fd: int, request: int, arg: ctypes.Structure | int) -> int:
        """One call, after as long a wait as it takes."""
        identity = _identify(fd)
        while True:
            try:
                if identity == self.device.pool.identity:
                    self.device.call(self._file(fd), request, arg, self._caller)
                else:
                    self.device.sync_call(identity, request, arg, self._caller)
                return 0
            except Pending as pending:
                pending.wait()

    def mmap(self, fd: int, length: int, offset: int) -> mmap.mmap:
        if _identify(fd) != self.device.pool.identity:
            raise refuse(errno.EBADF)
        self.device.check_map(self._file(fd), length, offset)
        return mmap.mmap(fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)

    def messages(self, fd: int) -> list[str]:
        return self.device.messages(self._file(fd))

    def shutdown(self) -> None:
        """Cancel all jobs that have not begun and stop; from then on every call but close gives ENODEV."""
        self.device.shutdown()

    def _file(self, fd: int) -> OpenFile:
        """The open file of a descriptor that shows the pool, if it has another number by now too."""
        file = self._files.get(fd)
        if file is None:
            number = self.device.pool.identify(self._caller.pid, fd)
            file = None if number is None else self.device.file(number)
        if file is None:
            raise refuse(errno.EBADF)
        return file


def _identify(fd: int) -> FileIdentity:
    """Raises OSError with EBADF."""
    if not 0 <= fd < 1 << 31:
        raise refuse(errno.EBADF)
    return FileIdentity.of(fd)
