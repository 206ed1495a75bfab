# SPDX-License-Identifier: MIT
"""What can a client ask of the etnaviv driver? Its ioctls, structs, constants, limits.

Source: the Linux UAPI header etnaviv_drm.h and the driver's own checks, by the databook's numbers and sizes.
"""

import ctypes
import enum
import mmap
from typing import Annotated

from hornito.uapi.drm import COMMAND_BASE, DRM_TYPE
from hornito.uapi.ioctl import S32, S64, U8, U16, U32, U64, Direction, Ioctl, Struct, layout

DRIVER_NAME = "etnaviv"
MINOR_WITH_IDS = 4  # driver 1.4 is the first to tell product, customer and eco id
MAX_PIPES = 4
PAGE = 4096  # of the device
GRANULE = max(PAGE, mmap.PAGESIZE)  # of what both the device and this machine can map
NO_SOFTPIN = (1 << 64) - 1
SOFTPIN_START = 0x00400000
ADDRESS_END = 1 << 32
COMMAND_MEMORY = 512 * 1024  # streams that wait or run lie here, each in a power of two of pages
MAX_STREAM_BYTES = 128 * 1024
MAX_BOS = MAX_RELOCS = 131072
MAX_PMRS = 128
STREAM_TAIL = 8  # bytes that the kernel appends to a stream


class Param(enum.IntEnum):
    """What GET_PARAM may be asked."""

    GPU_MODEL = 0x01
    GPU_REVISION = 0x02
    GPU_FEATURES_0 = 0x03
    GPU_FEATURES_1 = 0x04
    GPU_FEATURES_2 = 0x05
    GPU_FEATURES_3 = 0x06
    GPU_FEATURES_4 = 0x07
    GPU_FEATURES_5 = 0x08
    GPU_FEATURES_6 = 0x09
    GPU_FEATURES_7 = 0x0A
    GPU_FEATURES_8 = 0x0B
    GPU_FEATURES_9 = 0x0C
    GPU_FEATURES_10 = 0x0D
    GPU_FEATURES_11 = 0x0E
    GPU_FEATURES_12 = 0x0F
    GPU_STREAM_COUNT = 0x10
    GPU_REGISTER_MAX = 0x11
    GPU_THREAD_COUNT = 0x12
    GPU_VERTEX_CACHE_SIZE = 0x13
    GPU_SHADER_CORE_COUNT = 0x14
    GPU_PIXEL_PIPES = 0x15
    GPU_VERTEX_OUTPUT_BUFFER_SIZE = 0x16
    GPU_BUFFER_SIZE = 0x17
    GPU_INSTRUCTION_COUNT = 0x18
    GPU_NUM_CONSTANTS = 0x19
    GPU_NUM_VARYINGS = 0x1A
    SOFTPIN_START_ADDR = 0x1B
    GPU_PRODUCT_ID = 0x1C
    GPU_CUSTOMER_ID = 0x1D
    GPU_ECO_ID = 0x1E


class BoFlag(enum.IntFlag):
    """How a buffer is mapped for the CPU (exactly one of the first three), and whether the device sees it by MMU."""

    CACHED = 0x10000
    WC = 0x20000  # write combined
    UNCACHED = 0x40000
    FORCE_MMU = 0x100000


CACHE_MODES = 0xF0000


class Prep(enum.IntFlag):
    """What the CPU is going to do with a buffer. NOSYNC: only test."""

    READ = 1
    WRITE = 2
    NOSYNC = 4


class Wait(enum.IntFlag):
    NONBLOCK = 1


class UserPtr(enum.IntFlag):
    READ = 1
    WRITE = 2


class SubmitBoFlag(enum.IntFlag):
    """What the device does with a buffer."""

    READ = 1
    WRITE = 2


class SubmitFlag(enum.IntFlag):
    NO_IMPLICIT = 1
    FENCE_FD_IN = 2
    FENCE_FD_OUT = 4
    SOFTPIN = 8


class ExecState(enum.IntEnum):
    PIPE_3D = 0  # NPUs too
    PIPE_2D = 1
    PIPE_VG = 2


class PmrFlag(enum.IntFlag):
    PROCESS_PRE = 1
    PROCESS_POST = 2


@layout
class Timespec(Struct):
    """Absolute, by CLOCK_MONOTONIC."""

    tv_sec: S64
    tv_nsec: S64


@layout
class GetParam(Struct):
    pipe: U32
    param: U32
    value: U64


@layout
class GemNew(Struct):
    size: U64
    flags: U32
    handle: U32


@layout
class GemInfo(Struct):
    handle: U32
    pad: U32
    offset: U64


@layout
class GemCpuPrep(Struct):
    handle: U32
    op: U32
    timeout: Timespec


@layout
class GemCpuFini(Struct):
    handle: U32
    flags: U32


@layout
class SubmitReloc(Struct):
    submit_offset: U32
    reloc_idx: U32
    reloc_offset: U64
    flags: U32
    pad: U32


@layout
class SubmitBo(Struct):
    flags: U32
    handle: U32
    presumed: U64


@layout
class SubmitPmr(Struct):
    flags: U32
    domain: U8
    pad: U8
    signal: U16
    sequence: U32
    read_offset: U32
    read_idx: U32


@layout
class GemSubmit(Struct):
    fence: U32
    pipe: U32
    exec_state: U32
    nr_bos: U32
    nr_relocs: U32
    stream_size: U32
    bos: U64
    relocs: U64
    stream: U64
    flags: U32
    fence_fd: S32
    pmrs: U64
    nr_pmrs: U32
    pad: U32


@layout
class WaitFence(Struct):
    pipe: U32
    fence: U32
    flags: U32
    pad: U32
    timeout: Timespec


@layout
class GemUserPtr(Struct):
    user_ptr: U64
    user_size: U64
    flags: U32
    handle: U32


@layout
class GemWait(Struct):
    pipe: U32
    handle: U32
    flags: U32
    pad: U32
    timeout: Timespec


@layout
class PmDomain(Struct):
    pipe: U32
    iter: U8
    id: U8
    nr_signals: U16
    name: Annotated[bytes, ctypes.c_char * 64]


@layout
class PmSignal(Struct):
    pipe: U32
    domain: U8
    pad: U8
    iter: U16
    id: U16
    name: Annotated[bytes, ctypes.c_char * 64]


_IN = Direction.WRITE
_BOTH = Direction.READ_WRITE

GET_PARAM = Ioctl("DRM_IOCTL_ETNAVIV_GET_PARAM", _BOTH, DRM_TYPE, COMMAND_BASE + 0x00, GetParam)
GEM_NEW = Ioctl("DRM_IOCTL_ETNAVIV_GEM_NEW", _BOTH, DRM_TYPE, COMMAND_BASE + 0x02, GemNew)
GEM_INFO = Ioctl("DRM_IOCTL_ETNAVIV_GEM_INFO", _BOTH, DRM_TYPE, COMMAND_BASE + 0x03, GemInfo)
GEM_CPU_PREP = Ioctl("DRM_IOCTL_ETNAVIV_GEM_CPU_PREP", _IN, DRM_TYPE, COMMAND_BASE + 0x04, GemCpuPrep)
GEM_CPU_FINI = Ioctl("DRM_IOCTL_ETNAVIV_GEM_CPU_FINI", _IN, DRM_TYPE, COMMAND_BASE + 0x05, GemCpuFini)
GEM_SUBMIT = Ioctl("DRM_IOCTL_ETNAVIV_GEM_SUBMIT", _BOTH, DRM_TYPE, COMMAND_BASE + 0x06, GemSubmit)
WAIT_FENCE = Ioctl("DRM_IOCTL_ETNAVIV_WAIT_FENCE", _IN, DRM_TYPE, COMMAND_BASE + 0x07, WaitFence)
GEM_USERPTR = Ioctl("DRM_IOCTL_ETNAVIV_GEM_USERPTR", _BOTH, DRM_TYPE, COMMAND_BASE + 0x08, GemUserPtr)
GEM_WAIT = Ioctl("DRM_IOCTL_ETNAVIV_GEM_WAIT", _IN, DRM_TYPE, COMMAND_BASE + 0x09, GemWait)
PM_QUERY_DOM = Ioctl("DRM_IOCTL_ETNAVIV_PM_QUERY_DOM", _BOTH, DRM_TYPE, COMMAND_BASE + 0x0A, PmDomain)
PM_QUERY_SIG = Ioctl("DRM_IOCTL_ETNAVIV_PM_QUERY_SIG", _BOTH, DRM_TYPE, COMMAND_BASE + 0x0B, PmSignal)
