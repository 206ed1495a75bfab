# SPDX-License-Identifier: MIT
"""What do sync files and dma-bufs answer? How their jobs ended, another sync file made of them, and when to go on.

Source: Linux, sync_file.c, dma-buf.c and dma-fence-unwrap.c under drivers/dma-buf: their checks, and that of several
jobs of one timeline only the last counts.
"""

import errno
from collections.abc import Sequence

from hornito.uapi.dma_buf import (
    DMA_BUF_IOCTL_EXPORT_SYNC_FILE,
    DMA_BUF_IOCTL_IMPORT_SYNC_FILE,
    DMA_BUF_IOCTL_SYNC,
    DmaBufSync,
    DmaBufSyncFile,
    Sync,
)
from hornito.uapi.messages import DEVICE
from hornito.uapi.sync_file import (
    SIGNALLED,
    SYNC_IOC_FILE_INFO,
    SYNC_IOC_MERGE,
    SYNC_IOC_SET_DEADLINE,
    SyncFenceInfo,
    SyncFileInfo,
    SyncMergeData,
    SyncSetDeadline,
)
from hornito.virtual.etnaviv.answers import refuse
from hornito.virtual.etnaviv.arguments import by_number
from hornito.virtual.etnaviv.books import Books
from hornito.virtual.etnaviv.buffers import Buffer
from hornito.virtual.etnaviv.caller import Caller
from hornito.virtual.etnaviv.fences import Fence, Pending
from hornito.virtual.etnaviv.sync_files import SyncFile

_DRIVER = b"drm_sched"  # a job's fence is its scheduler's
_TIMELINE = DEVICE.encode()
_ACCESS = int(Sync.READ | Sync.WRITE)
_SYNC_FLAGS = int(Sync.READ | Sync.WRITE | Sync.END)


def fence_name(fence: Fence) -> bytes:
    """What a sync file of that one fence is called: driver, timeline with its number, place on it."""
    return b"%s-%s%d-%d" % (_DRIVER, _TIMELINE, fence.timeline, fence.number)


# Sync files.


def file_info(books: Books, file: SyncFile, arg: SyncFileInfo, caller: Caller) -> None:
    if arg.flags or arg.pad:
        raise refuse(errno.EINVAL)
    number = max(1, len(file.fences))  # one that has long signalled stands for a fence that has
    if arg.num_fences:
        if arg.num_fences < number:
            raise refuse(errno.EINVAL)
        infos = [_info(fence) for fence in file.fences] or [SyncFenceInfo(status=SIGNALLED)]
        caller.write(arg.sync_fence_info, b"".join(bytes(info) for info in infos))
        # As Linux: a killed job tells before those that are pending behind it.
        arg.status = next((info.status for info in infos if info.status <= 0), SIGNALLED)
    else:
        arg.status = file.status
    arg.name = file.name
    arg.num_fences = number


def merge(books: Books, file: SyncFile, arg: SyncMergeData, caller: Caller) -> None:
    if arg.flags or arg.pad:
        raise refuse(errno.EINVAL)
    try:
        other = books.sync_files.find(caller.identify(arg.fd2))
    except OSError:
        other = None
    if other is None:
        raise refuse(errno.ENOENT)
    arg.fence = caller.install(books.sync_files.create(_last_of_each(file.fences + other.fences), arg.name[:31]))


def set_deadline(books: Books, file: SyncFile, arg: SyncSetDeadline, caller: Caller) -> None:
    if arg.pad:
        raise refuse(errno.EINVAL)  # else a hint, which the scheduler does not take


def _info(fence: Fence) -> SyncFenceInfo:
    return SyncFenceInfo(obj_name=_TIMELINE, driver_name=_DRIVER, status=fence.status, timestamp_ns=fence.time)


def _last_of_each(fences: Sequence[Fence]) -> list[Fence]:
    """The last of each timeline among those that have yet to signal."""
    last: dict[int, Fence] = {}
    for fence in fences:
        known = last.get(fence.timeline)
        if fence.pending and (known is None or known.order < fence.order):
            last[fence.timeline] = fence
    return list(last.values())


# Dma-bufs.


def sync(books: Books, buffer: Buffer, arg: DmaBufSync, caller: Caller) -> None:
    if arg.flags & ~_SYNC_FLAGS or not arg.flags & _ACCESS:
        raise refuse(errno.EINVAL)
    fence = _fence(buffer, arg.flags)
    if not arg.flags & Sync.END and fence is not None and fence.pending:
        raise Pending(fence)


def export_sync_file(books: Books, buffer: Buffer, arg: DmaBufSyncFile, caller: Caller) -> None:
    _check_access(arg)
    fence = _fence(buffer, arg.flags)
    pending = fence is not None and fence.pending
    fences = [fence] if fence is not None and pending else []
    arg.fd = caller.install(books.sync_files.create(fences, fence_name(fences[0]) if fences else b"stub"))


def import_sync_file(books: Books, buffer: Buffer, arg: DmaBufSyncFile, caller: Caller) -> None:
    _check_access(arg)
    try:
        file = books.sync_files.find(caller.identify(arg.fd))
    except OSError:
        file = None
    if file is None:
        raise refuse(errno.EINVAL)
    for fence in file.fences:
        buffer.use(fence, writes=bool(arg.flags & Sync.WRITE))


def _check_access(arg: DmaBufSyncFile) -> None:
    if arg.flags & ~_ACCESS or not arg.flags:
        raise refuse(errno.EINVAL)


def _fence(buffer: Buffer, flags: int) -> Fence | None:
    """Whom a reader or a writer waits for."""
    return buffer.last_use if flags & Sync.WRITE else buffer.last_write


SYNC_FILE_CALLS = by_number(
    ((SYNC_IOC_MERGE, merge), (SYNC_IOC_FILE_INFO, file_info), (SYNC_IOC_SET_DEADLINE, set_deadline))
)
DMA_BUF_CALLS = by_number(
    (
        (DMA_BUF_IOCTL_SYNC, sync),
        (DMA_BUF_IOCTL_EXPORT_SYNC_FILE, export_sync_file),
        (DMA_BUF_IOCTL_IMPORT_SYNC_FILE, import_sync_file),
    )
)
