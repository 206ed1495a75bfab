# SPDX-License-Identifier: MIT
"""What can be asked of a dma-buf? To wait for the device, and for a sync file of the jobs that use it.

Source: the Linux UAPI header dma-buf.h; what the calls check: drivers/dma-buf/dma-buf.c.
"""

import enum

from hornito.uapi.ioctl import S32, U32, U64, Direction, Ioctl, Struct, layout


class Sync(enum.IntFlag):
    """What the CPU, or whoever waits for a sync file, is going to do; END: it is done."""

    READ = 1
    WRITE = 2
    END = 4


@layout
class DmaBufSync(Struct):
    flags: U64


@layout
class DmaBufSyncFile(Struct):
    """For export, ``fd`` is the new sync file; for import, one that others wait for from now on."""

    flags: U32
    fd: S32


DMA_BUF_IOCTL_SYNC = Ioctl("DMA_BUF_IOCTL_SYNC", Direction.WRITE, "b", 0, DmaBufSync)
DMA_BUF_IOCTL_EXPORT_SYNC_FILE = Ioctl("DMA_BUF_IOCTL_EXPORT_SYNC_FILE", Direction.READ_WRITE, "b", 2, DmaBufSyncFile)
DMA_BUF_IOCTL_IMPORT_SYNC_FILE = Ioctl("DMA_BUF_IOCTL_IMPORT_SYNC_FILE", Direction.WRITE, "b", 3, DmaBufSyncFile)
