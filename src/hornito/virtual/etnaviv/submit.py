# SPDX-License-Identifier: MIT
"""Which submissions does the kernel take? Its checks, in its order; of the stream it checks nothing but the size.

Source: databook, drm-uapi.md ("Submission"); Linux, etnaviv_gem_submit.c.
"""

import ctypes
import errno
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.uapi.etnaviv import (
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
)
from hornito.virtual.etnaviv.answers import check_pipe, refuse
from hornito.virtual.etnaviv.books import Books
from hornito.virtual.etnaviv.buffers import Buffer, Mapping
from hornito.virtual.etnaviv.caller import Caller
from hornito.virtual.etnaviv.calls_perfmon import check_requests
from hornito.virtual.etnaviv.calls_sync import fence_name
from hornito.virtual.etnaviv.client import OpenFile
from hornito.virtual.etnaviv.placement import Placement
from hornito.virtual.etnaviv.scheduler import Job

# Plain integers: ~ of an IntFlag covers only the flags that it knows.
_ALL_FLAGS = sum(int(flag) for flag in SubmitFlag)
_BO_FLAGS = int(SubmitBoFlag.READ | SubmitBoFlag.WRITE)
_BO = np.dtype([("flags", "<u4"), ("handle", "<u4"), ("presumed", "<u8")])
_RELOC = np.dtype(
    [("submit_offset", "<u4"), ("reloc_idx", "<u4"), ("reloc_offset", "<u8"), ("flags", "<u4"), ("pad", "<u4")]
)
_EXEC_STATES = frozenset(int(state) for state in ExecState)
_WRITE = int(SubmitBoFlag.WRITE)
_WORD = 4
_ADDRESSES = (1 << 32) - 1


@dataclass(frozen=True, eq=False)
class Request:
    """A copy of what a submit handed over; ``bos`` has (flags, handle, presumed address), ``relocs`` the fields of
    SubmitReloc in their order."""

    flags: SubmitFlag
    exec_state: ExecState
    bos: list[tuple[int, int, int]]
    relocs: list[tuple[int, int, int, int, int]]
    pmrs: Sequence[SubmitPmr]
    stream: NDArray[np.uint32]

    @property
    def granules(self) -> int:
        """How many pages of command memory it takes: a power of two."""
        pages = -(-(-(-self.stream.nbytes // 8) * 8 + STREAM_TAIL) // PAGE)
        return 1 << (pages - 1).bit_length()


def gem_submit(books: Books, file: OpenFile, arg: GemSubmit, caller: Caller) -> None:
    """Take a submission; it is the worker's from then on. Raises OSError, and Pending for command memory."""
    check_pipe(arg.pipe)
    request = read_request(arg, caller)
    pages = request.granules
    books.check_command_memory(pages)
    buffers = look_up(file, request)
    if request.flags & SubmitFlag.FENCE_FD_IN:
        _check_fence_in(books, arg, caller)
    uses = pin(file, request, buffers, caller)
    relocate(request, uses)
    requests = check_requests(request.pmrs, request.exec_state, buffers)
    if len(set(buffers)) != len(buffers):
        raise refuse(errno.EALREADY)
    fence = books.new_fence(file)
    arg.fence_fd = -1
    if request.flags & SubmitFlag.FENCE_FD_OUT:
        arg.fence_fd = caller.install(books.sync_files.create([fence], fence_name(fence)))
    arg.fence = fence.number
    for (flags, _, _), mapping in zip(request.bos, uses, strict=True):
        mapping.buffer.use(fence, writes=bool(flags & _WRITE))
        mapping.last_use = fence
    job = Job(file, request.stream, file.take_changes(), fence, pages, uses, pid=caller.pid)
    job.flags = [flags for flags, _, _ in request.bos]
    job.requests = requests
    books.submit(job)


def read_request(arg: GemSubmit, memory: Caller) -> Request:
    """Check the numbers and copy what the pointers point to. Raises OSError: EINVAL, EFAULT."""
    if arg.stream_size % _WORD:
        raise refuse(errno.EINVAL)
    if arg.exec_state not in _EXEC_STATES or arg.flags & ~_ALL_FLAGS:
        raise refuse(errno.EINVAL)
    if arg.stream_size > MAX_STREAM_BYTES or arg.nr_bos > MAX_BOS or arg.nr_relocs > MAX_RELOCS:
        raise refuse(errno.EINVAL)
    if arg.nr_pmrs > MAX_PMRS:
        raise refuse(errno.EINVAL)
    bos = memory.read(arg.bos, arg.nr_bos * _BO.itemsize)
    relocs = memory.read(arg.relocs, arg.nr_relocs * _RELOC.itemsize)
    pmrs = memory.read(arg.pmrs, arg.nr_pmrs * ctypes.sizeof(SubmitPmr))
    stream = memory.read(arg.stream, arg.stream_size)
    return Request(
        SubmitFlag(arg.flags),
        ExecState(arg.exec_state),
        np.frombuffer(bos, _BO).tolist(),
        np.frombuffer(relocs, _RELOC).tolist(),
        [SubmitPmr.from_buffer(pmrs, at) for at in range(0, len(pmrs), ctypes.sizeof(SubmitPmr))],
        np.frombuffer(stream, "<u4").astype(np.uint32, copy=False),
    )


def look_up(file: OpenFile, request: Request) -> list[Buffer]:
    """The buffers of the table. Raises OSError with EINVAL for a bad entry."""
    buffers = []
    lowest = SOFTPIN_START if request.flags & SubmitFlag.SOFTPIN else 0
    for flags, handle, presumed in request.bos:
        if flags & ~_BO_FLAGS or presumed < lowest or handle not in file.handles:
            raise refuse(errno.EINVAL)
        buffers.append(file.handles[handle])
    return buffers


def pin(file: OpenFile, request: Request, buffers: Sequence[Buffer], caller: Caller) -> list[Mapping]:
    """Give each buffer its address, and take hold of user memory. Raises OSError: EINVAL, ENOSPC; EFAULT, EPERM."""
    placement = Placement(file)
    softpin = request.flags & SubmitFlag.SOFTPIN
    uses = []
    for (_, _, va), buffer in zip(request.bos, buffers, strict=True):
        if buffer.user is not None:
            buffer.user.pin(caller)
        uses.append(placement.pin(buffer, va) if softpin else placement.place(buffer))
    return uses


def relocate(request: Request, uses: Sequence[Mapping]) -> None:
    """Put the buffers' addresses where the stream needs them. Raises OSError with EINVAL."""
    if request.relocs and request.flags & SubmitFlag.SOFTPIN:
        raise refuse(errno.EINVAL)
    last = 0
    for submit_offset, index, offset, flags, _ in request.relocs:
        word = submit_offset // _WORD
        if flags or submit_offset % _WORD or not last <= word < len(request.stream) or index >= len(uses):
            raise refuse(errno.EINVAL)
        if offset > uses[index].buffer.size - _WORD:
            raise refuse(errno.EINVAL)
        request.stream[word] = (uses[index].va + offset) & _ADDRESSES
        last = word


def _check_fence_in(books: Books, arg: GemSubmit, caller: Caller) -> None:
    """Raises OSError with EINVAL for no sync file of ours. A known one needs no wait: jobs run in order."""
    try:
        identity = caller.identify(arg.fence_fd)
    except OSError:
        raise refuse(errno.EINVAL) from None
    if books.sync_files.find(identity) is None:
        raise refuse(errno.EINVAL)
