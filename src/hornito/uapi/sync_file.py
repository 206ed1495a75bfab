# SPDX-License-Identifier: MIT
"""What can be asked of a sync file? What became of the jobs behind it; and two can be made one.

Source: the Linux UAPI header sync_file.h, by the databook's numbers; what the calls check: drivers/dma-buf/sync_file.c.
"""

import ctypes
from typing import Annotated

from hornito.uapi.ioctl import S32, U32, U64, Direction, Ioctl, Struct, layout

SIGNALLED = 1
PENDING = 0  # below zero: -errno of the job


@layout
class SyncFenceInfo(Struct):
    """One job behind a sync file. ``timestamp_ns``: when it signalled, by CLOCK_MONOTONIC."""

    obj_name: Annotated[bytes, ctypes.c_char * 32]
    driver_name: Annotated[bytes, ctypes.c_char * 32]
    status: S32
    flags: U32
    timestamp_ns: U64


@layout
class SyncFileInfo(Struct):
    """``num_fences``: room in the array at ``sync_fence_info`` on the way in (0: none wanted), their number on the way
    out."""

    name: Annotated[bytes, ctypes.c_char * 32]
    status: S32
    flags: U32
    num_fences: U32
    pad: U32
    sync_fence_info: U64


@layout
class SyncMergeData(Struct):
    """``fd2`` is the other sync file, ``fence`` the new one."""

    name: Annotated[bytes, ctypes.c_char * 32]
    fd2: S32
    fence: S32
    flags: U32
    pad: U32


@layout
class SyncSetDeadline(Struct):
    deadline_ns: U64
    pad: U64


SYNC_IOC_MERGE = Ioctl("SYNC_IOC_MERGE", Direction.READ_WRITE, ">", 3, SyncMergeData)
SYNC_IOC_FILE_INFO = Ioctl("SYNC_IOC_FILE_INFO", Direction.READ_WRITE, ">", 4, SyncFileInfo)
SYNC_IOC_SET_DEADLINE = Ioctl("SYNC_IOC_SET_DEADLINE", Direction.WRITE, ">", 5, SyncSetDeadline)
