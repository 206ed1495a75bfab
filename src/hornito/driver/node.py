# SPDX-License-Identifier: MIT
"""What is behind a render node? Its driver, its cores, and which of them is an NPU.

Source: databook, drm-uapi.md ("Finding the NPU"). A pipe with no core does not end the search.
"""

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass

from hornito.driver.failures import device_errors
from hornito.errors import Unsupported
from hornito.hardware.chips import Chip, Identity, identify
from hornito.uapi import drm, etnaviv
from hornito.uapi.etnaviv import Param
from hornito.uapi.kernel import Kernel

_IDENTITY = (Param.GPU_MODEL, Param.GPU_REVISION, Param.GPU_PRODUCT_ID, Param.GPU_ECO_ID, Param.GPU_CUSTOMER_ID)
_NAME_ROOM = 64  # bytes
_NOT_THERE = (errno.EINVAL, errno.ENXIO)  # a parameter that this kernel does not know; a pipe without a core


@dataclass(frozen=True)
class Core:
    """One core behind a node. ``parameters``: every GET_PARAM that it answers; ``chip``: its row, if it is an NPU."""

    pipe: int
    parameters: dict[Param, int]
    chip: Chip | None

    @property
    def identity(self) -> Identity:
        return Identity(*(self.parameters.get(param, 0) for param in _IDENTITY))

    def as_json(self) -> dict[str, int | str | None]:
        """Which core it is, as plain values."""
        one = self.identity
        return {
            "pipe": self.pipe,
            "chip": self.chip.name if self.chip else None,
            "model": one.model,
            "revision": one.revision,
            "product_id": one.product_id,
            "customer_id": one.customer_id,
            "eco_id": one.eco_id,
        }


@dataclass(frozen=True)
class Node:
    """A render node: its driver with major and minor version. Cores are an etnaviv node's only. ``emulated``: what is
    open there is a file in memory, so Hornito's virtual kernel answers, in this process or around it."""

    path: str
    driver: str
    version: tuple[int, int]
    cores: tuple[Core, ...] = ()
    emulated: bool = False

    @property
    def is_etnaviv(self) -> bool:
        return self.driver == etnaviv.DRIVER_NAME

    def npu(self) -> tuple[Core, Chip]:
        """Its first NPU that can be used. Raises Unsupported, saying why there is none."""
        if not self.is_etnaviv:
            raise Unsupported(
                f"{self.path}: a node of the driver {self.driver!r}, not of etnaviv; name another --device"
            )
        if self.version < (1, etnaviv.MINOR_WITH_IDS):
            raise Unsupported(
                f"{self.path}: etnaviv {self.version[0]}.{self.version[1]} does not tell which NPU it has; "
                f"1.{etnaviv.MINOR_WITH_IDS} does: use a newer kernel"
            )
        for core in self.cores:
            if core.chip is not None:
                if core.parameters.get(Param.SOFTPIN_START_ADDR, etnaviv.NO_SOFTPIN) == etnaviv.NO_SOFTPIN:
                    raise Unsupported(
                        f"{self.path}: this kernel has no softpin, and descriptors need it; use a newer kernel"
                    )
                return core, core.chip
        found = [f"{core.identity.model:#x} revision {core.identity.revision:#x}" for core in self.cores]
        raise Unsupported(
            f"{self.path}: no NPU that Hornito knows; cores found: {', '.join(found) or 'none'}; use --device virtual"
        )


def ask_node(kernel: Kernel, fd: int, path: str) -> Node:
    """What the open node ``fd`` is; messages call it ``path``. Raises OSError."""
    room = ctypes.create_string_buffer(_NAME_ROOM)
    try:
        version = drm.VERSION(kernel, fd, name_len=len(room), name=ctypes.addressof(room))
    except OSError as error:
        if error.errno != errno.ENOTTY:
            raise
        raise OSError(errno.ENOTTY, "not a DRM device") from error
    name = room.raw[: version.name_len].decode("ascii", "replace")
    number = (version.version_major, version.version_minor)
    if name != etnaviv.DRIVER_NAME:
        return Node(path, name, number)
    return Node(path, name, number, tuple(_cores(kernel, fd)), _in_memory(fd))


def _in_memory(fd: int) -> bool:
    """Only files in memory can be sealed; a device node can't."""
    try:
        fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return True


def open_node(kernel: Kernel, path: str, name: str | None = None) -> int:
    """A descriptor of the node at ``path``. Raises DeviceError, which calls it ``name``."""
    with device_errors(name or path):
        try:
            return kernel.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise OSError(error.errno, f"open: {error.strerror}") from error


def look_at(kernel: Kernel, path: str) -> Node:
    """What is behind ``path``; leaves nothing open. Raises DeviceError."""
    fd = open_node(kernel, path)
    try:
        with device_errors(path):
            return ask_node(kernel, fd, path)
    finally:
        kernel.close(fd)


def _cores(kernel: Kernel, fd: int) -> Iterator[Core]:
    for pipe in range(etnaviv.MAX_PIPES):
        answers: dict[Param, int] = {}
        for param in Param:
            try:
                answers[param] = int(etnaviv.GET_PARAM(kernel, fd, pipe=pipe, param=param).value)
            except OSError as error:
                if error.errno not in _NOT_THERE:
                    raise
            if not answers:  # no core here: the model is asked first
                break
        if answers:
            core = Core(pipe, answers, None)
            yield Core(pipe, answers, identify(core.identity))
