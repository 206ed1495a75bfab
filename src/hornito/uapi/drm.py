# SPDX-License-Identifier: MIT
"""Which ioctls does every DRM node have? Those that a render node's client meets.

Source: the Linux UAPI header drm.h, by the databook's numbers and sizes.
"""

import enum
import os

from hornito.uapi.ioctl import S32, U32, U64, Direction, Ioctl, Struct, layout

RENDER_NODE = "/dev/dri/renderD128"
DRM_MAJOR = 226
RENDER_MINOR = 128  # of the first render node
DRM_TYPE = "d"
COMMAND_BASE = 0x40  # a driver's own ioctls begin here ...
COMMAND_END = 0xA0  # ... and end before this number
# Of the numbers outside, those that every DRM device knows but no render node answers: identity, authentication and
# mastership, names of buffers, vertical blanks, modes, leases. Source: Linux, the table in drm_ioctl.c.
DENIED_COMMANDS = frozenset(
    {
        *(0x01, 0x02, 0x05, 0x06, 0x07, 0x0A, 0x0B, 0x0D, 0x10, 0x11, 0x12, 0x13, 0x1E, 0x1F, 0x3A, 0x3B, 0x3C),
        *range(0xA0, 0xBF),
        *(0xC6, 0xC7, 0xC8, 0xC9, 0xCE, 0xD0),
    }
)
# SYNCOBJ_CREATE to SYNCOBJ_EVENTFD; those between that are no business of sync objects are left out.
SYNCOBJ_COMMANDS = frozenset({*range(0xBF, 0xC6), *range(0xCA, 0xCE), 0xCF})


class Cap(enum.IntEnum):
    """What GET_CAP may be asked."""

    PRIME = 0x05
    TIMESTAMP_MONOTONIC = 0x06
    SYNCOBJ = 0x13
    SYNCOBJ_TIMELINE = 0x14


@layout
class Version(Struct):
    """Lengths are room for the texts on the way in, and the texts' real lengths on the way out."""

    version_major: S32
    version_minor: S32
    version_patchlevel: S32
    name_len: U64
    name: U64
    date_len: U64
    date: U64
    desc_len: U64
    desc: U64


@layout
class GemClose(Struct):
    handle: U32
    pad: U32


@layout
class GemFlink(Struct):
    handle: U32
    name: U32


@layout
class GemOpen(Struct):
    name: U32
    handle: U32
    size: U64


@layout
class GetCap(Struct):
    capability: U64
    value: U64


PRIME_IMPORT, PRIME_EXPORT = 1, 2  # what GET_CAP says of PRIME
PRIME_FLAGS = os.O_CLOEXEC | os.O_RDWR  # DRM_CLOEXEC, DRM_RDWR


@layout
class PrimeHandle(Struct):
    handle: U32
    flags: U32
    fd: S32


VERSION = Ioctl("DRM_IOCTL_VERSION", Direction.READ_WRITE, DRM_TYPE, 0x00, Version)
GEM_CLOSE = Ioctl("DRM_IOCTL_GEM_CLOSE", Direction.WRITE, DRM_TYPE, 0x09, GemClose)
GEM_FLINK = Ioctl("DRM_IOCTL_GEM_FLINK", Direction.READ_WRITE, DRM_TYPE, 0x0A, GemFlink)
GEM_OPEN = Ioctl("DRM_IOCTL_GEM_OPEN", Direction.READ_WRITE, DRM_TYPE, 0x0B, GemOpen)
GET_CAP = Ioctl("DRM_IOCTL_GET_CAP", Direction.READ_WRITE, DRM_TYPE, 0x0C, GetCap)
PRIME_HANDLE_TO_FD = Ioctl("DRM_IOCTL_PRIME_HANDLE_TO_FD", Direction.READ_WRITE, DRM_TYPE, 0x2D, PrimeHandle)
PRIME_FD_TO_HANDLE = Ioctl("DRM_IOCTL_PRIME_FD_TO_HANDLE", Direction.READ_WRITE, DRM_TYPE, 0x2E, PrimeHandle)
