# SPDX-License-Identifier: MIT
"""Which open files of the node are there, and what does each have? As far as calls that went through us tell."""

import contextlib
import mmap
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hornito.supervisor.relay.buffers import Buffer, ClientMemory, DeviceBuffer, Handle
from hornito.supervisor.served import ServedCaller
from hornito.uapi.drm import PRIME_HANDLE_TO_FD
from hornito.uapi.etnaviv import GemUserPtr
from hornito.uapi.kernel import Kernel
from hornito.virtual.etnaviv.user_memory import UserMemory

_PAGE = mmap.PAGESIZE
_SYNC_FILE, _DMA_BUF = "anon_inode:sync_file", ("/dmabuf:", "anon_inode:dmabuf")


class Recognition(Protocol):
    """Tells what a descriptor shows, by its place in /proc (/proc/PID/fd/N). Raises OSError."""

    def is_node(self, place: str) -> bool:
        """The device's node."""

    def is_shared(self, place: str) -> bool:
        """A sync file, or a dma-buf."""


class NodeByNumber:
    """Recognises the node at ``path``, and other nodes of the same device (Linux makes a primary one too), by their
    device numbers. Raises OSError for what is no character device."""

    def __init__(self, path: str, sysfs: Path = Path("/sys")) -> None:
        number = _number(os.stat(path))
        if number is None:
            raise OSError(f"{path} is no device")
        self._numbers = {number}
        minors = sysfs / "dev" / "char" / f"{os.major(number)}:{os.minor(number)}" / "device" / "drm"
        for minor in minors.glob("*/dev"):
            with contextlib.suppress(OSError, ValueError):
                major, _, rest = minor.read_text(encoding="ascii").partition(":")
                self._numbers.add(os.makedev(int(major), int(rest)))

    def is_node(self, place: str) -> bool:
        return _number(os.stat(place)) in self._numbers

    def is_shared(self, place: str) -> bool:
        link = os.readlink(place)
        return link == _SYNC_FILE or link.startswith(_DMA_BUF)


def _number(status: os.stat_result) -> int | None:
    """The device number of a character device."""
    return status.st_rdev if stat.S_ISCHR(status.st_mode) else None


@dataclass(frozen=True)
class _Unseen:
    """A GEM_USERPTR that the kernel made by itself: where its argument is, and what it was."""

    thread: int
    process: int
    pointer: int
    sent: GemUserPtr

    def memory(self, handle: Handle) -> ClientMemory:
        """What it made a buffer of."""
        return ClientMemory(handle, self.process, self.sent.user_ptr, self.sent.user_size)

    def handle(self) -> int:
        """What came of it: 0 if it has not returned yet, failed, or something else lies there by now; also if that is
        what lay there before: it may have failed."""
        with contextlib.suppress(OSError):
            content = UserMemory(self.process).read(self.pointer, len(bytes(self.sent)))
            found = GemUserPtr.from_buffer_copy(content)
            same = (found.user_ptr, found.user_size) == (self.sent.user_ptr, self.sent.user_size)
            if same and found.handle != self.sent.handle:
                return int(found.handle)
        return 0


class RelayedFile:
    """An open file description of the node: its ``number``, our own descriptor of it, what its handles mean.

    ``holder`` is who was seen with a descriptor of it last: process (or thread) and number there.
    """

    def __init__(self, kernel: Kernel, number: int, fd: int, holder: tuple[int, int]) -> None:
        self.number = number
        self.fd = fd
        self.holder = holder
        self._kernel = kernel
        self._buffers: dict[int, Buffer] = {}
        self.has_client_memory = False  # some of its buffers may be
        self._unseen: list[_Unseen] = []
        self._nameless: list[_Unseen] = []  # of those that have returned: their handles are not known

    @property
    def client_fd(self) -> int:
        raise NotImplementedError("clients open the node themselves")

    @property
    def buffers(self) -> list[Buffer]:
        """Those that it is known to have."""
        return list(self._buffers.values())

    def add(self, handle: int, size: int, flags: int = 0) -> None:
        """It has a buffer of so many bytes now, rounded up to pages; nothing happens if the handle is known."""
        if handle not in self._buffers:
            size = -(-size // _PAGE) * _PAGE
            self._buffers[handle] = DeviceBuffer(self._handle(handle), size, flags)

    def known(self, handle: int) -> Buffer | None:
        """What that handle means, as far as we have seen."""
        return self._buffers.get(handle)

    def find(self, handle: int) -> Buffer | None:
        """The same; the kernel is asked for what we have not seen."""
        found = self._buffers.get(handle)
        if found is None:
            self._learn(self._unseen, lambda unseen: unseen.handle() == handle)
            found = self._buffers.get(handle)
        if found is None:
            with contextlib.suppress(OSError):
                self._identify(handle)
            found = self._buffers.get(handle)
        return found

    def drop(self, handle: int) -> Buffer | None:
        """It has that buffer no longer."""
        found = self._buffers.pop(handle, None)
        if found is not None:
            found.closed = True
        return found

    def passed_on(self, caller: ServedCaller, pointer: int, sent: GemUserPtr) -> None:
        """The kernel itself is about to make that GEM_USERPTR."""
        self.has_client_memory = True
        self._unseen.append(_Unseen(caller.pid, caller.process, pointer, sent))

    def returned(self, thread: int) -> None:
        """That thread makes another call: what it let the kernel do has been done."""
        if self._unseen:
            done = [unseen for unseen in self._unseen if unseen.thread == thread]
            self._unseen = [unseen for unseen in self._unseen if unseen.thread != thread]
            self._learn(done, lambda unseen: True)
            self._nameless += done

    def _learn(self, among: list[_Unseen], is_it: Callable[[_Unseen], bool]) -> None:
        """Those of them that tell their handle by now, and that ``is_it`` names, are seen at last."""
        for unseen in [unseen for unseen in among if is_it(unseen)]:
            handle = unseen.handle()
            if handle and handle not in self._buffers:
                among.remove(unseen)
                self._buffers[handle] = unseen.memory(self._handle(handle))

    def _identify(self, handle: int) -> None:
        """Ask the kernel what it is. Raises OSError."""
        fd = PRIME_HANDLE_TO_FD(self._kernel, self.fd, handle=handle, flags=os.O_CLOEXEC).fd
        try:
            size = os.lseek(fd, 0, os.SEEK_END)
        finally:
            self._kernel.close(fd)
        # A client's memory whose handle was gone from its place before we looked there: is it any but this one?
        likely = [unseen for unseen in self._nameless if unseen.sent.user_size == size]
        if len(likely) == 1:
            self._nameless.remove(likely[0])
            self._buffers[handle] = likely[0].memory(self._handle(handle))
        else:
            self.add(handle, size)

    def _handle(self, number: int) -> Handle:
        return Handle(self._kernel, self.fd, number)
