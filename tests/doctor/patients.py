# SPDX-License-Identifier: MIT
"""Devices to test the doctor with: virtual ones, sound or not, behind nodes that look real."""

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hornito.driver import EtnavivDevice, node
from hornito.driver.machine import Machine
from hornito.hardware.chips import Chip
from hornito.runtime import open_device
from hornito.uapi.drm import RENDER_NODE
from hornito.uapi.etnaviv import GEM_SUBMIT, GemSubmit
from hornito.uapi.sync_file import SYNC_IOC_FILE_INFO, SyncFileInfo
from hornito.virtual.kernel import VirtualKernel
from hornito.virtual.npu.executor import Executor
from tests.driver.machines import device_tree, machine


class Ill(VirtualKernel):
    """A virtual kernel whose jobs of these numbers, counted over the kernel's life, are said to have been killed;
    ``lost``: from that job on, nothing works but opening, which fails too."""

    def __init__(self, chip: Chip, killed: tuple[int, ...] = (), lost: int | None = None) -> None:
        super().__init__(chip, Executor(chip))
        self.killed = killed
        self.lost = lost
        self.submits = -1
        self.opened = 0

    def open(self, path: str, flags: int) -> int:
        self._check()
        self.opened += 1
        return super().open(path, flags)

    def ioctl(self, fd: int, request: int, arg: ctypes.Structure | int) -> int:
        self._check()
        if request == GEM_SUBMIT.number and isinstance(arg, GemSubmit):
            self.submits += 1
            self._check()
        result = super().ioctl(fd, request, arg)
        if request == SYNC_IOC_FILE_INFO.number and isinstance(arg, SyncFileInfo) and self.submits in self.killed:
            arg.status = -errno.ECANCELED
        return result

    def _check(self) -> None:
        if self.lost is not None and self.submits >= self.lost:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))


def opener(kernel: VirtualKernel) -> Callable[[], EtnavivDevice]:
    """Opens the kernel's node again and again."""
    return lambda: EtnavivDevice(kernel, RENDER_NODE)


def virtual(chip: str) -> EtnavivDevice:
    device = open_device("virtual", chip)
    assert isinstance(device, EtnavivDevice)
    return device


def board(folder: Path) -> Machine:
    """A machine that says it is a Khadas VIM3."""
    device_tree(folder, "Khadas VIM3", "khadas,vim3 amlogic,a311d amlogic,g12b")
    return machine(folder, {})[0]


def as_silicon(patch: pytest.MonkeyPatch) -> None:
    """Let files in memory pass for device nodes."""
    patch.setattr(node, "_in_memory", lambda fd: False)
