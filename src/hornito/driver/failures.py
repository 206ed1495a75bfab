# SPDX-License-Identifier: MIT
"""What does a failed system call mean for the user, and what cures it?"""

import contextlib
import errno
import grp
import os
from collections.abc import Callable, Iterator

from hornito.driver.machine import Machine
from hornito.errors import DeviceError

_CURES = {
    errno.ENOMEM: "close other users of the NPU, or use a smaller model",
    errno.ENOSPC: "its address space is full; close what is loaded there",
    errno.EMFILE: "too many open files; raise 'ulimit -n'",
    errno.ETIMEDOUT: "it did not answer in time; is another program keeping it busy?",
    errno.ENOTTY: "it is no render node; 'hornito devices' lists those of an NPU",
    errno.ENODEV: "it is gone; open it again, and if that fails see what the kernel says: sudo dmesg | grep etnaviv",
    errno.ENXIO: "no core answers there; see what the kernel says: sudo dmesg | grep etnaviv",
    errno.EBADF: "it was closed; open it again",
}


@contextlib.contextmanager
def device_errors(path: str) -> Iterator[None]:
    """Turns the block's OSErrors into DeviceErrors of one line: node, call, errno, and a cure where one is known."""
    try:
        yield
    except OSError as error:
        code = error.errno or errno.EIO
        cure = _cure(path, code)
        what = error.strerror or os.strerror(code)
        name = errno.errorcode.get(code, str(code))
        raise DeviceError(f"{path}: {what} [{name}]" + (f"; {cure}" if cure else "")) from error


def _cure(path: str, code: int) -> str | None:
    if code in (errno.EACCES, errno.EPERM):
        return _group_cure(path)
    return Machine().cure() if code == errno.ENOENT else _CURES.get(code)


def _group_cure(path: str, group_name: Callable[[int], str] = lambda number: grp.getgrgid(number).gr_name) -> str:
    group = "render"
    with contextlib.suppress(OSError, KeyError):
        group = group_name(os.stat(path).st_gid)
    return f"join its group: sudo usermod -aG {group} $USER, then log in again"
