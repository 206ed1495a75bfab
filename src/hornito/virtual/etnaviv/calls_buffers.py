# SPDX-License-Identifier: MIT
"""What can a client do with buffers? Make them, place them in its own memory, wait for the device, give them back."""

import errno

from hornito.uapi import drm, etnaviv
from hornito.uapi.etnaviv import ADDRESS_END, GRANULE, BoFlag, Prep, UserPtr
from hornito.virtual.etnaviv.answers import find_buffer, refuse
from hornito.virtual.etnaviv.books import Books
from hornito.virtual.etnaviv.caller import Caller
from hornito.virtual.etnaviv.client import OpenFile
from hornito.virtual.etnaviv.user_pages import UserPages
from hornito.virtual.etnaviv.waits import wait_until

_MODES = (BoFlag.CACHED, BoFlag.WC, BoFlag.UNCACHED)
# Plain integers: ~ of an IntFlag covers only the flags that it knows.
_BO_FLAGS = etnaviv.CACHE_MODES | int(BoFlag.FORCE_MMU)
_USER_FLAGS = int(UserPtr.READ | UserPtr.WRITE)
_USER_SPACE = 1 << 48
_PREP = int(Prep.READ | Prep.WRITE | Prep.NOSYNC)


def gem_new(books: Books, file: OpenFile, arg: etnaviv.GemNew, caller: Caller) -> None:
    if arg.flags & ~_BO_FLAGS or arg.flags & etnaviv.CACHE_MODES not in _MODES or arg.size == 0:
        raise refuse(errno.EINVAL)
    arg.handle = file.add(books.new_buffer(arg.size))


def gem_userptr(books: Books, file: OpenFile, arg: etnaviv.GemUserPtr, caller: Caller) -> None:
    """Whether the memory is there at all is found out when it is first needed, as Linux does."""
    if arg.flags & ~_USER_FLAGS or not arg.flags:
        raise refuse(errno.EINVAL)
    if (arg.user_ptr | arg.user_size) % GRANULE or not 0 < arg.user_size < ADDRESS_END:
        raise refuse(errno.EINVAL)
    if arg.user_ptr + arg.user_size > _USER_SPACE:
        raise refuse(errno.EFAULT)
    pages = UserPages(caller, arg.user_ptr, arg.user_size, bool(arg.flags & UserPtr.WRITE))
    arg.handle = file.add(books.new_buffer(arg.user_size, pages))


def gem_close(books: Books, file: OpenFile, arg: drm.GemClose, caller: Caller) -> None:
    try:
        books.drop(file, arg.handle)
    except KeyError:
        raise refuse(errno.EINVAL) from None


def gem_info(books: Books, file: OpenFile, arg: etnaviv.GemInfo, caller: Caller) -> None:
    if arg.pad:
        raise refuse(errno.EINVAL)
    buffer = find_buffer(file, arg.handle)
    buffer.shown = True
    arg.offset = buffer.offset


def cpu_prep(books: Books, file: OpenFile, arg: etnaviv.GemCpuPrep, caller: Caller) -> None:
    if arg.op & ~_PREP:
        raise refuse(errno.EINVAL)
    buffer = find_buffer(file, arg.handle)
    fence = buffer.last_use if arg.op & Prep.WRITE else buffer.last_write
    if fence is not None and fence.pending:
        if arg.op & Prep.NOSYNC:
            raise refuse(errno.EBUSY)
        wait_until(fence, arg.timeout)
    if buffer.user is not None:
        buffer.user.pin(caller)  # it is cached memory, whose pages are needed to bring the caches up to date


def cpu_fini(books: Books, file: OpenFile, arg: etnaviv.GemCpuFini, caller: Caller) -> None:
    if arg.flags:
        raise refuse(errno.EINVAL)
    find_buffer(file, arg.handle)
