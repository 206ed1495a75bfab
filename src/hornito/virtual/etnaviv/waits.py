# SPDX-License-Identifier: MIT
"""Which calls wait, and for how long? WAIT_FENCE and GEM_WAIT, and CPU_PREP by the same rule."""

import errno
import time

from hornito.uapi import etnaviv
from hornito.virtual.etnaviv.answers import check_pipe, find_buffer, refuse
from hornito.virtual.etnaviv.books import Books
from hornito.virtual.etnaviv.caller import Caller
from hornito.virtual.etnaviv.client import OpenFile
from hornito.virtual.etnaviv.fences import Fence, Pending

_NONBLOCK = int(etnaviv.Wait.NONBLOCK)


def wait_until(fence: Fence, until: etnaviv.Timespec) -> None:
    """Return only if the fence has signalled. Raises Pending; OSError with ETIMEDOUT once the time has come."""
    if not fence.pending:
        return
    deadline = until.tv_sec + until.tv_nsec / 1e9
    if deadline <= time.monotonic():
        raise refuse(errno.ETIMEDOUT)
    raise Pending(fence, deadline)


def wait_fence(books: Books, file: OpenFile, arg: etnaviv.WaitFence, caller: Caller) -> None:
    if arg.flags & ~_NONBLOCK:
        raise refuse(errno.EINVAL)
    check_pipe(arg.pipe)
    _wait_unless(books.find_fence(arg.fence), arg)


def gem_wait(books: Books, file: OpenFile, arg: etnaviv.GemWait, caller: Caller) -> None:
    if arg.flags & ~_NONBLOCK:
        raise refuse(errno.EINVAL)
    check_pipe(arg.pipe)
    _wait_unless(find_buffer(file, arg.handle).last_use, arg)


def _wait_unless(fence: Fence | None, arg: etnaviv.WaitFence | etnaviv.GemWait) -> None:
    if fence is None or not fence.pending:
        return
    if arg.flags & _NONBLOCK:
        raise refuse(errno.EBUSY)
    wait_until(fence, arg.timeout)
