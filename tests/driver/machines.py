# SPDX-License-Identifier: MIT
"""Machines that tests make up: a device tree, and render nodes of several drivers behind one kernel."""

import ctypes
import errno
import mmap
import os
from pathlib import Path

from hornito.driver.machine import Machine
from hornito.uapi.drm import RENDER_NODE, VERSION, Version
from hornito.uapi.kernel import Kernel


class Nodes:
    """A ``Kernel`` with these nodes: by path another kernel, whose one node it is; the name of another driver; or the
    errno of an attempt to open it. ``opened`` lists what was opened, and what is open must be closed."""

    def __init__(self, nodes: dict[str, Kernel | str | int]) -> None:
        self.nodes = nodes
        self.opened: list[str] = []
        self.open_now: dict[int, Kernel | str] = {}

    def open(self, path: str, flags: int) -> int:
        self.opened.append(path)
        node = self.nodes.get(path, errno.ENOENT)
        if isinstance(node, int):
            raise OSError(node, os.strerror(node))
        fd = os.open("/dev/null", flags) if isinstance(node, str) else node.open(RENDER_NODE, flags)
        self.open_now[fd] = node
        return fd

    def close(self, fd: int) -> None:
        node = self.open_now.pop(fd, None)
        if isinstance(node, str):
            os.close(fd)
        else:
            self._inner(fd, node).close(fd)

    def ioctl(self, fd: int, request: int, arg: ctypes.Structure | int) -> int:
        node = self.open_now.get(fd)
        if not isinstance(node, str):
            return self._inner(fd, node).ioctl(fd, request, arg)
        if request != VERSION.number or not isinstance(arg, Version):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        arg.version_major, arg.version_minor = 3, 9
        ctypes.memmove(arg.name, node.encode(), min(len(node), arg.name_len))
        arg.name_len = len(node)
        return 0

    def mmap(self, fd: int, length: int, offset: int) -> mmap.mmap:
        node = self.open_now[fd]
        assert not isinstance(node, str)
        return node.mmap(fd, length, offset)

    def messages(self, fd: int) -> list[str]:
        node = self.open_now[fd]
        return [] if isinstance(node, str) else node.messages(fd)

    def _inner(self, fd: int, node: Kernel | None) -> Kernel:
        """The kernel that a descriptor belongs to; a sync file is of the one kernel that there is."""
        if node is not None:
            return node
        [only] = [kernel for kernel in self.nodes.values() if not isinstance(kernel, int | str)]
        return only


def machine(
    folder: Path, nodes: dict[str, Kernel | str | int], drivers: dict[str, str] | None = None
) -> tuple[Machine, Nodes]:
    """A machine whose nodes are those of ``nodes``, by file name; ``drivers``: what sysfs says of them."""
    dev, sysfs = folder / "dri", folder / "sys"
    dev.mkdir()
    for name in [*nodes, "card0", "by-path", "renderDx"]:
        (dev / name).touch()
    for name, driver in (drivers or {}).items():
        place = sysfs / "class" / "drm" / name / "device"
        place.mkdir(parents=True)
        (place / "driver").symlink_to(f"/sys/bus/platform/drivers/{driver}")
    kernel = Nodes({f"{dev}/{name}": node for name, node in nodes.items()})
    return Machine(dev, sysfs, folder / "device-tree", lambda: kernel), kernel


def device_tree(folder: Path, model: str, compatible: str, **nodes: dict[str, str]) -> None:
    """Write a device tree; ``compatible`` has spaces between its strings, and ``nodes`` are below ``soc``."""
    root = folder / "device-tree"
    write(root, {"model": model, "compatible": compatible.replace(" ", "\0")})
    for name, properties in nodes.items():
        write(root / "soc" / name.replace("_", "@"), properties)


def write(place: Path, properties: dict[str, str]) -> None:
    place.mkdir(parents=True)
    for name, value in properties.items():
        (place / name).write_bytes(value.encode() + b"\0")
