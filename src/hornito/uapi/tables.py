# SPDX-License-Identifier: MIT
"""Which ioctl is that? Names and structs by request number, for recordings and messages."""

import functools
from types import ModuleType
from typing import Any

from hornito.uapi import dma_buf, drm, etnaviv, sync_file
from hornito.uapi.ioctl import Ioctl, request_direction, request_size


def ioctl_of(request: int) -> Ioctl[Any] | None:
    """The ioctl with that request number, or None. Requests of other struct sizes, as other versions of an interface
    have, are not that ioctl."""
    return _table().get(request)


def ioctl_name(request: int) -> str:
    """Its name as in the header; of an unknown one the parts of its number."""
    found = ioctl_of(request)
    if found is not None:
        return found.name
    letter = chr(request >> 8 & 0xFF)
    letter = repr(letter) if letter.isprintable() else f"{request >> 8 & 0xFF:#x}"
    direction = request_direction(request).name or "NONE"
    return f"ioctl({direction}, {letter}, {request & 0xFF:#04x}, {request_size(request)})"


@functools.cache
def _table() -> dict[int, Ioctl[Any]]:
    return {ioctl.number: ioctl for module in (drm, etnaviv, sync_file, dma_buf) for ioctl in _ioctls(module)}


def _ioctls(module: ModuleType) -> list[Ioctl[Any]]:
    return [value for value in vars(module).values() if isinstance(value, Ioctl)]
