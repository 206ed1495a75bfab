# SPDX-License-Identifier: MIT
"""Which number has a system call, and how does ``struct stat`` lie in memory, on this architecture?

Source: the Linux UAPI headers unistd.h, stat.h and fcntl.h of x86-64 and of the generic table that aarch64 uses.
"""

import errno
import os
import platform
import struct
from dataclasses import dataclass

from hornito.uapi.seccomp import Audit

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000
PATH_MAX = 4096

_X86_64 = {
    "open": 2,
    "stat": 4,
    "fstat": 5,
    "lstat": 6,
    "ioctl": 16,
    "access": 21,
    "readlink": 89,
    "getxattr": 191,
    "lgetxattr": 192,
    "listxattr": 194,
    "llistxattr": 195,
    "openat": 257,
    "newfstatat": 262,
    "readlinkat": 267,
    "faccessat": 269,
    "kcmp": 312,
    "seccomp": 317,
    "statx": 332,
    "openat2": 437,
    "faccessat2": 439,
}
_AARCH64 = {
    "getxattr": 8,
    "lgetxattr": 9,
    "listxattr": 11,
    "llistxattr": 12,
    "ioctl": 29,
    "faccessat": 48,
    "openat": 56,
    "readlinkat": 78,
    "newfstatat": 79,
    "fstat": 80,
    "kcmp": 272,
    "seccomp": 277,
    "statx": 291,
    "openat2": 437,
    "faccessat2": 439,
}

_STAT_X86_64 = struct.Struct("=QQQIII4xQqqq6q24x")
_STAT_AARCH64 = struct.Struct("=QQIIIIQ8xqi4xq6q8x")
_STATX = struct.Struct("=IIQIIIH2xQQQQqI4xqI4xqI4xqI4xIIII112x")
_STATX_BASIC = 0x7FF  # every field of struct stat
_BILLION = 1_000_000_000


@dataclass(frozen=True)
class Architecture:
    """``audit`` is its name in seccomp, ``numbers`` what its system calls are called by."""

    audit: Audit
    numbers: dict[str, int]

    def pack_stat(self, status: os.stat_result) -> bytes:
        """``struct stat``, as the kernel would write it."""
        s = status
        times = [part for ns in (s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns) for part in divmod(ns, _BILLION)]
        sizes = (s.st_size, s.st_blksize, s.st_blocks, *times)
        if self.audit is Audit.X86_64:
            return _STAT_X86_64.pack(s.st_dev, s.st_ino, s.st_nlink, s.st_mode, s.st_uid, s.st_gid, s.st_rdev, *sizes)
        return _STAT_AARCH64.pack(s.st_dev, s.st_ino, s.st_mode, s.st_nlink, s.st_uid, s.st_gid, s.st_rdev, *sizes)


ARCHITECTURES = {
    "x86_64": Architecture(Audit.X86_64, _X86_64),
    "aarch64": Architecture(Audit.AARCH64, _AARCH64),
}


def native() -> Architecture:
    """This machine's. Raises OSError with ENOSYS for one that nobody looked at."""
    found = ARCHITECTURES.get(platform.machine())
    if found is None:
        raise OSError(errno.ENOSYS, f"system calls of {platform.machine()} are not known; known are x86_64 and aarch64")
    return found


def pack_statx(status: os.stat_result) -> bytes:
    """``struct statx``, the same everywhere."""
    s = status
    accessed, modified, changed = (divmod(ns, _BILLION) for ns in (s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns))
    sizes = (s.st_ino, s.st_size, s.st_blocks, 0)
    head = (_STATX_BASIC, s.st_blksize, 0, s.st_nlink, s.st_uid, s.st_gid, s.st_mode, *sizes)
    devices = (os.major(s.st_rdev), os.minor(s.st_rdev), os.major(s.st_dev), os.minor(s.st_dev))
    return _STATX.pack(*head, *accessed, 0, 0, *changed, *modified, *devices)
