# SPDX-License-Identifier: MIT
"""How is each ioctl on the node made in its caller's place? Those with pointers, descriptors or handles have a way of
their own; those that nobody knows to be flat are the kernel's own business."""

import contextlib
import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hornito.supervisor.relay.exchange import NO_DESCRIPTOR, Exchange
from hornito.supervisor.relay.files import RelayedFile
from hornito.supervisor.relay.jobs import Jobs
from hornito.supervisor.relay.slow import SlowWaits
from hornito.supervisor.served import PassOn
from hornito.uapi import drm, etnaviv
from hornito.uapi.ioctl import Ioctl, Struct
from hornito.uapi.kernel import Kernel

_MOST_TEXT = 4096  # bytes of a text of VERSION; real ones have some ten


@dataclass(frozen=True)
class Call:
    """One call on an open file. ``pointer``: where the argument is in the caller's memory."""

    exchange: Exchange
    file: RelayedFile
    pointer: int
    kernel: Kernel
    jobs: Jobs
    slow: SlowWaits


Way = Callable[[Call], None]


def flat(kind: type[Struct]) -> Way:
    """The way of an argument that points to nothing."""

    def make(call: Call) -> None:
        with call.exchange.of(kind):
            call.exchange.make()

    return make


def version(call: Call) -> None:
    exchange = call.exchange
    with exchange.of(drm.Version) as arg, contextlib.ExitStack() as texts:
        rooms: dict[str, tuple[int, int, ctypes.Array[ctypes.c_char]]] = {}
        for name in ("name", "date", "desc"):
            pointer, room = getattr(arg, name), min(getattr(arg, f"{name}_len"), _MOST_TEXT)
            setattr(arg, f"{name}_len", room)
            if pointer and room:
                copy = ctypes.create_string_buffer(room)
                rooms[name] = pointer, room, copy
                texts.enter_context(exchange.exchanged(arg, name, ctypes.addressof(copy)))
        exchange.make()
        for name, (pointer, room, copy) in rooms.items():
            exchange.caller.write(pointer, copy.raw[: min(room, getattr(arg, f"{name}_len"))])


def gem_new(call: Call) -> None:
    with call.exchange.of(etnaviv.GemNew) as arg:
        call.exchange.make()
        call.file.add(arg.handle, arg.size, arg.flags)


def gem_open(call: Call) -> None:
    with call.exchange.of(drm.GemOpen) as arg:
        call.exchange.make()
        call.file.add(arg.handle, arg.size)


def gem_close(call: Call) -> None:
    with call.exchange.of(drm.GemClose) as arg:
        call.exchange.make()
        buffer = call.file.drop(arg.handle)
        if buffer is not None:
            call.jobs.forget(call.file, buffer)


def gem_userptr(call: Call) -> None:
    """It pins the memory of whoever makes it: that must be the client."""
    with contextlib.suppress(OSError):
        content = call.exchange.caller.read(call.pointer, ctypes.sizeof(etnaviv.GemUserPtr))
        call.file.passed_on(call.exchange.caller, call.pointer, etnaviv.GemUserPtr.from_buffer_copy(content))
    raise PassOn


def cpu_fini(call: Call) -> None:
    with call.exchange.of(etnaviv.GemCpuFini) as arg:
        buffer = call.file.known(arg.handle)
        with contextlib.nullcontext() if buffer is None else buffer.given_back():
            call.exchange.make()


def handle_to_fd(call: Call) -> None:
    exchange = call.exchange
    with exchange.of(drm.PrimeHandle) as arg:
        flags = arg.flags
        with exchange.exchanged(arg, "flags", flags | os.O_CLOEXEC):  # ours must not leak
            exchange.make()
        arg.fd = exchange.caller.install(arg.fd, flags & os.O_CLOEXEC)


def fd_to_handle(call: Call) -> None:
    with call.exchange.of(drm.PrimeHandle) as arg, call.exchange.descriptor(arg, "fd") as fd:
        call.exchange.make()
        if fd != NO_DESCRIPTOR:
            with contextlib.suppress(OSError):
                call.file.add(arg.handle, os.lseek(fd, 0, os.SEEK_END))


_FLAT: tuple[Ioctl[Any], ...] = (
    *(drm.GET_CAP, drm.GEM_FLINK),
    *(etnaviv.GET_PARAM, etnaviv.GEM_INFO, etnaviv.PM_QUERY_DOM, etnaviv.PM_QUERY_SIG),
)
WAYS: tuple[tuple[Ioctl[Any], Way], ...] = (
    *((ioctl, flat(ioctl.struct)) for ioctl in _FLAT),
    (drm.VERSION, version),
    (drm.GEM_CLOSE, gem_close),
    (drm.GEM_OPEN, gem_open),
    (drm.PRIME_HANDLE_TO_FD, handle_to_fd),
    (drm.PRIME_FD_TO_HANDLE, fd_to_handle),
    (etnaviv.GEM_NEW, gem_new),
    (etnaviv.GEM_CPU_FINI, cpu_fini),
    (etnaviv.GEM_USERPTR, gem_userptr),
)
