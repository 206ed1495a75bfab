# SPDX-License-Identifier: MIT
"""Does the virtual device never wait, but say what its caller has to wait for?"""

import ctypes
import errno
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hornito.uapi.drm import RENDER_NODE
from hornito.uapi.etnaviv import (
    GEM_CPU_PREP,
    GEM_SUBMIT,
    GET_PARAM,
    WAIT_FENCE,
    GemCpuPrep,
    GemSubmit,
    GetParam,
    SubmitFlag,
    Timespec,
    WaitFence,
)
from hornito.uapi.ioctl import Ioctl, Struct
from hornito.virtual.etnaviv.caller import FileIdentity, OwnProcess
from hornito.virtual.etnaviv.client import OpenFile
from hornito.virtual.etnaviv.device import VirtualDevice
from hornito.virtual.etnaviv.fences import Pending
from hornito.virtual.kernel import VirtualKernel
from tests.fake_executor import BLOCK, FakeExecutor
from tests.virtual.client import SOFTPIN, VA, Client, after, fails

CALLER = OwnProcess()


def file_of(client: Client) -> OpenFile:
    number = client.kernel.device.pool.identify(os.getpid(), client.fd)
    file = client.kernel.device.file(number or 0)
    assert file is not None
    return file


def call(client: Client, spec: Ioctl[Any], arg: Struct) -> None:
    """By pointer, as a supervisor does."""
    client.kernel.device.call(file_of(client), spec.number, ctypes.addressof(arg), CALLER)


def pending(client: Client, spec: Ioctl[Any], arg: Struct) -> Pending:
    before = bytes(arg)
    with pytest.raises(Pending) as caught:
        call(client, spec, arg)
    assert bytes(arg) == before
    return caught.value


def test_wait_names_its_fence_and_its_deadline(client: Client, executor: FakeExecutor) -> None:
    handle = client.new()
    fence = client.submit((BLOCK,), (handle, VA, 2)).fence
    until = time.monotonic() + 50
    told = threading.Event()
    for spec, arg in (
        (WAIT_FENCE, WaitFence(fence=fence, timeout=after(50))),
        (GEM_CPU_PREP, GemCpuPrep(handle=handle, op=1, timeout=after(50))),
    ):
        wait = pending(client, spec, arg)
        assert wait.deadline == pytest.approx(until, abs=5)
        wait.signal.when_signalled(told.set)
        assert not told.is_set()
    executor.release.set()
    assert told.wait(20)
    call(client, WAIT_FENCE, WaitFence(fence=fence, timeout=after(50)))


def test_call_made_again_after_its_deadline_times_out(client: Client, executor: FakeExecutor) -> None:
    fence = client.submit((BLOCK,)).fence
    arg = WaitFence(fence=fence, timeout=after(0.02))
    pending(client, WAIT_FENCE, arg).wait()
    fails(errno.ETIMEDOUT, lambda: call(client, WAIT_FENCE, arg))
    fails(errno.ETIMEDOUT, lambda: call(client, WAIT_FENCE, WaitFence(fence=fence, timeout=Timespec())))


def test_full_command_memory_is_waited_for_and_nothing_is_taken(client: Client, executor: FakeExecutor) -> None:
    words = np.zeros(16000, np.uint32)
    client.submit((BLOCK,))
    arg = GemSubmit(stream=words.ctypes.data, stream_size=words.nbytes, flags=SOFTPIN | SubmitFlag.FENCE_FD_OUT)
    descriptors: list[int] = []
    with pytest.raises(Pending) as caught:
        while True:
            again = GemSubmit.from_buffer_copy(arg)
            call(client, GEM_SUBMIT, again)
            descriptors.append(again.fence_fd)
    assert caught.value.deadline is None and arg.fence_fd == 0
    told = threading.Event()
    caught.value.signal.when_signalled(told.set)
    executor.release.set()
    assert told.wait(20)
    call(client, GEM_SUBMIT, arg)
    client.wait(arg.fence)
    for descriptor in (*descriptors, arg.fence_fd):
        client.kernel.close(descriptor)


def test_end_of_the_device_ends_all_waits(executor: FakeExecutor, kernel: VirtualKernel) -> None:
    client = Client(kernel)
    fence = client.submit((BLOCK,)).fence
    told = threading.Event()
    pending(client, WAIT_FENCE, WaitFence(fence=fence, timeout=after(50))).signal.when_signalled(told.set)
    threading.Timer(0.05, executor.release.set).start()
    file, device = file_of(client), kernel.device
    device.shutdown()
    assert told.wait(20)
    arg = GetParam(param=1)
    fails(errno.ENODEV, lambda: device.call(file, GET_PARAM.number, arg, CALLER))
    fails(errno.ENODEV, device.open)


@pytest.mark.parametrize("close", [VirtualDevice.release, lambda device, file: device.sweep()], ids=["told", "found"])
def test_released_file_answers_no_more(
    kernel: VirtualKernel, close: Callable[[VirtualDevice, OpenFile], object]
) -> None:
    device = kernel.device
    file = device.open()
    os.close(file.client_fd)
    close(device, file)
    assert device.file(file.number) is None
    fails(errno.EBADF, lambda: device.call(file, GET_PARAM.number, GetParam(param=1), CALLER))
    device.release(file)
    assert device.sweep() == []


def test_copy_of_a_descriptor_is_the_same_open_file(kernel: VirtualKernel) -> None:
    client, other = Client(kernel), Client(kernel)
    copy = os.dup(client.fd)
    GET_PARAM(kernel, copy, param=1)
    handle = client.new()
    assert Client.new(other) == handle  # each counts its own
    client.fd = copy
    assert client.new() == handle + 1
    os.close(copy)
    kernel.close(other.fd)


def test_unknown_descriptors_are_nobodys(kernel: VirtualKernel) -> None:
    identity = FileIdentity.of(0)
    assert not kernel.device.is_sync_file(identity) and not kernel.device.is_dma_buf(identity)
    fails(errno.EBADF, lambda: kernel.device.sync_call(identity, 0xC0383E04, 0, CALLER))
    fails(errno.ENOENT, lambda: kernel.open(RENDER_NODE + "0", os.O_RDWR))
