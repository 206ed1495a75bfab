# SPDX-License-Identifier: MIT
"""What does a failed system call mean for the user, and what cures it?"""

import contextlib
import errno
import grp
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from hornito.driver.machine import Machine
from hornito.errors import DeviceError

_GROUP_MAY = stat.S_IRGRP | stat.S_IWGRP
_CURES = {
    errno.EPERM: "this system forbids it to you; a container has to be started with '--device /dev/dri'",
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
    if code == errno.EACCES:
        with contextlib.suppress(OSError):
            return _permission_cure(path, os.stat(path))
        return _join("render")
    return Machine().cure() if code == errno.ENOENT else _CURES.get(code)


def _permission_cure(path: str, status: os.stat_result) -> str:
    """Which group may open the node; where that is root, or none, joining it is no cure."""
    if status.st_gid == 0 or status.st_mode & _GROUP_MAY != _GROUP_MAY:
        rule = f'KERNEL=="{Path(path).name}", GROUP="render", MODE="0660"'
        return f"no group of users may open it; give it one by a udev rule: {rule}"
    try:
        return _join(grp.getgrgid(status.st_gid).gr_name)
    except KeyError:
        return f"its group, {status.st_gid}, has no name here: start the container with 'group_add', or use root"


def _join(group: str) -> str:
    return f"join its group: sudo usermod -aG {group} $USER, then log in again"
