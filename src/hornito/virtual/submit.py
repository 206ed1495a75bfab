# SPDX-License-Identifier: MIT
"""Which submissions does the kernel take? Its checks, in its order; of the stream it checks nothing but the size."""

import ctypes
import errno
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.uapi.etnaviv import (
    ADDRESS_END,
    MAX_BOS,
    MAX_PMRS,
    MAX_RELOCS,
    MAX_STREAM_BYTES,
    PAGE,
    SOFTPIN_START,
    STREAM_TAIL,
    ExecState,
    GemSubmit,
    SubmitBoFlag,
    SubmitFlag,
    SubmitPmr,
    SubmitReloc,
)
from hornito.virtual.answers import check_pipe, refuse
from hornito.virtual.books import Books
from hornito.virtual.buffers import Buffer
from hornito.virtual.caller import Caller
from hornito.virtual.client import OpenFile
from hornito.virtual.scheduler import Job

# Plain integers: ~ of an IntFlag covers only the flags that it knows.
_ALL_FLAGS = sum(int(flag) for flag in SubmitFlag)
_BO_FLAGS = int(SubmitBoFlag.READ | SubmitBoFlag.WRITE)
_BO = np.dtype([("flags", "<u4"), ("handle", "<u4"), ("presumed", "<u8")])
_BO_BYTES = _BO.itemsize
_EXEC_STATES = frozenset(int(state) for state in ExecState)
_WRITE = int(SubmitBoFlag.WRITE)


@dataclass(frozen=True, eq=False)
class Request:
    """A copy of what a submit handed over; ``bos`` has (flags, handle, presumed address)."""

    flags: SubmitFlag
    bos: list[tuple[int, int, int]]
    stream: NDArray[np.uint32]

    @property
    def granules(self) -> int:
        """How many pages of command memory it takes: a power of two."""
        pages = -(-(-(-self.stream.nbytes // 8) * 8 + STREAM_TAIL) // PAGE)
        return 1 << (pages - 1).bit_length()


def read_request(arg: GemSubmit, memory: Caller) -> Request:
    """Check the numbers and copy what the pointers point to. Raises OSError: EINVAL, EFAULT."""
    if arg.stream_size % 4:
        raise refuse(errno.EINVAL)
    if arg.exec_state not in _EXEC_STATES or arg.flags & ~_ALL_FLAGS:
        raise refuse(errno.EINVAL)
    if arg.stream_size > MAX_STREAM_BYTES or arg.nr_bos > MAX_BOS or arg.nr_relocs > MAX_RELOCS:
        raise refuse(errno.EINVAL)
    if arg.nr_pmrs > MAX_PMRS:
        raise refuse(errno.EINVAL)
    table = memory.read(arg.bos, arg.nr_bos * _BO_BYTES)
    memory.read(arg.relocs, arg.nr_relocs * ctypes.sizeof(SubmitReloc))
    memory.read(arg.pmrs, arg.nr_pmrs * ctypes.sizeof(SubmitPmr))
    stream = memory.read(arg.stream, arg.stream_size)
    bos: list[tuple[int, int, int]] = np.frombuffer(table, _BO).tolist()
    return Request(SubmitFlag(arg.flags), bos, np.frombuffer(stream, "<u4").astype(np.uint32, copy=False))


def look_up(file: OpenFile, request: Request) -> list[Buffer]:
    """The buffers of the table. Raises OSError with EINVAL for a bad entry."""
    buffers = []
    lowest = SOFTPIN_START if request.flags & SubmitFlag.SOFTPIN else 0
    for flags, handle, presumed in request.bos:
        if flags & ~_BO_FLAGS or presumed < lowest or handle not in file.handles:
            raise refuse(errno.EINVAL)
        buffers.append(file.handles[handle])
    return buffers


def pin(file: OpenFile, request: Request, buffers: list[Buffer]) -> None:
    """Give each buffer the address that its client chose.

    Buffers that the device is done with make room. Raises OSError: ENOSPC for a range that a buffer in use has, EINVAL
    for a buffer in use elsewhere. What was moved by then stays moved.
    """
    pinned: set[Buffer] = set()  # used by this very submit
    for (_, _, va), buffer in zip(request.bos, buffers, strict=True):
        mapping = file.book.find(buffer)
        if mapping is None or mapping.va != va:
            if buffer in pinned or (mapping is not None and mapping.busy) or va % PAGE:
                raise refuse(errno.EINVAL)
            if va + buffer.size > ADDRESS_END:
                raise refuse(errno.ENOSPC)
            others = [other for other in file.book.overlapping(va, buffer.size) if other is not mapping]
            if any(other.buffer in pinned or other.busy for other in others):
                raise refuse(errno.ENOSPC)
            for other in (*others, mapping):
                if other is not None:
                    file.unmap(other)
            file.map(buffer, va)
        pinned.add(buffer)


def check_rest(request: Request, arg: GemSubmit, buffers: list[Buffer]) -> None:
    """Relocations, counter requests, and the table's last rule. Raises OSError: EINVAL, EALREADY.

    Relocations are the way of cores without softpin, so none are taken; nor is there a performance counter to read.
    """
    if arg.nr_relocs or arg.nr_pmrs:
        raise refuse(errno.EINVAL)
    if len(set(buffers)) != len(buffers):
        raise refuse(errno.EALREADY)


def gem_submit(books: Books, file: OpenFile, arg: GemSubmit, caller: Caller) -> None:
    """Take a submission; it is the worker's from then on. Raises OSError, and Pending for command memory."""
    check_pipe(arg.pipe)
    request = read_request(arg, caller)
    pages = request.granules
    books.check_command_memory(pages)
    buffers = look_up(file, request)
    if request.flags & SubmitFlag.FENCE_FD_IN:
        _check_fence_in(books, arg, caller)
    if request.flags & SubmitFlag.SOFTPIN:
        pin(file, request, buffers)
    check_rest(request, arg, buffers)
    fence = books.new_fence()
    if request.flags & SubmitFlag.FENCE_FD_OUT:
        arg.fence_fd = caller.install(books.sync_files.create(fence))
    arg.fence = fence.number
    for (flags, _, _), buffer in zip(request.bos, buffers, strict=True):
        buffer.last_use = fence
        if flags & _WRITE:
            buffer.last_write = fence
        mapping = file.book.find(buffer)
        if mapping is not None:
            mapping.last_use = fence
    uses = [mapping for mapping in map(file.book.find, buffers) if mapping is not None]
    books.submit(Job(file, request.stream, file.take_changes(), fence, pages, uses, caller.pid))


def _check_fence_in(books: Books, arg: GemSubmit, caller: Caller) -> None:
    """Raises OSError with EINVAL for no sync file of ours. A known one needs no wait: jobs run in order."""
    try:
        identity = caller.identify(arg.fence_fd)
    except OSError:
        raise refuse(errno.EINVAL) from None
    if books.sync_files.find(identity) is None:
        raise refuse(errno.EINVAL)
