# SPDX-License-Identifier: MIT
"""Does the device see memory that a client calls its own, and the client what the device wrote there?"""

import ctypes
import errno
import mmap
import os
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from hornito.hardware.chips import find_chip
from hornito.uapi import drm
from hornito.uapi.etnaviv import GEM_CPU_PREP, GEM_INFO, GEM_USERPTR, UserPtr
from hornito.virtual.etnaviv.user_memory import UserMemory
from hornito.virtual.etnaviv.user_pages import UserPages
from hornito.virtual.kernel import VirtualKernel
from tests.fake_executor import BLOCK, COPY, TOUCH, FakeExecutor
from tests.virtual.client import VA, Client, descriptors, fails

READ, WRITE = int(UserPtr.READ), int(UserPtr.WRITE)
PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Pages:
    """Anonymous memory of this process, of two pages."""

    def __init__(self, protection: int = mmap.PROT_READ | mmap.PROT_WRITE) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self.address: int = _libc.mmap(None, 2 * PAGE, protection, flags, -1, 0)
        self.unmapped = 0

    def bytes(self) -> NDArray[np.uint8]:
        return np.ctypeslib.as_array((ctypes.c_uint8 * (2 * PAGE)).from_address(self.address))

    def unmap(self, length: int = 2 * PAGE) -> None:
        assert _libc.munmap(self.address + self.unmapped, length) == 0
        self.unmapped += length


def user(client: Client, pages: Pages, flags: int = READ | WRITE, size: int = 2 * PAGE) -> int:
    handle: int = GEM_USERPTR(client.kernel, client.fd, user_ptr=pages.address, user_size=size, flags=flags).handle
    return handle


def copy(client: Client, handle: int, source: int, target: int, length: int) -> None:
    client.wait(client.submit((COPY, VA + source, VA + target, length), (handle, VA, 3)).fence)


def test_job_reads_and_writes_the_clients_own_memory(client: Client) -> None:
    pages = Pages()
    memory = pages.bytes()
    memory[:3] = 1, 2, 3
    handle = user(client, pages)
    copy(client, handle, 0, PAGE + 100, 3)
    assert memory[PAGE + 99 : PAGE + 104].tolist() == [0, 1, 2, 3, 0]
    memory[0] = 9
    copy(client, handle, 0, PAGE + 100, 3)
    assert memory[PAGE + 100] == 9
    pages.unmap()


def test_what_the_device_did_not_touch_stays_the_cpus(client: Client, executor: FakeExecutor) -> None:
    """Both may use a page at one time, if they keep apart."""
    pages = Pages()
    memory = pages.bytes()
    handle = user(client, pages)
    job = client.submit((BLOCK,), (handle, VA, 3))
    assert executor.started.wait(20)
    memory[:] = 5
    executor.release.set()
    client.wait(job.fence)
    assert memory.min() == 5
    pages.unmap()


def test_memory_that_may_only_be_read_is_not_written(client: Client) -> None:
    pages = Pages()
    memory = pages.bytes()
    memory[:3] = 1, 2, 3
    handle = user(client, pages, READ)
    copy(client, handle, 0, 100, 3)
    assert memory[100:103].tolist() == [0, 0, 0]
    pages.unmap()
    pages = Pages(mmap.PROT_READ)
    copy(client, user(client, pages, READ), 0, 100, 3)
    fails(errno.EFAULT, lambda: client.submit((TOUCH, VA), (user(client, pages, WRITE), VA + 0x10000, 1)))
    assert client.messages() == []
    pages.unmap()


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"flags": 0}, errno.EINVAL),
        ({"flags": 4}, errno.EINVAL),
        ({"flags": 4, "user_ptr": 1}, errno.EINVAL),
        ({"user_ptr": PAGE + 1}, errno.EINVAL),
        ({"user_size": PAGE - 1}, errno.EINVAL),
        ({"user_size": 0}, errno.EINVAL),
        ({"user_size": 1 << 32}, errno.EINVAL),
        ({"user_ptr": (1 << 64) - PAGE}, errno.EFAULT),
        ({"user_ptr": 1 << 62}, errno.EFAULT),
    ],
    ids=str,
)
def test_bad_request_is_refused(client: Client, values: dict[str, int], code: int) -> None:
    good = {"user_ptr": PAGE, "user_size": PAGE, "flags": READ}
    fails(code, lambda: GEM_USERPTR(client.kernel, client.fd, **(good | values)))


@pytest.mark.parametrize("size", [2 * PAGE, 3 * PAGE])
def test_memory_that_is_not_there_is_missed_when_it_is_needed(client: Client, size: int) -> None:
    """As Linux, which takes hold of the pages at the first submit or CPU_PREP."""
    pages = Pages()
    reserved = Pages(0)
    handle = user(client, pages, READ, size)
    pages.unmap(PAGE)
    for bad in (handle, user(client, reserved, READ)):
        fails(errno.EFAULT, lambda bad=bad: client.submit((TOUCH, VA), (bad, VA, 1)))  # type: ignore[misc]
        fails(errno.EFAULT, lambda bad=bad: GEM_CPU_PREP(client.kernel, client.fd, handle=bad, op=1))  # type: ignore[misc]
    pages.unmap(PAGE)
    reserved.unmap()


def test_memory_unmapped_later_stays_as_the_device_saw_it(client: Client) -> None:
    pages = Pages()
    pages.bytes()[PAGE] = 7
    handle, other = user(client, pages), client.new()
    client.wait(client.submit((TOUCH, VA), (handle, VA, 3)).fence)
    pages.unmap(PAGE)
    copy(client, handle, PAGE, 0, 1)
    assert np.ctypeslib.as_array((ctypes.c_uint8 * PAGE).from_address(pages.address + PAGE))[0] == 7
    pages.unmap(PAGE)
    job = client.submit((COPY, VA, VA + 0x10000, 1), (handle, VA, 3), (other, VA + 0x10000, 2))
    client.wait(job.fence)
    assert (client.map(other)[0], client.messages()) == (7, [])


def test_another_process_may_not_be_the_first_to_use_it(client: Client) -> None:
    class Other(UserMemory):
        @property
        def process(self) -> int:
            return 1

    pages = Pages()
    mine = UserMemory(os.getpid())
    held = UserPages(mine, pages.address, PAGE, True)  # type: ignore[arg-type]
    fails(errno.EPERM, lambda: held.pin(Other(os.getpid())))  # type: ignore[arg-type]
    held.pin(mine)  # type: ignore[arg-type]
    held.pin(Other(os.getpid()))  # type: ignore[arg-type]
    held.close()
    pages.unmap()


CHILD = """
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
address = libc.mmap(None, 8192, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
ctypes.memset(address, 8, 8192)
print(address, flush=True)
os.read(0, 1)
os.execv("/bin/cat", ["cat"])
"""


def test_program_that_takes_the_processs_place_is_not_touched() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert child.stdin and child.stdout
    address = int(child.stdout.readline())
    memory = UserMemory(child.pid).pin(address, 8192, True)
    room = bytearray(8192)
    memory.read(memoryview(room))
    assert room == b"\x08" * 8192
    child.stdin.write(" ")
    child.stdin.flush()
    child.stdin.write("ready\n")
    assert child.stdout.readline() == "ready\n"
    memory.write(0, b"\x09" * 8192)
    room[:] = bytes(8192)
    memory.read(memoryview(room))
    assert not any(room)
    child.stdin.close()
    assert child.wait(20) == 0
    child.stdout.close()
    memory.read(memoryview(room))
    memory.write(0, b"x")
    memory.close()


def test_end_of_the_device_lets_go_of_user_memory() -> None:
    before = descriptors()
    kernel = VirtualKernel(find_chip("a311d"), FakeExecutor())
    client, pages = Client(kernel), Pages()
    copy(client, user(client, pages), 0, 10, 1)
    kernel.shutdown()
    kernel.close(client.fd)
    pages.unmap()
    assert descriptors() == before


def test_user_memory_is_no_kernel_memory_and_leaves_nothing(kernel: VirtualKernel) -> None:
    free, before = kernel.device.memory_free, descriptors()
    client, pages = Client(kernel), Pages()
    handle = user(client, pages)
    offset = GEM_INFO(kernel, client.fd, handle=handle).offset
    fails(errno.EINVAL, lambda: kernel.mmap(client.fd, 2 * PAGE, offset))
    copy(client, handle, 0, 10, 1)
    drm.GEM_CLOSE(kernel, client.fd, handle=handle)
    kernel.close(client.fd)
    pages.unmap()
    end = Client(kernel)
    end.wait(end.submit(()).fence)
    kernel.close(end.fd)
    assert (kernel.device.memory_free, descriptors()) == (free, before)
