# SPDX-License-Identifier: MIT
"""How are ioctls on sync files and dma-bufs made in their caller's place? On a descriptor fetched for each of them."""

import contextlib
import ctypes
import os
import select
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hornito.supervisor.relay.exchange import Exchange
from hornito.supervisor.relay.slow import IsWanted, SlowWaits
from hornito.uapi.dma_buf import (
    DMA_BUF_IOCTL_EXPORT_SYNC_FILE,
    DMA_BUF_IOCTL_IMPORT_SYNC_FILE,
    DMA_BUF_IOCTL_SYNC,
    DmaBufSync,
    DmaBufSyncFile,
    Sync,
)
from hornito.uapi.ioctl import Ioctl
from hornito.uapi.sync_file import (
    SYNC_IOC_FILE_INFO,
    SYNC_IOC_MERGE,
    SYNC_IOC_SET_DEADLINE,
    SyncFenceInfo,
    SyncFileInfo,
    SyncMergeData,
    SyncSetDeadline,
)

_MOST_FENCES = 1 << 16  # behind one sync file
_SLICE_MS = 250  # that a thread waits before it asks whether anybody still wants to know


@dataclass(frozen=True)
class SharedCall:
    """A call on a sync file or a dma-buf."""

    exchange: Exchange
    slow: SlowWaits


def merge(call: SharedCall) -> None:
    exchange = call.exchange
    with exchange.of(SyncMergeData) as arg:
        with exchange.descriptor(arg, "fd2"):
            exchange.make()
        arg.fence = exchange.caller.install(arg.fence)


def file_info(call: SharedCall) -> None:
    exchange, one = call.exchange, ctypes.sizeof(SyncFenceInfo)
    with exchange.of(SyncFileInfo) as arg:
        theirs = arg.sync_fence_info
        asked = arg.num_fences = min(arg.num_fences, _MOST_FENCES)
        room = ctypes.create_string_buffer(max(1, asked * one))
        with exchange.exchanged(arg, "sync_fence_info", ctypes.addressof(room)):
            exchange.make()
        if asked:
            exchange.caller.write(theirs, room.raw[: min(arg.num_fences, asked) * one])


def set_deadline(call: SharedCall) -> None:
    with call.exchange.of(SyncSetDeadline):
        call.exchange.make()


def sync(call: SharedCall) -> None:
    """It may wait for the device: then a thread does."""
    exchange = call.exchange
    with exchange.of(DmaBufSync) as arg:
        event = select.POLLOUT if arg.flags & Sync.WRITE else select.POLLIN
        if not arg.flags & Sync.END and not _is_ready(exchange.fd, event, 0):

            def begin() -> Callable[[IsWanted], None]:
                fd = os.dup(exchange.fd)

                def wait(is_wanted: IsWanted) -> None:
                    try:
                        while is_wanted() and not _is_ready(fd, event, _SLICE_MS):
                            pass
                    finally:
                        os.close(fd)

                return wait

            raise call.slow.wait(exchange.caller.pid, exchange.caller.ticket, None, begin)
        exchange.make()


def export_sync_file(call: SharedCall) -> None:
    with call.exchange.of(DmaBufSyncFile) as arg:
        call.exchange.make()
        arg.fd = call.exchange.caller.install(arg.fd)


def import_sync_file(call: SharedCall) -> None:
    with call.exchange.of(DmaBufSyncFile) as arg, call.exchange.descriptor(arg, "fd"):
        call.exchange.make()


def _is_ready(fd: int, event: int, timeout: int) -> bool:
    poll = select.poll()
    poll.register(fd, event)
    with contextlib.suppress(OSError):
        return bool(poll.poll(timeout))
    return True


_ALL: tuple[tuple[Ioctl[Any], Callable[[SharedCall], None]], ...] = (
    (SYNC_IOC_MERGE, merge),
    (SYNC_IOC_FILE_INFO, file_info),
    (SYNC_IOC_SET_DEADLINE, set_deadline),
    (DMA_BUF_IOCTL_SYNC, sync),
    (DMA_BUF_IOCTL_EXPORT_SYNC_FILE, export_sync_file),
    (DMA_BUF_IOCTL_IMPORT_SYNC_FILE, import_sync_file),
)
SHARED_CALLS = {ioctl.number: way for ioctl, way in _ALL}
