# SPDX-License-Identifier: MIT
"""How does a client wait without keeping the others from being answered? It is found out whether the kernel would let
it wait; then it waits here, for our own jobs as for those of strangers."""

import contextlib
import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hornito.supervisor.relay.calls import Call, Way
from hornito.supervisor.relay.jobs import RelayedJob
from hornito.supervisor.relay.slow import IsWanted
from hornito.supervisor.served import PassOn
from hornito.uapi import etnaviv
from hornito.uapi.etnaviv import GemCpuPrep, GemWait, Prep, SubmitBoFlag, Timespec, Wait, WaitFence
from hornito.uapi.ioctl import Ioctl
from hornito.virtual.etnaviv.fences import Pending

_SLICE = 0.25  # seconds that a thread waits before it asks whether anybody still wants to know
_BILLION = 1_000_000_000


@dataclass(frozen=True)
class _Waiting:
    """A call that may wait: its argument, the field and the flag that keep it from waiting, and jobs of ours that it
    waits for."""

    call: Call
    arg: GemCpuPrep | WaitFence | GemWait
    field: str
    flag: int
    jobs: list[RelayedJob]

    def settle(self) -> None:
        """Make it, or raise Pending; OSError."""
        exchange, flags = self.call.exchange, getattr(self.arg, self.field)
        try:
            with exchange.exchanged(self.arg, self.field, flags | self.flag):
                exchange.make()
        except OSError as error:
            if error.errno != errno.EBUSY or flags & self.flag:
                raise
        else:
            if self.jobs:  # they have ended, and what they left is being looked at
                raise Pending(self.jobs[-1].settled)
            return
        deadline = _seconds(self.arg.timeout)
        if deadline <= time.monotonic():
            exchange.make()
        elif self.jobs:
            raise Pending(self.jobs[-1].settled, deadline)
        else:
            raise self._wait_for_a_stranger(deadline)

    def _wait_for_a_stranger(self, deadline: float) -> Pending:
        call, exchange = self.call, self.call.exchange

        def begin() -> Callable[[IsWanted], None]:
            argument = type(self.arg).from_buffer_copy(bytes(self.arg))
            fd = os.dup(exchange.fd)  # the file may end before the thread does

            def wait(is_wanted: IsWanted) -> None:
                try:
                    while is_wanted() and time.monotonic() < deadline:
                        argument.timeout = _timespec(min(deadline, time.monotonic() + _SLICE))
                        try:
                            call.kernel.ioctl(fd, exchange.request, argument)
                            return
                        except OSError as error:
                            if error.errno not in (errno.ETIMEDOUT, errno.EINTR):
                                raise
                finally:
                    os.close(fd)

            return wait

        return call.slow.wait(exchange.caller.pid, exchange.caller.ticket, deadline, begin)


def wait_fence(call: Call) -> None:
    with call.exchange.of(WaitFence) as arg:
        jobs = [job for job in call.jobs.unsettled if (job.pipe, job.fence) == (arg.pipe, arg.fence)]
        _Waiting(call, arg, "flags", int(Wait.NONBLOCK), jobs).settle()


def gem_wait(call: Call) -> None:
    with call.exchange.of(GemWait) as arg:
        _Waiting(call, arg, "flags", int(Wait.NONBLOCK), _users(call, arg.handle, 0)).settle()


def cpu_prep(call: Call) -> None:
    with call.exchange.of(GemCpuPrep) as arg:
        flags = 0 if arg.op & Prep.WRITE else int(SubmitBoFlag.WRITE)
        buffer = call.file.known(arg.handle)
        try:
            with contextlib.nullcontext() if buffer is None else buffer.taken_up():
                _Waiting(call, arg, "op", int(Prep.NOSYNC), _users(call, arg.handle, flags)).settle()
        except OSError as error:
            if error.errno == errno.EPERM and call.file.has_client_memory:
                raise PassOn from None  # its own process must be the one that pins it
            raise


def _users(call: Call, handle: int, flags: int) -> list[RelayedJob]:
    """The jobs of ours that use that buffer, with these flags."""
    buffer = call.file.known(handle)
    return [
        job
        for job in call.jobs.unsettled
        if any(use.buffer is buffer and use.flags & flags == flags for use in job.uses) and buffer is not None
    ]


def _seconds(until: Timespec) -> float:
    return until.tv_sec + until.tv_nsec / 1e9


def _timespec(seconds: float) -> Timespec:
    whole = int(seconds)
    return Timespec(tv_sec=whole, tv_nsec=int((seconds - whole) * _BILLION))


WAYS: tuple[tuple[Ioctl[Any], Way], ...] = (
    (etnaviv.WAIT_FENCE, wait_fence),
    (etnaviv.GEM_WAIT, gem_wait),
    (etnaviv.GEM_CPU_PREP, cpu_prep),
)
