# SPDX-License-Identifier: MIT
"""What does a program see of the virtual NPU in the file system? A small tree of files, in a temporary folder.

It holds what a kernel shows of one render node on a platform bus: the folder of nodes, the node's and the device's
folders in sysfs, and the links between them, which are relative, so a descriptor of a folder works untouched. Only the
node itself is a mere place-holder. Source of the layout: the databook, render-node.md; Linux, drm_sysfs.
"""

import errno
import os
import posixpath
import re
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from hornito.uapi.drm import DRM_MAJOR, RENDER_MINOR, RENDER_NODE

_DEVICE = "/sys/devices/platform/npu"
_MINOR = f"{_DEVICE}/drm/{posixpath.basename(RENDER_NODE)}"
_NODE_NAME = posixpath.basename(RENDER_NODE)
_NUMBERS = f"{DRM_MAJOR}:{RENDER_MINOR}"
_BY_NUMBER = f"/sys/dev/char/{DRM_MAJOR}:"
_DRIVER = "/sys/bus/platform/drivers/etnaviv"
# All that begins so is ours alone, what the host has there is hidden: other nodes, too.
_FOLDERS = ("/dev/dri", _DEVICE, "/sys/class/drm", _DRIVER, "/sys/bus/platform/devices/npu")
_MODALIAS = "of:NnpuT(null)Cvivante,gc"
_FILES = {
    RENDER_NODE: "",
    f"{_DEVICE}/uevent": "DRIVER=etnaviv\nOF_NAME=npu\nOF_FULLNAME=/soc/npu@ff100000\nOF_COMPATIBLE_0=vivante,gc\n"
    f"OF_COMPATIBLE_N=1\nMODALIAS={_MODALIAS}\n",
    f"{_DEVICE}/modalias": f"{_MODALIAS}\n",
    f"{_MINOR}/uevent": f"MAJOR={DRM_MAJOR}\nMINOR={RENDER_MINOR}\nDEVNAME=dri/{_NODE_NAME}\nDEVTYPE=drm_minor\n",
    f"{_MINOR}/dev": f"{_NUMBERS}\n",
    "/sys/class/drm/version": "drm 1.1.0 20060810\n",
}
_LINKS = {
    f"/sys/dev/char/{_NUMBERS}": _MINOR,
    f"/sys/class/drm/{_NODE_NAME}": _MINOR,
    f"{_MINOR}/device": _DEVICE,
    f"{_MINOR}/subsystem": "/sys/class/drm",
    f"{_DEVICE}/subsystem": "/sys/bus/platform",
    f"{_DEVICE}/driver": _DRIVER,
    f"{_DRIVER}/npu": _DEVICE,
    "/sys/bus/platform/devices/npu": _DEVICE,
}
# A path or a folder's name without any of these leads to none of the above.
TELLING = re.compile(rb"dri|drm|renderD|226:|npu|^/sys(/[a-z]*)*$")
_MOST_LINKS = 40  # as the kernel: more of them in one path are a circle


@dataclass(frozen=True)
class Place:
    """Where a path leads: its name with no link in it, and the file that stands for it, which need not exist."""

    name: str
    file: str

    @property
    def is_node(self) -> bool:
        return self.name == RENDER_NODE

    def status(self) -> os.stat_result:
        """What ``lstat`` says. Raises OSError."""
        found = os.lstat(self.file)
        if not self.is_node:
            return found
        values = {name: getattr(found, name) for name in _STATUS_NAMES}
        values |= {"st_rdev": os.makedev(DRM_MAJOR, RENDER_MINOR), "st_size": 0, "st_blocks": 0}
        mode = stat.S_IFCHR | stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IWGRP
        head = (mode, *(getattr(found, name) for name in _HEAD_NAMES))
        return os.stat_result(head, values)


_HEAD_NAMES = ("st_ino", "st_dev", "st_nlink", "st_uid", "st_gid", "st_size", "st_atime", "st_mtime", "st_ctime")
_STATUS_NAMES = ("st_atime_ns", "st_mtime_ns", "st_ctime_ns", "st_blksize")


class Picture:
    """The tree of files, made anew in a temporary folder, ``root``. Raises OSError."""

    def __init__(self) -> None:
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        usable = runtime if runtime and os.access(runtime, os.W_OK | os.X_OK) else None
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="hornito-exec-", dir=usable))

    def draw(self) -> None:
        """Make the files. Raises OSError."""
        for name, content in _FILES.items():
            os.makedirs(os.path.dirname(self.file(name)), exist_ok=True)
            with open(self.file(name), "w", encoding="ascii") as file:
                file.write(content)
            os.chmod(file.name, 0o444)
        os.makedirs(self.file("/sys/bus/platform"), exist_ok=True)
        for name, target in _LINKS.items():
            os.makedirs(os.path.dirname(self.file(name)), exist_ok=True)
            os.symlink(posixpath.relpath(target, posixpath.dirname(name)), self.file(name))

    def file(self, name: str) -> str:
        """The file that stands for an absolute path."""
        return self.root + name

    def name_of(self, file: str) -> str:
        """The path that a file of the tree stands for; any other path stays what it is."""
        if file == self.root:
            return "/"
        return file[len(self.root) :] if file.startswith(self.root + "/") else file

    def find(self, path: str, *, follow: bool) -> Place | None:
        """Where an absolute path leads, links followed (the last one only if ``follow``); None: neither to nor through
        anything of ours. Raises OSError (ELOOP, ENOTDIR)."""
        waiting = list(reversed(path.split("/")))
        ends_in_slash = path.endswith("/")
        name, touched, links = "", False, 0
        while waiting:
            part = waiting.pop()
            if part in ("", "."):
                continue
            if part == "..":
                name = posixpath.dirname(name).rstrip("/")
                continue
            place = self._place(f"{name}/{part}")
            ours = place.file != place.name
            touched |= ours
            last = not any(waiting)
            if ours and (follow or not last or ends_in_slash) and os.path.islink(place.file):
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                waiting.extend(reversed(os.readlink(place.file).split("/")))
                continue
            if ours and (not last or ends_in_slash) and os.path.isfile(place.file):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            name = place.name
        return self._place(name or "/") if touched else None

    def _place(self, name: str) -> Place:
        """Ours are in the tree; so are folders on the way there that this system does not have."""
        if _is_ours(name) or (name in _PARENTS and not os.path.lexists(name)):
            return Place(name, self.file(name))
        return Place(name, name)


def _is_ours(name: str) -> bool:
    return name.startswith((*(f"{folder}/" for folder in _FOLDERS), _BY_NUMBER)) or name in _FOLDERS


def _parents(name: str) -> Iterator[str]:
    while (name := posixpath.dirname(name)) != "/":
        yield name


_PARENTS = {parent for name in (*_FILES, *_LINKS) for parent in _parents(name)}
