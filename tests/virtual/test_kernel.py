# SPDX-License-Identifier: MIT
"""The virtual kernel's books: versions, parameters, buffers, submissions. Judge: the databook's tables."""

import ctypes
import errno
import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hornito.errors import Unsupported
from hornito.hardware.chips import find_chip
from hornito.uapi import drm
from hornito.uapi.drm import RENDER_NODE
from hornito.uapi.etnaviv import (
    GEM_CPU_FINI,
    GEM_CPU_PREP,
    GEM_INFO,
    GEM_SUBMIT,
    GEM_USERPTR,
    GEM_WAIT,
    GET_PARAM,
    WAIT_FENCE,
    GetParam,
    Param,
    SubmitFlag,
    SubmitReloc,
)
from hornito.uapi.ioctl import Direction, Ioctl
from hornito.uapi.kernel import Kernel
from hornito.uapi.sync_file import SYNC_IOC_FILE_INFO
from hornito.virtual.kernel import VirtualKernel
from tests.fake_executor import BLOCK, COPY, CRASH, DOUBT, FAULT, NOTHING, TOUCH, FakeExecutor, stream
from tests.virtual.client import SOFTPIN, VA, Client, after, descriptors, fails


def test_virtual_kernel_is_a_kernel(kernel: VirtualKernel) -> None:
    seam: Kernel = kernel
    fd = seam.open(RENDER_NODE, os.O_RDWR)
    assert seam.messages(fd) == []
    seam.close(fd)


def test_chip_of_unproven_format_has_no_virtual_kernel() -> None:
    with pytest.raises(Unsupported, match="there is no virtual vipnano-qi-a1-8000000: .* --device cpu"):
        VirtualKernel(find_chip("vipnano-qi-a1-8000000"))


# Descriptors.


def test_other_paths_do_not_exist(kernel: VirtualKernel) -> None:
    fails(errno.ENOENT, lambda: kernel.open("/dev/dri/renderD129", os.O_RDWR))


def test_descriptor_that_is_not_ours_is_ebadf(kernel: VirtualKernel, client: Client) -> None:
    fails(errno.EBADF, lambda: GET_PARAM(kernel, 0, param=1))
    fails(errno.EBADF, lambda: GET_PARAM(kernel, -1, param=1))
    fails(errno.EBADF, lambda: kernel.mmap(0, 4096, 0))
    fails(errno.EBADF, lambda: kernel.close(0))


def test_closed_descriptor_is_ebadf(kernel: VirtualKernel, client: Client) -> None:
    kernel.close(client.fd)
    fails(errno.EBADF, lambda: GET_PARAM(kernel, client.fd, param=1))
    fails(errno.EBADF, lambda: kernel.close(client.fd))
    client.fd = -1


def test_descriptor_closed_behind_the_kernels_back_is_ebadf_though_its_number_lives_on(kernel: VirtualKernel) -> None:
    fd = kernel.open(RENDER_NODE, os.O_RDWR)
    os.close(fd)
    other = os.open("/dev/null", os.O_RDONLY)
    assert other == fd
    fails(errno.EBADF, lambda: GET_PARAM(kernel, fd, param=1))
    fails(errno.EBADF, lambda: kernel.close(fd))
    os.fstat(other)
    os.close(other)


def test_client_cannot_cut_the_file_short(client: Client) -> None:
    client.new()
    fails(errno.EPERM, lambda: os.ftruncate(client.fd, 0))


def test_open_and_close_leave_no_descriptor(kernel: VirtualKernel) -> None:
    before = descriptors()
    for order in ((NOTHING,), (FAULT, 1, 2)):
        client = Client(kernel)
        submit = client.submit(order, (client.new(), VA, 3), flags=SOFTPIN | SubmitFlag.FENCE_FD_OUT)
        client.status(submit)
        kernel.close(client.fd)
    assert descriptors() == before
    kernel.shutdown()
    assert descriptors() == before - 1  # the pool


# Questions.


def test_version_tells_lengths_then_texts(client: Client) -> None:
    lengths = drm.VERSION(client.kernel, client.fd)
    assert (lengths.version_major, lengths.version_minor, lengths.name_len) == (1, 4, 7)
    room = ctypes.create_string_buffer(7)
    drm.VERSION(client.kernel, client.fd, name=ctypes.addressof(room), name_len=7)
    assert room.raw == b"etnaviv"


def test_version_cuts_a_text_to_the_room_given(client: Client) -> None:
    room = ctypes.create_string_buffer(b"......", 6)
    version = drm.VERSION(client.kernel, client.fd, name=ctypes.addressof(room), name_len=3)
    assert (room.raw, version.name_len) == (b"etn...", 7)


def test_version_with_a_bad_pointer_is_efault(client: Client) -> None:
    fails(errno.EFAULT, lambda: drm.VERSION(client.kernel, client.fd, name=8, name_len=7))


def test_parameters_are_the_chips(client: Client) -> None:
    def ask(param: int) -> int:
        value: int = GET_PARAM(client.kernel, client.fd, param=param).value
        return value

    identity = [ask(param) for param in (Param.GPU_MODEL, Param.GPU_REVISION, Param.GPU_PRODUCT_ID)]
    assert identity == [0x8000, 0x7120, 0x45080009]
    assert [ask(Param.GPU_ECO_ID), ask(Param.GPU_CUSTOMER_ID)] == [0, 0x88]
    assert [ask(Param.GPU_FEATURES_0), ask(Param.GPU_FEATURES_12)] == [0xE0287CAC, 0x10]
    assert [ask(Param.GPU_INSTRUCTION_COUNT), ask(Param.SOFTPIN_START_ADDR)] == [512, 0x00400000]


@pytest.mark.parametrize(
    ("pipe", "param", "code"),
    [(1, 1, errno.ENXIO), (3, 1, errno.ENXIO), (4, 1, errno.EINVAL), (0, 0, errno.EINVAL), (0, 0x1F, errno.EINVAL)],
)
def test_bad_parameter_or_pipe(client: Client, pipe: int, param: int, code: int) -> None:
    fails(code, lambda: GET_PARAM(client.kernel, client.fd, pipe=pipe, param=param))


def test_capabilities(client: Client) -> None:
    assert drm.GET_CAP(client.kernel, client.fd, capability=drm.Cap.SYNCOBJ).value == 0
    fails(errno.EOPNOTSUPP, lambda: drm.GET_CAP(client.kernel, client.fd, capability=1))


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (GEM_USERPTR, errno.EINVAL),
        (drm.GEM_FLINK, errno.EACCES),
        (drm.GEM_OPEN, errno.EACCES),
        (SYNC_IOC_FILE_INFO, errno.ENOTTY),
        (Ioctl("DRM_IOCTL_GET_UNIQUE", Direction.READ_WRITE, "d", 0x01, drm.GetCap), errno.EACCES),
        (Ioctl("DRM_IOCTL_SET_CLIENT_CAP", Direction.WRITE, "d", 0x0D, drm.GetCap), errno.EACCES),
        (Ioctl("DRM_IOCTL_MODE_GETRESOURCES", Direction.READ_WRITE, "d", 0xA0, drm.GetCap), errno.EACCES),
        (Ioctl("none of a DRM device's", Direction.READ_WRITE, "d", 0x00FF, drm.GetCap), errno.EINVAL),
        (Ioctl("none of the driver's", Direction.READ_WRITE, "d", 0x4C, drm.GetCap), errno.EINVAL),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_ioctl_that_is_not_offered(client: Client, call: Callable[..., object], code: int) -> None:
    fails(code, lambda: call(client.kernel, client.fd))


def test_argument_by_pointer_is_read_and_written(client: Client) -> None:
    arg = GetParam(param=Param.GPU_MODEL)
    client.kernel.ioctl(client.fd, GET_PARAM.number, ctypes.addressof(arg))
    assert arg.value == 0x8000


def test_argument_by_a_bad_pointer_is_efault(client: Client) -> None:
    for pointer in (0, 1, -1, 1 << 63, 1 << 80):
        fails(errno.EFAULT, lambda pointer=pointer: client.kernel.ioctl(client.fd, GET_PARAM.number, pointer))  # type: ignore[misc]


def test_shorter_struct_of_an_older_client_is_filled_with_zeros(client: Client) -> None:
    room = ctypes.create_string_buffer(b"\0\0\0\0\x01\0\0\0........", 16)
    number = GET_PARAM.number & ~(0x3FFF << 16) | 8 << 16
    client.kernel.ioctl(client.fd, number, ctypes.addressof(room))
    assert room.raw[8:] == b"........"


# Buffers.


@pytest.mark.parametrize("flags", [0, 0x30000, 0x70000, 0x80000, 0x20001, 0x200000])
def test_cache_modes_other_than_one_are_refused(client: Client, flags: int) -> None:
    fails(errno.EINVAL, lambda: client.new(flags=flags))


@pytest.mark.parametrize("flags", [0x10000, 0x20000, 0x40000, 0x120000])
def test_each_cache_mode_is_taken(client: Client, flags: int) -> None:
    assert client.new(flags=flags) == 1


def test_buffers_are_whole_pages_of_zeros_that_do_not_overlap(client: Client) -> None:
    first, second = client.new(1), client.new(5000)
    maps = client.map(first), client.map(second, 8192)
    assert not any(bytes(maps[0])) and not any(bytes(maps[1]))
    maps[0][:] = b"\x01" * 4096
    assert not any(bytes(maps[1]))
    fails(errno.EINVAL, lambda: client.map(first, 8192))


def test_plain_mmap_of_the_descriptor_shows_the_buffer(client: Client) -> None:
    import mmap

    handle = client.new()
    client.map(handle)[0] = 5
    offset = GEM_INFO(client.kernel, client.fd, handle=handle).offset
    with mmap.mmap(client.fd, 4096, offset=offset) as plain:
        assert plain[0] == 5


def test_dead_buffers_memory_goes_back_and_meets_nobody(client: Client) -> None:
    handle = client.new(1 << 20)
    view = client.map(handle, 1 << 20)
    view[:] = b"\x07" * (1 << 20)
    used = os.fstat(client.fd).st_blocks
    drm.GEM_CLOSE(client.kernel, client.fd, handle=handle)
    assert os.fstat(client.fd).st_blocks <= used - (1 << 20) // 512
    other = client.map(client.new())
    view[0] = 9
    assert other[0] == 0


def test_handles_are_of_one_file_and_reused(kernel: VirtualKernel, client: Client) -> None:
    assert [client.new(), client.new()] == [1, 2]
    drm.GEM_CLOSE(kernel, client.fd, handle=1)
    assert client.new() == 1
    stranger = Client(kernel)
    fails(errno.ENOENT, lambda: GEM_INFO(kernel, stranger.fd, handle=1))
    kernel.close(stranger.fd)


def test_bad_handles(client: Client) -> None:
    kernel, fd = client.kernel, client.fd
    fails(errno.EINVAL, lambda: drm.GEM_CLOSE(kernel, fd, handle=9))
    fails(errno.ENOENT, lambda: GEM_INFO(kernel, fd, handle=9))
    fails(errno.ENOENT, lambda: GEM_CPU_PREP(kernel, fd, handle=9, op=1))
    fails(errno.ENOENT, lambda: GEM_CPU_FINI(kernel, fd, handle=9))
    fails(errno.ENOENT, lambda: GEM_WAIT(kernel, fd, handle=9))


def test_fields_that_must_be_zero(client: Client) -> None:
    handle = client.new()
    fails(errno.EINVAL, lambda: GEM_INFO(client.kernel, client.fd, handle=handle, pad=1))
    fails(errno.EINVAL, lambda: GEM_CPU_FINI(client.kernel, client.fd, handle=handle, flags=1))
    fails(errno.EINVAL, lambda: GEM_CPU_PREP(client.kernel, client.fd, handle=handle, op=8))
    fails(errno.EINVAL, lambda: client.new(0))


def test_memory_ends_and_comes_back(executor: FakeExecutor) -> None:
    kernel = VirtualKernel(find_chip("a311d"), executor, memory=3 * 4096)
    client = Client(kernel)
    handle = client.new(8192)
    fails(errno.ENOMEM, lambda: client.new(8192))
    drm.GEM_CLOSE(kernel, client.fd, handle=handle)
    client.new(3 * 4096)
    kernel.close(client.fd)
    assert Client(kernel).new(3 * 4096)
    kernel.shutdown()


# Submissions, in the order of the checks.


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"pipe": 4}, errno.EINVAL),
        ({"pipe": 1}, errno.ENXIO),
        ({"pipe": 1, "stream_size": 3}, errno.ENXIO),
        ({"stream_size": 3}, errno.EINVAL),
        ({"exec_state": 3}, errno.EINVAL),
        ({"flags": 16}, errno.EINVAL),
        ({"stream_size": 128 * 1024 + 4}, errno.EINVAL),
        ({"nr_bos": 131073}, errno.EINVAL),
        ({"nr_relocs": 131073}, errno.EINVAL),
        ({"nr_pmrs": 129}, errno.EINVAL),
        ({"stream": 16}, errno.EFAULT),
        ({"stream": (1 << 64) - 4}, errno.EFAULT),
        ({"nr_bos": 1, "bos": 16}, errno.EFAULT),
        ({"nr_relocs": 1, "relocs": 16}, errno.EFAULT),
        ({"nr_pmrs": 1, "pmrs": 16}, errno.EFAULT),
        ({"flags": SubmitFlag.FENCE_FD_IN | SOFTPIN, "fence_fd": 0}, errno.EINVAL),
        ({"flags": SubmitFlag.FENCE_FD_IN | SOFTPIN, "fence_fd": -1}, errno.EINVAL),
    ],
    ids=str,
)
def test_bad_submit_is_refused(client: Client, executor: FakeExecutor, values: dict[str, int], code: int) -> None:
    fails(code, lambda: client.submit((NOTHING,), **values))
    client.wait(client.submit((NOTHING,)).fence)
    assert executor.orders == [[NOTHING]]


@pytest.mark.parametrize(
    ("flags", "address", "code"),
    [
        (4, VA, errno.EINVAL),
        (1, 0x3FF000, errno.EINVAL),
        (1, VA + 1, errno.EINVAL),
        (1, 0xFFFFF000, errno.ENOSPC),
        (1, 1 << 32, errno.ENOSPC),
        (1, (1 << 64) - 4096, errno.ENOSPC),
    ],
    ids=str,
)
def test_bad_table_entry_is_refused(client: Client, flags: int, address: int, code: int) -> None:
    fails(code, lambda: client.submit((NOTHING,), (client.new(8192), address, flags)))


def test_topmost_page_is_usable(client: Client) -> None:
    client.wait(client.submit((TOUCH, 0xFFFFFFFF), (client.new(), 0xFFFFF000, 3)).fence)
    assert client.messages() == []


def test_unknown_handle_and_repeated_buffer(client: Client) -> None:
    fails(errno.EINVAL, lambda: client.submit((NOTHING,), (9, VA, 1)))
    handle = client.new()
    fails(errno.EALREADY, lambda: client.submit((NOTHING,), (handle, VA, 1), (handle, VA, 1)))


def test_relocations_are_refused(client: Client) -> None:
    table = (SubmitReloc * 1)()
    more = {"nr_relocs": 1, "relocs": ctypes.addressof(table)}
    fails(errno.EINVAL, lambda: client.submit((NOTHING,), **more))
    fails(errno.EINVAL, lambda: client.submit((NOTHING,), flags=0, **more))


def test_empty_submit_is_taken(client: Client) -> None:
    assert client.status(client.submit((), flags=SOFTPIN | SubmitFlag.FENCE_FD_OUT)) == 1


def test_stream_and_table_are_copied(client: Client, executor: FakeExecutor) -> None:
    blocking = client.submit((BLOCK,))
    words = stream(NOTHING, 1, 2)
    submit = GEM_SUBMIT(client.kernel, client.fd, stream=words.ctypes.data, stream_size=12, flags=SOFTPIN)
    words[:] = 3
    executor.release.set()
    client.wait(submit.fence)
    assert submit.fence == blocking.fence + 1
    assert executor.orders[-1] == [NOTHING, 1, 2]


def test_job_copies_between_buffers_of_its_client(client: Client) -> None:
    source, target = client.new(), client.new(8192)
    client.map(source)[:3] = b"abc"
    bos = (source, VA, 1), (target, VA + 0x10000, 2)
    client.wait(client.submit((COPY, VA, VA + 0x11000, 3), *bos).fence)
    assert client.map(target, 8192)[4096:4099] == b"abc"


def test_same_addresses_of_two_clients_are_different_memory(kernel: VirtualKernel, client: Client) -> None:
    other = Client(kernel)
    for number, one in enumerate((client, other)):
        handle = one.new(8192)
        one.map(handle, 8192)[0] = number + 1
        one.wait(one.submit((COPY, VA, VA + 4096, 1), (handle, VA, 3)).fence)
        assert one.map(handle, 8192)[4096] == number + 1
    kernel.close(other.fd)


def test_idle_buffer_moves_and_makes_room(client: Client) -> None:
    first, second = client.new(), client.new()
    for handle, va in ((first, VA), (first, VA + 0x5000), (second, VA + 0x5000), (first, VA + 0x5000)):
        client.wait(client.submit((TOUCH, va), (handle, va, 1)).fence)
    client.wait(client.submit((TOUCH, VA)).fence)
    assert "0xf0000000" in "".join(client.messages())


def test_buffer_in_use_neither_moves_nor_makes_room(client: Client, executor: FakeExecutor) -> None:
    first, second = client.new(8192), client.new(8192)
    client.submit((BLOCK,), (first, VA, 1))
    fails(errno.EINVAL, lambda: client.submit((NOTHING,), (first, VA + 0x4000, 1)))
    fails(errno.ENOSPC, lambda: client.submit((NOTHING,), (second, VA + 0x1000, 1)))
    fails(errno.ENOSPC, lambda: client.submit((NOTHING,), (second, VA - 0x1000, 1)))
    executor.release.set()
    client.wait(client.submit((NOTHING,), (first, VA, 1)).fence)
    client.wait(client.submit((TOUCH, VA + 0x2000), (second, VA + 0x1000, 1)).fence)
    assert client.messages() == []


def test_two_buffers_of_one_submit_may_not_overlap(client: Client) -> None:
    first, second = client.new(8192), client.new()
    fails(errno.ENOSPC, lambda: client.submit((NOTHING,), (first, VA, 1), (second, VA + 4096, 1)))


def test_command_memory_is_waited_for(client: Client, executor: FakeExecutor) -> None:
    words = np.zeros(16000, np.uint32)  # 16 pages of 128
    client.submit((BLOCK,))
    fences: list[int] = []

    def flood() -> None:
        for _ in range(20):
            submit = GEM_SUBMIT(client.kernel, client.fd, stream=words.ctypes.data, stream_size=64000, flags=SOFTPIN)
            fences.append(submit.fence)

    thread = threading.Thread(target=flood)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive() and len(fences) == 7
    executor.release.set()
    thread.join(20)
    client.wait(fences[-1])
    assert len(fences) == 20


# Waiting.


def test_busy_buffers_are_waited_for_by_use(client: Client, executor: FakeExecutor) -> None:
    read, written, free = client.new(), client.new(), client.new()
    client.submit((BLOCK,), (read, VA, 1), (written, VA + 0x1000, 2))

    def prep(handle: int, op: int, seconds: float = 0.02) -> None:
        GEM_CPU_PREP(client.kernel, client.fd, handle=handle, op=op, timeout=after(seconds))

    prep(free, 3)
    prep(read, 1)
    fails(errno.ETIMEDOUT, lambda: prep(read, 2))
    fails(errno.EBUSY, lambda: prep(read, 2 | 4))
    fails(errno.ETIMEDOUT, lambda: prep(written, 1))
    fails(errno.EBUSY, lambda: prep(written, 1 | 4))
    fails(errno.EBUSY, lambda: GEM_WAIT(client.kernel, client.fd, handle=read, flags=1))
    threading.Timer(0.05, executor.release.set).start()
    prep(written, 3, 20)
    prep(read, 2 | 4)


def test_fences_are_waited_for(client: Client, executor: FakeExecutor) -> None:
    fence = client.submit((BLOCK,)).fence
    fails(errno.EBUSY, lambda: WAIT_FENCE(client.kernel, client.fd, fence=fence, flags=1))
    fails(errno.ETIMEDOUT, lambda: WAIT_FENCE(client.kernel, client.fd, fence=fence))
    fails(errno.ETIMEDOUT, lambda: client.wait(fence, 0.02))
    fails(errno.EINVAL, lambda: WAIT_FENCE(client.kernel, client.fd, fence=fence, flags=2))
    fails(errno.ENXIO, lambda: WAIT_FENCE(client.kernel, client.fd, fence=fence, pipe=1))
    executor.release.set()
    client.wait(fence)


def test_fence_that_nobody_knows_is_over(client: Client) -> None:
    WAIT_FENCE(client.kernel, client.fd, fence=12345)


def test_sync_file_polls_and_tells(client: Client, executor: FakeExecutor) -> None:
    submit = client.submit((BLOCK,), flags=SOFTPIN | SubmitFlag.FENCE_FD_OUT)
    poll = select.poll()
    poll.register(submit.fence_fd, select.POLLIN)
    assert poll.poll(0) == []
    assert SYNC_IOC_FILE_INFO(client.kernel, submit.fence_fd).status == 0
    assert not os.get_inheritable(submit.fence_fd)
    after_it = client.submit((NOTHING,), flags=SOFTPIN | SubmitFlag.FENCE_FD_IN, fence_fd=submit.fence_fd)
    executor.release.set()
    assert poll.poll(20_000) == [(submit.fence_fd, select.POLLIN)]
    client.wait(after_it.fence)
    assert client.status(submit) == 1
    fails(errno.EBADF, lambda: SYNC_IOC_FILE_INFO(client.kernel, submit.fence_fd))


# What goes wrong in a job.


def test_refused_job_is_killed_with_the_kernels_words_and_ours(client: Client) -> None:
    submit = client.submit((FAULT, VA, 3), (client.new(), VA, 1), flags=SOFTPIN | SubmitFlag.FENCE_FD_OUT)
    assert client.status(submit) == -errno.ECANCELED
    first, offender, refusal = client.messages()
    assert first == "etnaviv-gpu npu: recover hung GPU!"
    own = Path("/proc/self/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode()
    assert offender.startswith("etnaviv-gpu npu: offending task: ") and own[:80] in offender
    assert refusal == (
        "etnaviv-gpu npu: virtual NPU: submit 1: NN refused job 3 at 0xf0000000: kernel_z = 9 is never written"
    )
    assert client.messages() == []


@pytest.mark.parametrize(
    ("address", "code", "reason"),
    [(VA + 0x1000, 2, "page not present"), (VA + 0x400000, 1, "slave not present"), (0x200000, 2, "page not present")],
)
def test_unmapped_address_is_an_mmu_fault(client: Client, address: int, code: int, reason: str) -> None:
    submit = client.submit((TOUCH, address), (client.new(), VA, 1), flags=SOFTPIN | SubmitFlag.FENCE_FD_OUT)
    assert client.status(submit) == -errno.ECANCELED
    lines = client.messages()
    assert lines[:3] == [
        f"etnaviv-gpu npu: MMU fault status {code:#010x}",
        f"etnaviv-gpu npu: MMU 0 fault ({reason}) addr {address:#010x}",
        "etnaviv-gpu npu: recover hung GPU!",
    ]
    assert f"MMU refused job 0 at {address:#x}" in lines[4]


def test_the_log_says_where_silicon_might_give_something_else(client: Client) -> None:
    doubtful = client.submit((DOUBT,), flags=SOFTPIN | SubmitFlag.FENCE_FD_OUT)
    after_it = client.submit((NOTHING,), flags=SOFTPIN | SubmitFlag.FENCE_FD_OUT)
    assert [client.status(doubtful), client.status(after_it)] == [1, 1]
    assert client.messages() == [
        "etnaviv-gpu npu: virtual NPU: submit 1: job 1 reads what job 0 writes; silicon may give other results"
    ]


def test_mistake_in_the_executor_kills_the_job_too(client: Client) -> None:
    submit = client.submit((CRASH,), flags=SOFTPIN | SubmitFlag.FENCE_FD_OUT)
    assert client.status(submit) == -errno.ECANCELED
    assert "ZeroDivisionError: a mistake of ours" in client.messages()[-1]


def test_fault_of_one_client_leaves_the_others_jobs_alone(kernel: VirtualKernel, client: Client) -> None:
    other = Client(kernel)
    handle = other.new(8192)
    other.map(handle, 8192)[0] = 42
    jobs = []
    for _ in range(20):
        jobs.append((client, client.submit((FAULT, 1, 1), flags=SOFTPIN | SubmitFlag.FENCE_FD_OUT)))
        copy = other.submit((COPY, VA, VA + 4096, 1), (handle, VA, 3), flags=SOFTPIN | SubmitFlag.FENCE_FD_OUT)
        jobs.append((other, copy))
    assert [one.status(submit) for one, submit in jobs] == [-errno.ECANCELED, 1] * 20
    assert other.map(handle, 8192)[4096] == 42
    kernel.close(other.fd)


def test_space_that_cannot_map_kills_the_job_and_the_next_tries_again(executor: FakeExecutor) -> None:
    from hornito.virtual.memory import AddressSpace

    class Full(AddressSpace):
        refusals = 1

        def map(self, va: int, size: int, fd: int, offset: int) -> None:
            if self.refusals:
                self.refusals -= 1
                raise OSError(errno.ENOMEM, "no room")
            super().map(va, size, fd, offset)

    kernel = VirtualKernel(find_chip("a311d"), executor, new_space=Full)
    client = Client(kernel)
    handle = client.new()
    flags = SOFTPIN | SubmitFlag.FENCE_FD_OUT
    assert client.status(client.submit((TOUCH, VA), (handle, VA, 1), flags=flags)) == -errno.ECANCELED
    assert "no room" in client.messages()[-1]
    assert client.status(client.submit((TOUCH, VA), (handle, VA, 1), flags=flags)) == 1
    kernel.shutdown()


# Ends.


def test_buffer_closed_during_its_job_lives_until_the_job_ends(client: Client, executor: FakeExecutor) -> None:
    source, target, other = client.new(), client.new(), client.new()
    view = client.map(target)
    client.map(source)[0] = 8
    client.submit((BLOCK,))
    client.submit((COPY, VA, VA + 0x1000, 1), (source, VA, 1), (target, VA + 0x1000, 2))
    check = client.submit((COPY, VA + 0x1000, VA + 0x2000, 1), (target, VA + 0x1000, 1), (other, VA + 0x2000, 2))
    drm.GEM_CLOSE(client.kernel, client.fd, handle=source)
    drm.GEM_CLOSE(client.kernel, client.fd, handle=target)
    fails(errno.ENOENT, lambda: GEM_INFO(client.kernel, client.fd, handle=target))
    fails(errno.ENOSPC, lambda: client.submit((NOTHING,), (client.new(), VA, 1)))
    executor.release.set()
    client.wait(check.fence)
    assert client.map(other)[0] == 8
    client.wait(client.submit((TOUCH, VA), (client.new(), VA + 0x8000, 1)).fence)
    assert "MMU refused" in client.messages()[-1]
    assert view[0] == 0


def test_file_closed_during_its_job_leaks_nothing_and_others_go_on(
    kernel: VirtualKernel, client: Client, executor: FakeExecutor
) -> None:
    other = Client(kernel)
    other.submit((BLOCK,), (other.new(), VA, 3))
    other.submit((TOUCH, VA), (other.new(), VA + 0x1000, 3))
    kernel.close(other.fd)
    last = client.submit((NOTHING,), flags=SOFTPIN | SubmitFlag.FENCE_FD_OUT)
    executor.release.set()
    assert client.status(last) == 1
    assert len(executor.orders) == 3
    assert client.messages() == []


def test_end_of_the_kernel_cancels_what_has_not_begun(executor: FakeExecutor) -> None:
    kernel = VirtualKernel(find_chip("a311d"), executor)
    client = Client(kernel)
    client.submit((BLOCK,))
    waiting = client.submit((NOTHING,))
    failure: list[int | None] = []

    def wait() -> None:
        try:
            client.wait(waiting.fence)
        except OSError as error:
            failure.append(error.errno)

    thread = threading.Thread(target=wait)
    thread.start()
    executor.started.wait(20)
    threading.Timer(0.05, executor.release.set).start()
    kernel.shutdown()
    thread.join(20)
    assert not thread.is_alive()
    assert executor.orders == [[BLOCK]]
    fails(errno.ENODEV, lambda: GET_PARAM(kernel, client.fd, param=1))
    kernel.close(client.fd)


def test_forgotten_kernel_takes_its_thread_and_descriptors_along(executor: FakeExecutor) -> None:
    before = descriptors()
    others = set(threading.enumerate())  # of kernels that earlier tests have not forgotten yet
    kernel = VirtualKernel(find_chip("a311d"), executor)
    client = Client(kernel)
    client.wait(client.submit((NOTHING,)).fence)
    threads = {thread for thread in threading.enumerate() if thread.name == "hornito virtual NPU"} - others
    os.close(client.fd)
    del kernel, client
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(thread.is_alive() for thread in threads):
        time.sleep(0.01)
    assert threads and not any(thread.is_alive() for thread in threads)
    assert descriptors() == before


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_child_gets_an_error_and_ends(client: Client, executor: FakeExecutor) -> None:
    client.submit((BLOCK,), (client.new(), VA, 1))
    executor.started.wait(20)
    child = os.fork()
    if child == 0:
        code = 99
        try:
            GET_PARAM(client.kernel, client.fd, param=1)
        except OSError as error:
            code = error.errno or 98
        client.kernel.shutdown()
        client.kernel.close(client.fd)
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == errno.ENODEV
    executor.release.set()
    assert GET_PARAM(client.kernel, client.fd, param=1).value == 0x8000


def test_place_given_by_a_refused_submit_is_free_when_its_buffer_dies(client: Client) -> None:
    handle = client.new()
    fails(errno.EALREADY, lambda: client.submit((NOTHING,), (handle, VA, 1), (handle, VA, 1)))
    drm.GEM_CLOSE(client.kernel, client.fd, handle=handle)
    client.wait(client.submit((NOTHING,)).fence)
    other = client.submit((TOUCH, VA), (client.new(8192), VA - 0x1000, 3), flags=SOFTPIN | SubmitFlag.FENCE_FD_OUT)
    assert (client.status(other), client.messages()) == (1, [])
