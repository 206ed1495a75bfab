# SPDX-License-Identifier: MIT
"""Are calls made in their caller's place as the kernel would make them, and waits answered when they may be?"""

import ctypes
import errno
import os
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hornito.supervisor.relay.calls import Call
from hornito.supervisor.relay.exchange import Exchange
from hornito.supervisor.relay.files import RelayedFile
from hornito.supervisor.relay.jobs import RelayedJob
from hornito.supervisor.relay.waits import wait_fence
from hornito.uapi.etnaviv import GET_PARAM, WAIT_FENCE, GemUserPtr, GetParam, Wait, WaitFence
from hornito.uapi.ioctl import Struct
from hornito.virtual.etnaviv.fences import Pending
from hornito.virtual.etnaviv.user_memory import UserMemory


class Odd:
    """A ``Kernel`` whose calls raise these errors, one after the other, and then succeed."""

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)
        self.calls = 0

    def ioctl(self, fd: int, request: int, arg: Any) -> int:
        self.calls += 1
        if self.errors:
            code = self.errors.pop(0)
            raise OSError(code, os.strerror(code))
        return 0


def exchange_of(kernel: Odd, request: int, argument: Struct) -> Exchange:
    return Exchange(cast(Any, kernel), -1, cast(Any, UserMemory(os.getpid())), request, ctypes.addressof(argument))


def test_a_signal_of_ours_is_none_of_the_caller_s() -> None:
    kernel = Odd(errno.EINTR, errno.EINTR)
    exchange = exchange_of(kernel, GET_PARAM.number, GetParam())
    with exchange.of(GetParam):
        exchange.make()
    assert kernel.calls == 3


def waits(kernel: Odd, argument: WaitFence, *jobs: RelayedJob) -> None:
    exchange = exchange_of(kernel, WAIT_FENCE.number, argument)
    call = SimpleNamespace(exchange=exchange, jobs=SimpleNamespace(unsettled=list(jobs)))
    wait_fence(cast(Call, call))


def job(pipe: int, fence: int) -> RelayedJob:
    return RelayedJob(cast(RelayedFile, None), pipe, b"", (), fence=fence)


def test_a_client_goes_on_once_what_its_job_left_has_been_looked_at() -> None:
    """It may write to its buffers at once."""
    one = job(0, 7)
    with pytest.raises(Pending) as pending:
        waits(Odd(), WaitFence(pipe=0, fence=7, flags=int(Wait.NONBLOCK)), one)
    assert pending.value.signal is one.settled
    waits(Odd(), WaitFence(pipe=0, fence=7, flags=int(Wait.NONBLOCK)))


def test_fences_of_another_core_are_others() -> None:
    waits(Odd(), WaitFence(pipe=0, fence=7, flags=int(Wait.NONBLOCK)), job(1, 7), job(0, 8))


class Thread:
    """Who makes calls: we ourselves."""

    pid = 1
    process = os.getpid()


def test_a_refused_userptr_changes_no_buffer() -> None:
    file = RelayedFile(cast(Any, Odd(errno.ENOENT)), 1, -1, (1, 1))
    file.add(7, 4096)
    known = file.known(7)
    argument = GemUserPtr(user_ptr=0x1000, user_size=4096, handle=7)  # of an earlier call
    file.passed_on(cast(Any, Thread()), ctypes.addressof(argument), GemUserPtr.from_buffer_copy(argument))
    file.returned(1)
    assert file.find(7) is known
    argument.handle = 8  # whatever lies there later
    file.passed_on(cast(Any, Thread()), ctypes.addressof(argument), GemUserPtr.from_buffer_copy(argument))
    argument.handle = 7
    file.returned(1)
    assert file.find(7) is known
