# SPDX-License-Identifier: MIT
"""What can a client do with buffers? Make them, place them in its own memory, wait for the device, give them back."""

import errno

from hornito.uapi import drm, etnaviv
from hornito.uapi.etnaviv import BoFlag, Prep
from hornito.virtual.answers import find_buffer, refuse
from hornito.virtual.books import Books
from hornito.virtual.caller import Caller
from hornito.virtual.client import OpenFile
from hornito.virtual.waits import wait_until

_MODES = (BoFlag.CACHED, BoFlag.WC, BoFlag.UNCACHED)
# Plain integers: ~ of an IntFlag covers only the flags that it knows.
_BO_FLAGS = etnaviv.CACHE_MODES | int(BoFlag.FORCE_MMU)
_PREP = int(Prep.READ | Prep.WRITE | Prep.NOSYNC)


def gem_new(books: Books, file: OpenFile, arg: etnaviv.GemNew, caller: Caller) -> None:
    if arg.flags & ~_BO_FLAGS or arg.flags & etnaviv.CACHE_MODES not in _MODES or arg.size == 0:
        raise refuse(errno.EINVAL)
    arg.handle = file.add(books.new_buffer(arg.size))


def gem_close(books: Books, file: OpenFile, arg: drm.GemClose, caller: Caller) -> None:
    try:
        books.drop(file, arg.handle)
    except KeyError:
        raise refuse(errno.EINVAL) from None


def gem_info(books: Books, file: OpenFile, arg: etnaviv.GemInfo, caller: Caller) -> None:
    if arg.pad:
        raise refuse(errno.EINVAL)
    arg.offset = find_buffer(file, arg.handle).offset


def cpu_prep(books: Books, file: OpenFile, arg: etnaviv.GemCpuPrep, caller: Caller) -> None:
    if arg.op & ~_PREP:
        raise refuse(errno.EINVAL)
    buffer = find_buffer(file, arg.handle)
    fence = buffer.last_use if arg.op & Prep.WRITE else buffer.last_write
    if fence is not None and fence.pending:
        if arg.op & Prep.NOSYNC:
            raise refuse(errno.EBUSY)
        wait_until(fence, arg.timeout)


def cpu_fini(books: Books, file: OpenFile, arg: etnaviv.GemCpuFini, caller: Caller) -> None:
    if arg.flags:
        raise refuse(errno.EINVAL)
    find_buffer(file, arg.handle)


def by_name(books: Books, file: OpenFile, arg: drm.GemFlink | drm.GemOpen, caller: Caller) -> None:
    """GEM_FLINK and GEM_OPEN: names are no thing of render nodes."""
    raise refuse(errno.EACCES)


def prime(books: Books, file: OpenFile, arg: drm.PrimeHandle, caller: Caller) -> None:
    raise refuse(errno.ENOSYS)
