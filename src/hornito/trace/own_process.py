# SPDX-License-Identifier: MIT
"""How is a client in this very process recorded? By a ``Kernel`` whose calls go through a recorded device, as those of
another process would."""

import ctypes
import mmap
import os

from hornito.trace.recorded_device import RecordedDevice
from hornito.trace.recorder import Recorder
from hornito.uapi.ioctl import Struct
from hornito.virtual.etnaviv.caller import OwnProcess
from hornito.virtual.etnaviv.client import OpenFile
from hornito.virtual.etnaviv.device import VirtualDevice
from hornito.virtual.etnaviv.fences import Pending


class OwnCall(OwnProcess):
    """One call of this process."""

    def __init__(self, ticket: int, descriptor: int) -> None:
        super().__init__()
        self.ticket = ticket
        self.descriptor = descriptor


class RecordedKernel:
    """A ``Kernel`` (hornito.uapi.kernel) whose one node, whatever its path, is ``device``; ``recorder`` sees all."""

    def __init__(self, device: VirtualDevice, recorder: Recorder) -> None:
        self.device = RecordedDevice(device, recorder)
        self.calls = 0
        self._files: dict[int, OpenFile] = {}

    def open(self, path: str, flags: int) -> int:
        file = self.device.open()
        self._files[file.client_fd] = file
        return file.client_fd

    def close(self, fd: int) -> None:
        os.close(fd)
        self.device.sweep()

    def ioctl(self, fd: int, request: int, arg: ctypes.Structure | int) -> int:
        """With a pointer, and again and again until the answer is there."""
        self.calls += 1
        pointer = ctypes.addressof(arg) if isinstance(arg, Struct) else arg
        assert isinstance(pointer, int)
        caller = OwnCall(self.calls, fd)
        while True:
            try:
                if fd in self._files:
                    self.device.call(self._files[fd], request, pointer, caller)
                else:
                    self.device.sync_call(caller.identify(fd), request, pointer, caller)
                return 0
            except Pending as pending:
                pending.wait()

    def mmap(self, fd: int, length: int, offset: int) -> mmap.mmap:
        return mmap.mmap(fd, length, offset=offset)

    def messages(self, fd: int) -> list[str]:
        return []
