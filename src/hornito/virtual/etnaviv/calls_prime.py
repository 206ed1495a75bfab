# SPDX-License-Identifier: MIT
"""How do clients pass buffers on? PRIME_HANDLE_TO_FD makes a dma-buf of one, PRIME_FD_TO_HANDLE takes one up.

Source: Linux, the PRIME helpers of the DRM core: their checks, and one handle per buffer and open file.
"""

import errno
import os

from hornito.uapi import drm
from hornito.virtual.etnaviv.answers import find_buffer, refuse
from hornito.virtual.etnaviv.books import Books
from hornito.virtual.etnaviv.caller import Caller
from hornito.virtual.etnaviv.client import OpenFile


def handle_to_fd(books: Books, file: OpenFile, arg: drm.PrimeHandle, caller: Caller) -> None:
    if arg.flags & ~drm.PRIME_FLAGS:
        raise refuse(errno.EINVAL)
    buffer = find_buffer(file, arg.handle)
    arg.fd = caller.install(books.dma_bufs.create(buffer), arg.flags & os.O_CLOEXEC)


def fd_to_handle(books: Books, file: OpenFile, arg: drm.PrimeHandle, caller: Caller) -> None:
    buffer = books.dma_bufs.find(caller.identify(arg.fd))
    if buffer is None:
        raise refuse(errno.EINVAL)
    handle = file.handle_of(buffer)  # a handle that it has got already counts once
    arg.handle = file.add(buffer) if handle is None else handle
