# SPDX-License-Identifier: MIT
"""How does the argument of an ioctl get to who answers it, and back? As DRM does it, and as fast as may be."""

import ctypes
from collections.abc import Callable, Iterable
from typing import Any

from hornito.uapi.ioctl import Direction, Ioctl, Struct, request_size
from hornito.virtual.etnaviv.books import Books
from hornito.virtual.etnaviv.caller import Caller
from hornito.virtual.etnaviv.fences import Pending

Handler = Callable[[Books, Any, Any, Caller], None]  # books, what the ioctl is made on, struct, caller
_IN, _OUT = int(Direction.WRITE), int(Direction.READ)
_DIRECTION_BIT = 30  # of a request number


class Answer:
    """One ioctl and who answers it."""

    __slots__ = ("_direction", "_handler", "_number", "_size", "_struct")

    def __init__(self, spec: Ioctl[Any], handler: Handler) -> None:
        self._struct: type[Struct] = spec.struct
        self._number = spec.number
        self._direction = int(spec.direction)
        self._size = ctypes.sizeof(spec.struct)
        self._handler = handler

    def __call__(self, books: Books, subject: Any, request: int, arg: ctypes.Structure | int, caller: Caller) -> None:
        """Hand ``arg``, a pointer of the caller's or a struct of this process, to the handler.

        A struct of the right type directly; anything else cut or filled with zeros to the kernel's own size, and copied
        back even if the call fails, but not if it is Pending.
        """
        if request == self._number and type(arg) is self._struct:
            self._handler(books, subject, arg, caller)
            return
        pointer = arg if isinstance(arg, int) else ctypes.addressof(arg)
        direction = request >> _DIRECTION_BIT & self._direction
        size = self._size
        asked = request_size(request)
        content = bytearray(size)
        if direction & _IN:
            if asked == size:
                content = caller.read(pointer, size)
            else:
                content[: min(size, asked)] = caller.read(pointer, asked)[:size]
        struct = self._struct.from_buffer(content)
        try:
            self._handler(books, subject, struct, caller)
        except Pending:
            raise
        except BaseException:
            if direction & _OUT:
                caller.write(pointer, bytes(content[:asked]))
            raise
        if direction & _OUT:
            caller.write(pointer, bytes(content[:asked]))


def by_command(answers: Iterable[tuple[Ioctl[Any], Handler]]) -> dict[int, Answer]:
    """A table by the command in a request number, whatever size and direction stand beside it."""
    return {spec.nr: Answer(spec, handler) for spec, handler in answers}


def by_number(answers: Iterable[tuple[Ioctl[Any], Handler]]) -> dict[int, Answer]:
    """A table by whole request numbers."""
    return {spec.number: Answer(spec, handler) for spec, handler in answers}
