# SPDX-License-Identifier: MIT
"""The kernel's log, from files and pipes that stand in for /dev/kmsg: a pipe keeps no records apart, so one a read."""

import os
from pathlib import Path

import pytest

from hornito.uapi.kernel import Kernel, RealKernel
from hornito.uapi.kernel_log import KernelLog, record_text

HUNG = b"3,912,880123456,-;etnaviv-gpu ff100000.npu: recover hung GPU!\n SUBSYSTEM=platform\n DEVICE=+platform:npu\n"


def test_text_of_a_record_is_without_its_head_and_properties() -> None:
    assert record_text(HUNG) == "etnaviv-gpu ff100000.npu: recover hung GPU!"
    assert record_text(b"6,1,2,c,caller=T1;a;b \\x0a\n") == "a;b \\x0a"
    assert record_text(b"no head") == "no head"
    assert record_text(b"") == ""


def test_log_that_cannot_be_read_is_silent(tmp_path: Path) -> None:
    log = KernelLog(tmp_path / "none")
    assert not log.readable
    assert log.lines() == []


def test_only_what_comes_after_the_beginning_is_told(tmp_path: Path) -> None:
    fifo = tmp_path / "kmsg"
    os.mkfifo(fifo)
    keep = os.open(fifo, os.O_RDWR)
    log = KernelLog(fifo)
    assert log.readable and log.lines() == []
    os.write(keep, HUNG)
    assert log.lines() == ["etnaviv-gpu ff100000.npu: recover hung GPU!"]
    assert log.lines() == []
    os.close(keep)


def test_messages_are_the_drivers_alone(tmp_path: Path) -> None:
    fifo = tmp_path / "kmsg"
    os.mkfifo(fifo)
    keep = os.open(fifo, os.O_RDWR)
    kernel: Kernel = RealKernel(KernelLog(fifo))
    os.write(keep, b"6,1,2,-;usb 1-1: new device\n")
    assert kernel.messages(0) == []
    os.write(keep, HUNG)
    assert kernel.messages(0) == ["etnaviv-gpu ff100000.npu: recover hung GPU!"]
    os.close(keep)


def test_log_of_this_machine_gives_lines_or_nothing() -> None:
    assert all(isinstance(line, str) for line in KernelLog().lines())


@pytest.mark.parametrize("times", [1, 3])
def test_log_gives_its_descriptor_back(tmp_path: Path, times: int) -> None:
    (tmp_path / "kmsg").touch()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(times):
        KernelLog(tmp_path / "kmsg").lines()
    assert len(os.listdir("/proc/self/fd")) == before
