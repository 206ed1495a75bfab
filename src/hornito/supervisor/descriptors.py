# SPDX-License-Identifier: MIT
"""How does one process get at another's descriptors? pidfd_getfd(2) copies one; kcmp(2) compares what two of them show.

Source: the Linux manual pages of both. DRM, and so every kernel with a render node, brings kcmp along since Linux 5.12.
"""

import ctypes
import errno
import functools
import os

from hornito.uapi.system_calls import native

PIDFD_GETFD = 438  # on every architecture
KCMP_FILE = 0

# PyDLL keeps Python's lock: neither call waits.
_libc = ctypes.PyDLL(None, use_errno=True)
_syscall = _libc["syscall"]
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long] * 6


def copy_descriptor(process: int, fd: int) -> int:
    """A close-on-exec descriptor of ours that shows what ``fd`` of that process (not a mere thread) shows.

    Raises OSError: EBADF where it has no such descriptor, ESRCH, EPERM where we may not look.
    """
    pidfd = os.pidfd_open(process)
    try:
        return _check(_syscall(PIDFD_GETFD, pidfd, fd, 0, 0, 0))
    finally:
        os.close(pidfd)


def same_description(ours: int, pid: int, theirs: int) -> bool:
    """Our descriptor and one of another process (or thread) are of the same open file description; False also where
    there is no such descriptor. Raises OSError: ESRCH, EPERM, ENOSYS."""
    try:
        return _check(_syscall(_kcmp(), os.getpid(), pid, KCMP_FILE, ours, theirs)) == 0
    except OSError as error:
        if error.errno == errno.EBADF:
            return False
        raise


@functools.cache
def _kcmp() -> int:
    return native().numbers["kcmp"]


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
