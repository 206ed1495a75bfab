# SPDX-License-Identifier: MIT
"""The virtual kernel, standing in for the machine's own behind a relay."""

import contextlib
import ctypes
import errno
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hornito.hardware.chips import find_chip
from hornito.supervisor.caller import RemoteCaller
from hornito.supervisor.descriptors import same_description
from hornito.supervisor.relay.device import RelayedDevice
from hornito.supervisor.relay.files import NodeByNumber, RelayedFile
from hornito.supervisor.served import PassOn
from hornito.trace.recorded_relay import RecordedRelay, recorded_node
from hornito.virtual.etnaviv.caller import FileIdentity, OwnProcess
from hornito.virtual.etnaviv.client import OpenFile
from hornito.virtual.etnaviv.device import VirtualDevice
from hornito.virtual.etnaviv.fences import Pending
from hornito.virtual.injection import FaultPlan
from hornito.virtual.standalone import standalone_device
from hornito.virtual.timeline import Timeline
from tests.supervisor.relay.record import NO_JOBS, OWN_NODE


class DeviceKernel:
    """A ``Kernel`` whose node is that device; it knows open files by whatever descriptor shows them, as Linux does."""

    def __init__(self, device: VirtualDevice) -> None:
        self.device = device
        self._caller = OwnProcess()

    def open(self, path: str, flags: int) -> int:
        return self.device.open().client_fd

    def close(self, fd: int) -> None:
        os.close(fd)
        self.device.sweep()

    def ioctl(self, fd: int, request: int, arg: ctypes.Structure | int) -> int:
        file = self.device.find(os.getpid(), fd)
        while True:
            try:
                if file is not None:
                    self.device.call(file, request, arg, self._caller)
                else:
                    self.device.sync_call(FileIdentity.of(fd), request, arg, self._caller)
                return 0
            except Pending as pending:
                pending.wait()

    def mmap(self, fd: int, length: int, offset: int) -> mmap.mmap:
        return mmap.mmap(fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)

    def messages(self, fd: int) -> list[str]:
        file = self.device.find(os.getpid(), fd)
        return [] if file is None else self.device.messages(file)


class OurNode:
    """Recognises that device's descriptors, as ``NodeByNumber`` does the machine's."""

    def __init__(self, device: VirtualDevice) -> None:
        self._device = device

    def is_node(self, place: str) -> bool:
        return self._identity(place) == self._device.pool.identity

    def is_shared(self, place: str) -> bool:
        identity = self._identity(place)
        return self._device.is_sync_file(identity) or self._device.is_dma_buf(identity)

    @staticmethod
    def _identity(place: str) -> FileIdentity:
        status = os.stat(place)
        return FileIdentity(status.st_dev, status.st_ino)


@dataclass(frozen=True)
class _Opened:
    number: int
    client_fd: int


class OpeningRelay(RelayedDevice):
    """Opens the node for programs, and forgets it at once: it is met again by the first call on it."""

    def __init__(self, kernel: DeviceKernel) -> None:
        super().__init__(kernel, OurNode(kernel.device))
        self._kernel_of_tests = kernel

    def open(self) -> Any:
        return _Opened(0, self._kernel_of_tests.open("", 0))


class AsLinux:
    """``inner``, where what it leaves to the kernel is done by the virtual one, unseen, for the caller itself."""

    def __init__(self, inner: RecordedRelay, device: VirtualDevice) -> None:
        self._inner = inner
        self._device = device

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def call(self, file: RelayedFile, request: int, arg: int, caller: RemoteCaller) -> None:
        try:
            self._inner.call(file, request, arg, caller)
        except PassOn:
            theirs = self._device.find(caller.pid, caller.descriptor)
            if theirs is None:  # it was killed meanwhile
                raise OSError(errno.ESRCH, "the caller is gone") from None
            self._device.call(theirs, request, arg, caller)


class Nothing:
    """An executor whose jobs do nothing."""

    def run(self, space: Any, stream: Any, timeline: Timeline) -> None:
        timeline.finish()

    def close(self) -> None:
        """Nothing runs elsewhere."""


class NullKernel(DeviceKernel):
    """The same behind /dev/null, each of whose open file descriptions is one of the device's: a node that programs can
    open by themselves, and be relayed on as on a board, as long as they map nothing."""

    def __init__(self, device: VirtualDevice) -> None:
        super().__init__(device)
        self._known: list[tuple[int, OpenFile]] = []  # a descriptor of /dev/null, and what it stands for

    def ioctl(self, fd: int, request: int, arg: ctypes.Structure | int) -> int:
        return super().ioctl(self._behind(fd), request, arg)

    def mmap(self, fd: int, length: int, offset: int) -> mmap.mmap:
        return super().mmap(self._behind(fd), length, offset)

    def messages(self, fd: int) -> list[str]:
        return super().messages(self._behind(fd))

    def _behind(self, fd: int) -> int:
        if not NodeByNumber("/dev/null").is_node(f"/proc/self/fd/{fd}"):
            return fd
        for known, file in self._known:
            if same_description(known, os.getpid(), fd):
                return file.client_fd
        self._known.append((os.dup(fd), self.device.open()))
        return self._known[-1][1].client_fd


@contextlib.contextmanager
def relayed(path: str, command: list[str], options: list[str]) -> Iterator[Any]:
    """A relay with a virtual device behind it, recorded to the file ``path``. Options: OWN_NODE (programs open
    /dev/null), NO_JOBS (all jobs do nothing; so it is with OWN_NODE), what is to go wrong."""
    chip = find_chip("vipnano-qi")
    faults = FaultPlan.parse(word for word in options if word not in (OWN_NODE, NO_JOBS))
    relay: RelayedDevice
    with contextlib.ExitStack() as stack:
        if OWN_NODE in options or NO_JOBS in options:
            virtual = VirtualDevice(chip, Nothing(), faults=faults)
            stack.callback(virtual.shutdown)
        else:
            virtual = stack.enter_context(standalone_device(chip, faults))
        if OWN_NODE in options:
            relay = RelayedDevice(NullKernel(virtual), NodeByNumber("/dev/null"))
        else:
            relay = OpeningRelay(DeviceKernel(virtual))
        recorded = stack.enter_context(recorded_node(relay, path, chip.name, command, "test"))
        yield recorded if OWN_NODE in options else AsLinux(recorded, virtual)
