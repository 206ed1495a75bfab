# SPDX-License-Identifier: MIT
"""A client of the virtual kernel, at the level of its structs, and what tests say of answers."""

import ctypes
import errno
import gc
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from hornito.uapi.drm import RENDER_NODE
from hornito.uapi.etnaviv import (
    GEM_INFO,
    GEM_NEW,
    GEM_SUBMIT,
    WAIT_FENCE,
    GemSubmit,
    SubmitBo,
    SubmitFlag,
    Timespec,
)
from hornito.uapi.sync_file import SYNC_IOC_FILE_INFO
from hornito.virtual.kernel import VirtualKernel
from tests.fake_executor import stream

WC = 0x20000
VA = 0xF0000000
SOFTPIN = SubmitFlag.SOFTPIN


class Client:
    """One open file of a kernel, and the few calls that tests repeat."""

    def __init__(self, kernel: VirtualKernel) -> None:
        self.kernel = kernel
        self.fd = kernel.open(RENDER_NODE, os.O_RDWR)

    def new(self, size: int = 4096, flags: int = WC) -> int:
        handle: int = GEM_NEW(self.kernel, self.fd, size=size, flags=flags).handle
        return handle

    def map(self, handle: int, size: int = 4096) -> Any:
        return self.kernel.mmap(self.fd, size, GEM_INFO(self.kernel, self.fd, handle=handle).offset)

    def submit(
        self, order: tuple[int, ...], *bos: tuple[int, int, int], flags: int = SOFTPIN, **more: Any
    ) -> GemSubmit:
        """``bos``: (handle, address, flags)."""
        words = stream(*order)
        table = (SubmitBo * max(1, len(bos)))(*(SubmitBo(handle=h, presumed=va, flags=use) for h, va, use in bos))
        values = {
            "stream": words.ctypes.data,
            "stream_size": words.nbytes,
            "bos": ctypes.addressof(table),
            "nr_bos": len(bos),
            "flags": flags,
        }
        return GEM_SUBMIT(self.kernel, self.fd, **(values | more))

    def wait(self, fence: int, seconds: float = 20.0) -> None:
        WAIT_FENCE(self.kernel, self.fd, fence=fence, timeout=after(seconds))

    def messages(self) -> list[str]:
        return self.kernel.messages(self.fd)

    def status(self, submit: GemSubmit) -> int:
        self.wait(submit.fence)
        status: int = SYNC_IOC_FILE_INFO(self.kernel, submit.fence_fd).status
        self.kernel.close(submit.fence_fd)
        return status


def after(seconds: float) -> Timespec:
    now = time.monotonic_ns() + int(seconds * 1e9)
    return Timespec(tv_sec=now // 1_000_000_000, tv_nsec=now % 1_000_000_000)


def descriptors() -> int:
    """How many this process has open, garbage aside (every ``mmap`` object holds one)."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def fails(code: int, call: Callable[[], object]) -> None:
    with pytest.raises(OSError) as caught:
        call()
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[code]
