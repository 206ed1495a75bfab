# SPDX-License-Identifier: MIT
"""How does the kernel say no? By an errno; the checks that many calls share stand here too."""

import errno
import os

from hornito.uapi import etnaviv
from hornito.virtual.etnaviv.buffers import Buffer
from hornito.virtual.etnaviv.client import OpenFile


def refuse(code: int) -> OSError:
    """The kernel's answer ``code``."""
    return OSError(code, os.strerror(code))


def check_pipe(pipe: int) -> None:
    """Raises OSError: EINVAL, or ENXIO where there is no core."""
    if pipe >= etnaviv.MAX_PIPES:
        raise refuse(errno.EINVAL)
    if pipe:
        raise refuse(errno.ENXIO)  # the NPU is the only core


def find_buffer(file: OpenFile, handle: int) -> Buffer:
    """The buffer of a handle. Raises OSError with ENOENT."""
    buffer = file.handles.get(handle)
    if buffer is None:
        raise refuse(errno.ENOENT)
    return buffer
