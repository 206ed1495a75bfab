# SPDX-License-Identifier: MIT
"""How is an ioctl made in another process's place? Its argument is copied here, the call made on a descriptor of ours,
and the argument copied back, with our own pointers and descriptors exchanged for the caller's on either way."""

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from typing import TypeVar

from hornito.supervisor.served import ServedCaller
from hornito.uapi.ioctl import Direction, Struct, request_direction, request_size
from hornito.uapi.kernel import Kernel
from hornito.virtual.etnaviv.fences import Pending

S = TypeVar("S", bound=Struct)
NO_DESCRIPTOR = -1


class Exchange:
    """One ioctl of ``caller``, with the argument ``pointer`` there, made on our descriptor ``fd``."""

    def __init__(self, kernel: Kernel, fd: int, caller: ServedCaller, request: int, pointer: int) -> None:
        self.caller = caller
        self.fd = fd
        self._kernel = kernel
        self.request = request
        self._pointer = pointer
        self._asked = request_size(request)
        self._content = bytearray(self._asked)

    @contextlib.contextmanager
    def of(self, kind: type[S]) -> Iterator[S]:
        """The argument as that struct of ours, to be changed before the call and looked at behind it. When the block
        ends it goes back to the caller, even if the call failed, as DRM does it; but not if it is Pending. What the
        request leaves out of the struct is zero.

        Raises OSError with EFAULT.
        """
        direction = request_direction(self.request)
        self._content = bytearray(max(self._asked, ctypes.sizeof(kind)))
        if direction & Direction.WRITE:
            self._content[: self._asked] = self.caller.read(self._pointer, self._asked)
        try:
            yield kind.from_buffer(self._content)
        except Pending:
            raise
        except BaseException:
            self._return(direction)
            raise
        self._return(direction)

    def make(self) -> None:
        """Make the call now. Raises OSError."""
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._content))
        while True:
            try:
                self._kernel.ioctl(self.fd, self.request, address)
                return
            except OSError as error:
                if error.errno != errno.EINTR:  # a signal of ours is none of the caller's
                    raise

    @contextlib.contextmanager
    def exchanged(self, struct: Struct, field: str, ours: int) -> Iterator[None]:
        """Within the block that field has our value, afterwards the caller's again."""
        theirs = getattr(struct, field)
        setattr(struct, field, ours)
        try:
            yield
        finally:
            setattr(struct, field, theirs)

    @contextlib.contextmanager
    def table(self, struct: Struct, field: str, length: int) -> Iterator[bytes]:
        """The ``length`` bytes that a field points to, copied here; the kernel sees our copy within the block. What is
        not mapped there is not mapped for the kernel either."""
        content, ours = b"", 0
        if length:
            with contextlib.suppress(OSError):
                content = bytes(self.caller.read(getattr(struct, field), length))
                copy = ctypes.create_string_buffer(content, length)
                ours = ctypes.addressof(copy)
        with self.exchanged(struct, field, ours):
            yield content

    @contextlib.contextmanager
    def descriptor(self, struct: Struct, field: str) -> Iterator[int]:
        """A descriptor of the caller's that the kernel is to take; ours of the same file, or NO_DESCRIPTOR."""
        try:
            fd = self.caller.fetch(getattr(struct, field))
        except OSError:
            fd = NO_DESCRIPTOR
        try:
            with self.exchanged(struct, field, fd):
                yield fd
        finally:
            if fd >= 0:
                os.close(fd)

    def _return(self, direction: Direction) -> None:
        if direction & Direction.READ:
            self.caller.write(self._pointer, bytes(self._content[: self._asked]))
