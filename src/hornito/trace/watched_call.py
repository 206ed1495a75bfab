# SPDX-License-Identifier: MIT
"""What goes through a call between client and kernel? The argument before and after, and what else was read of it.

The kernel reads and writes its caller's memory through a ``Caller`` (hornito.virtual.etnaviv.caller); one that looks on
sees the very bytes that the kernel saw, at no further cost.
"""

import contextlib
import ctypes
import os
from dataclasses import dataclass, field

from hornito.supervisor.served import ServedCaller
from hornito.uapi.ioctl import Direction, request_direction, request_size
from hornito.uapi.tables import ioctl_of
from hornito.virtual.etnaviv.caller import FileIdentity
from hornito.virtual.etnaviv.user_memory import PinnedMemory

_POINTER_BYTES = 8


@dataclass
class WatchedCall:
    """A caller, with all that the kernel reads of it and writes to it in one ioctl."""

    caller: ServedCaller
    request: int
    argument: ctypes.Structure | int
    time: int  # ns: when it was made
    sent: bytes = b""
    returned: bytes = b""
    read_besides: list[tuple[int, bytes]] = field(default_factory=list)  # address, content
    written_besides: list[tuple[int, bytes]] = field(default_factory=list)

    def begin(self) -> None:
        """The kernel is about to look at it, perhaps again."""
        self.sent = self.returned = b""
        self.read_besides.clear()
        self.written_besides.clear()
        if isinstance(self.argument, ctypes.Structure):
            self.sent = bytes(self.argument)

    def end(self) -> None:
        """The kernel has answered."""
        if isinstance(self.argument, ctypes.Structure):
            self.returned = bytes(self.argument)
            return
        if not self.sent and request_direction(self.request) & Direction.WRITE:
            with contextlib.suppress(OSError):  # refused before anybody looked at it
                self.sent = bytes(self.caller.read(self.argument, request_size(self.request)))
        self.returned = self.returned or self.sent

    def more(self) -> dict[str, bytes]:
        """What the argument's pointers point to, by their names, as far as the kernel read it or wrote to it."""
        ioctl = ioctl_of(self.request)
        besides = [*self.read_besides, *self.written_besides]
        if ioctl is None or not besides:
            return {}
        struct = ioctl.struct.from_buffer_copy(self.sent)
        wide = [name for name in struct.names() if getattr(ioctl.struct, name).size == _POINTER_BYTES]
        values = {getattr(struct, name): name for name in reversed(wide) if isinstance(getattr(struct, name), int)}
        return {values[address]: content for address, content in besides if address in values}

    # The caller, as the kernel sees it.

    @property
    def pid(self) -> int:
        return self.caller.pid

    @property
    def process(self) -> int:
        return self.caller.process

    def read(self, address: int, length: int) -> bytearray:
        content = self.caller.read(address, length)
        if address == self.argument and not self.sent:
            self.sent = bytes(content)
        elif length:
            self.read_besides.append((address, bytes(content)))
        return content

    def write(self, address: int, content: bytes | bytearray) -> None:
        self.caller.write(address, content)
        if address == self.argument:
            self.returned = bytes(content)
        elif content:
            self.written_besides.append((address, bytes(content)))

    def pin(self, address: int, length: int, writable: bool) -> PinnedMemory:
        return self.caller.pin(address, length, writable)

    def install(self, fd: int, flags: int = os.O_CLOEXEC) -> int:
        return self.caller.install(fd, flags)

    def identify(self, fd: int) -> FileIdentity:
        return self.caller.identify(fd)

    def fetch(self, fd: int) -> int:
        return self.caller.fetch(fd)

    @property
    def ticket(self) -> int:
        return self.caller.ticket

    @property
    def descriptor(self) -> int:
        return self.caller.descriptor
