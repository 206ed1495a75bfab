# SPDX-License-Identifier: MIT
"""Do buffers pass from client to client as dma-bufs, and live exactly as long as somebody can name them?"""

import ctypes
import errno
import mmap
import os
import threading

import pytest

from hornito.uapi import drm
from hornito.uapi.dma_buf import (
    DMA_BUF_IOCTL_EXPORT_SYNC_FILE,
    DMA_BUF_IOCTL_IMPORT_SYNC_FILE,
    DMA_BUF_IOCTL_SYNC,
    Sync,
)
from hornito.uapi.etnaviv import GEM_CPU_PREP, GEM_INFO, SubmitFlag
from hornito.uapi.sync_file import SYNC_IOC_FILE_INFO
from hornito.virtual.kernel import VirtualKernel
from tests.fake_executor import BLOCK, COPY, FAULT, NOTHING, TOUCH, FakeExecutor
from tests.virtual.client import SOFTPIN, VA, Client, after, descriptors, fails

CLOEXEC = os.O_CLOEXEC


def export(client: Client, handle: int, flags: int = CLOEXEC) -> int:
    fd: int = drm.PRIME_HANDLE_TO_FD(client.kernel, client.fd, handle=handle, flags=flags).fd
    return fd


def take_up(client: Client, fd: int) -> int:
    handle: int = drm.PRIME_FD_TO_HANDLE(client.kernel, client.fd, fd=fd).handle
    return handle


@pytest.fixture
def other(kernel: VirtualKernel) -> Client:
    return Client(kernel)


def test_prime_is_offered_both_ways(client: Client) -> None:
    assert drm.GET_CAP(client.kernel, client.fd, capability=drm.Cap.PRIME).value == 3


def test_importer_sees_the_exporters_bytes_by_its_own_handle_and_offset(client: Client, other: Client) -> None:
    other.new()
    handle = client.new(8192)
    client.map(handle, 8192)[5000] = 7
    fd = export(client, handle)
    taken = take_up(other, fd)
    assert taken == 2
    offset = GEM_INFO(other.kernel, other.fd, handle=taken).offset
    with mmap.mmap(other.fd, 8192, offset=offset) as view:
        assert view[5000] == 7
    client.kernel.close(fd)


def test_jobs_of_both_clients_use_it_at_addresses_of_their_own(client: Client, other: Client) -> None:
    handle = client.new(8192)
    view = client.map(handle, 8192)
    view[0] = 9
    fd = export(client, handle)
    taken = take_up(other, fd)
    client.wait(client.submit((COPY, VA, VA + 1, 1), (handle, VA, 3)).fence)
    other.wait(other.submit((COPY, 0x800001, 0x800002, 1), (taken, 0x800000, 3)).fence)
    client.wait(client.submit((COPY, VA + 2, VA + 3, 1), (handle, VA, 3)).fence)
    assert view[3] == 9
    client.kernel.close(fd)


def test_own_buffer_comes_back_as_the_same_handle(client: Client) -> None:
    handle = client.new()
    fd = export(client, handle)
    assert [take_up(client, fd), take_up(client, fd)] == [handle, handle]
    drm.GEM_CLOSE(client.kernel, client.fd, handle=handle)
    fails(errno.ENOENT, lambda: GEM_INFO(client.kernel, client.fd, handle=handle))
    client.kernel.close(fd)


def test_dma_buf_alone_keeps_the_buffer(client: Client, other: Client) -> None:
    free = client.kernel.device.memory_free
    handle = client.new()
    client.map(handle)[0] = 3
    fd = export(client, handle)
    copy = os.dup(fd)
    client.kernel.close(fd)
    drm.GEM_CLOSE(client.kernel, client.fd, handle=handle)
    taken = take_up(other, copy)
    assert other.map(taken)[0] == 3
    client.kernel.close(copy)
    assert client.kernel.device.memory_free == free - mmap.PAGESIZE
    drm.GEM_CLOSE(other.kernel, other.fd, handle=taken)
    assert client.kernel.device.memory_free == free


def test_buffer_outlives_the_file_that_made_it(client: Client, other: Client) -> None:
    handle = other.new()
    other.map(handle)[0] = 4
    fd = export(other, handle)
    taken = take_up(client, fd)
    client.kernel.close(fd)
    other.kernel.close(other.fd)
    assert client.map(taken)[0] == 4
    client.wait(client.submit((TOUCH, VA), (taken, VA, 1)).fence)
    assert client.messages() == []


def test_sharing_leaves_nothing_behind(kernel: VirtualKernel) -> None:
    free, before = kernel.device.memory_free, descriptors()
    for _ in range(3):
        one, two = Client(kernel), Client(kernel)
        fd = export(one, one.new())
        again = export(two, take_up(two, fd))
        assert os.fstat(fd).st_ino == os.fstat(again).st_ino
        for descriptor in (one.fd, fd, two.fd, again):
            kernel.close(descriptor)
    assert (kernel.device.memory_free, descriptors()) == (free, before)


def test_dma_buf_tells_its_size_and_nothing_else(client: Client) -> None:
    fd = export(client, client.new(12345), CLOEXEC | os.O_RDWR)
    assert os.lseek(fd, 0, os.SEEK_END) == 16384
    for access in (mmap.ACCESS_READ, mmap.ACCESS_WRITE, mmap.ACCESS_COPY):
        with pytest.raises(PermissionError):
            mmap.mmap(fd, 4096, access=access)
    with pytest.raises(PermissionError):
        os.write(fd, b"x")
    client.kernel.close(fd)


@pytest.mark.parametrize("flags", [0, CLOEXEC, os.O_RDWR])
def test_dma_buf_is_closed_on_exec_if_asked(client: Client, flags: int) -> None:
    fd = export(client, client.new(), flags)
    assert os.get_inheritable(fd) == (not flags & CLOEXEC)
    client.kernel.close(fd)


def test_bad_requests_are_refused_as_linux_does(client: Client) -> None:
    handle = client.new()
    fails(errno.EINVAL, lambda: export(client, handle, 1))
    fails(errno.EINVAL, lambda: export(client, 99, os.O_APPEND))
    fails(errno.ENOENT, lambda: export(client, 99))
    fails(errno.EBADF, lambda: take_up(client, -1))
    fails(errno.EBADF, lambda: take_up(client, 10_000))
    fails(errno.EINVAL, lambda: take_up(client, 0))
    fails(errno.EINVAL, lambda: take_up(client, client.fd))


def test_dma_buf_of_another_device_is_refused(client: Client, kernel: VirtualKernel) -> None:
    stranger = VirtualKernel(kernel.device.chip, FakeExecutor())
    foreign = Client(stranger)
    fd = export(foreign, foreign.new())
    fails(errno.EINVAL, lambda: take_up(client, fd))
    stranger.close(fd)
    stranger.close(foreign.fd)
    stranger.shutdown()


def test_both_clients_jobs_order_what_the_cpu_does(client: Client, other: Client, executor: FakeExecutor) -> None:
    handle = client.new()
    fd = export(client, handle)
    taken = take_up(other, fd)
    other.submit((BLOCK,), (taken, VA, 2))
    fails(errno.EBUSY, lambda: GEM_CPU_PREP(client.kernel, client.fd, handle=handle, op=5))
    executor.release.set()
    GEM_CPU_PREP(client.kernel, client.fd, handle=handle, op=1, timeout=after(20))
    client.kernel.close(fd)


def test_place_of_a_shared_buffer_is_free_again_when_it_dies(client: Client, other: Client) -> None:
    handle = client.new()
    fd = export(client, handle)
    taken = take_up(other, fd)
    client.wait(client.submit((NOTHING,), (handle, VA, 1)).fence)
    other.wait(other.submit((NOTHING,), (taken, VA, 1)).fence)
    for one, number in ((client, handle), (other, taken)):
        drm.GEM_CLOSE(one.kernel, one.fd, handle=number)
    client.kernel.close(fd)
    for one in (client, other):
        one.wait(one.submit((TOUCH, VA)).fence)
        assert "MMU" in one.messages()[0]


# The dma-buf's own ioctls.


def test_dma_buf_sync_waits_for_the_device(client: Client, executor: FakeExecutor) -> None:
    kernel = client.kernel
    read, written = client.new(), client.new()
    fds = export(client, read), export(client, written)
    client.submit((BLOCK,), (read, VA, 1), (written, VA + 0x1000, 2))
    DMA_BUF_IOCTL_SYNC(kernel, fds[0], flags=Sync.READ)
    DMA_BUF_IOCTL_SYNC(kernel, fds[1], flags=Sync.READ | Sync.END)
    waiting = threading.Thread(target=lambda: DMA_BUF_IOCTL_SYNC(kernel, fds[1], flags=Sync.READ))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    executor.release.set()
    waiting.join(20)
    assert not waiting.is_alive()
    for flags in (0, 8, Sync.END, 1 << 40 | 1):
        fails(errno.EINVAL, lambda flags=flags: DMA_BUF_IOCTL_SYNC(kernel, fds[0], flags=flags))  # type: ignore[misc]
    fails(errno.ENOTTY, lambda: SYNC_IOC_FILE_INFO(kernel, fds[0]))
    for fd in fds:
        kernel.close(fd)


def test_sync_files_go_out_of_and_into_a_dma_buf(client: Client, executor: FakeExecutor) -> None:
    kernel = client.kernel
    handle, other = client.new(), client.new()
    fd, second = export(client, handle), export(client, other)
    idle = DMA_BUF_IOCTL_EXPORT_SYNC_FILE(kernel, fd, flags=Sync.WRITE).fd
    assert SYNC_IOC_FILE_INFO(kernel, idle).status == 1
    job = client.submit((BLOCK,), (handle, VA, 1), flags=SOFTPIN | SubmitFlag.FENCE_FD_OUT)
    for_reading = DMA_BUF_IOCTL_EXPORT_SYNC_FILE(kernel, fd, flags=Sync.READ).fd
    for_writing = DMA_BUF_IOCTL_EXPORT_SYNC_FILE(kernel, fd, flags=Sync.READ | Sync.WRITE).fd
    assert [SYNC_IOC_FILE_INFO(kernel, one).status for one in (for_reading, for_writing)] == [1, 0]
    DMA_BUF_IOCTL_IMPORT_SYNC_FILE(kernel, second, flags=Sync.WRITE, fd=job.fence_fd)
    fails(errno.EBUSY, lambda: GEM_CPU_PREP(kernel, client.fd, handle=other, op=5))
    fails(errno.EINVAL, lambda: DMA_BUF_IOCTL_IMPORT_SYNC_FILE(kernel, second, flags=1, fd=fd))
    fails(errno.EINVAL, lambda: DMA_BUF_IOCTL_IMPORT_SYNC_FILE(kernel, second, flags=1, fd=-1))
    for flags in (0, 4):
        fails(errno.EINVAL, lambda flags=flags: DMA_BUF_IOCTL_EXPORT_SYNC_FILE(kernel, fd, flags=flags))  # type: ignore[misc]
    executor.release.set()
    assert client.status(job) == 1
    for descriptor in (idle, for_reading, for_writing, fd, second):
        kernel.close(descriptor)


def test_an_imported_sync_file_of_an_older_job_replaces_no_newer_one(client: Client, executor: FakeExecutor) -> None:
    kernel, flags = client.kernel, SOFTPIN | SubmitFlag.FENCE_FD_OUT
    handle = client.new()
    fd = export(client, handle)
    older = client.submit((BLOCK,), flags=flags)
    newer = client.submit((FAULT, 1, 1), (handle, VA, 2))
    DMA_BUF_IOCTL_IMPORT_SYNC_FILE(kernel, fd, flags=Sync.WRITE, fd=older.fence_fd)
    writer = DMA_BUF_IOCTL_EXPORT_SYNC_FILE(kernel, fd, flags=Sync.READ).fd
    executor.release.set()
    client.wait(newer.fence)
    assert SYNC_IOC_FILE_INFO(kernel, writer).status == -errno.ECANCELED
    for descriptor in (older.fence_fd, writer, fd):
        kernel.close(descriptor)


# What sync objects would be for.


@pytest.mark.parametrize("nr", [*range(0xBF, 0xC6), *range(0xCA, 0xCE), 0xCF])
def test_sync_objects_are_no_business_of_this_driver(client: Client, nr: int) -> None:
    """Linux, drm_syncobj.c: EOPNOTSUPP without DRIVER_SYNCOBJ, which etnaviv's driver_features lack."""
    room = ctypes.create_string_buffer(64)
    for size in (8, 16, 48):
        request = 3 << 30 | size << 16 | ord("d") << 8 | nr
        fails(errno.EOPNOTSUPP, lambda request=request: client.kernel.ioctl(client.fd, request, ctypes.addressof(room)))  # type: ignore[misc]
    assert drm.GET_CAP(client.kernel, client.fd, capability=drm.Cap.SYNCOBJ).value == 0
    assert drm.GET_CAP(client.kernel, client.fd, capability=drm.Cap.SYNCOBJ_TIMELINE).value == 0
