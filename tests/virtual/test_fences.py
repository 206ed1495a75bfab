# SPDX-License-Identifier: MIT
"""Is who waits told, once, whenever it happens? And is a sync file what its fence is, until nobody has it?"""

import os
import select
import threading
import time

from hornito.virtual.etnaviv.caller import FileIdentity
from hornito.virtual.etnaviv.fences import Fence, Pending, Signal
from hornito.virtual.etnaviv.sync_files import SyncFiles


def test_functions_are_called_once_before_and_after() -> None:
    signal, told = Signal(), list[int]()
    signal.when_signalled(lambda: told.append(1))
    assert told == []
    signal.happen()
    signal.when_signalled(lambda: told.append(2))
    signal.happen()
    assert told == [1, 2]


def test_forgotten_function_is_not_called() -> None:
    signal, event = Signal(), threading.Event()
    signal.when_signalled(event.set)
    signal.forget(event.set)
    signal.forget(event.set)
    signal.happen()
    signal.forget(event.set)
    assert not event.is_set()


def test_first_end_of_a_fence_counts() -> None:
    fence = Fence(1)
    fence.signal(-5)
    fence.signal(1)
    assert (fence.status, fence.pending, 0 < fence.time <= time.monotonic_ns()) == (-5, False, True)


def test_waiting_ends_by_the_signal_or_the_deadline() -> None:
    fence = Fence(1)
    Pending(fence, time.monotonic() - 1).wait()
    Pending(fence, time.monotonic() + 0.01).wait()
    threading.Timer(0.01, fence.signal, [1]).start()
    Pending(fence).wait()
    Pending(fence, float("inf")).wait()


def readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def test_sync_files_show_their_fences_and_are_forgotten_with_the_last_descriptor() -> None:
    files, fence = SyncFiles(), Fence(7)
    early = files.create([fence], b"test")
    copy = os.dup(early)
    assert not readable(early) and not os.get_inheritable(early)
    fence.signal(-125)
    late = files.create([fence], b"test")
    assert readable(early) and readable(late) and readable(copy)
    identity = FileIdentity.of(early)
    assert identity == FileIdentity.of(copy) != FileIdentity.of(late)
    os.close(early)
    files.sweep()
    found = files.find(identity)
    assert found is not None and found.status == -125
    os.close(copy)
    files.sweep()
    assert files.find(identity) is None
    os.close(late)
    files.close()


def test_closed_sync_files_do_not_pile_up() -> None:
    before = len(os.listdir("/proc/self/fd"))
    files = SyncFiles()
    fence = Fence(1)
    for _ in range(1000):
        os.close(files.create([fence], b"test"))
    assert len(os.listdir("/proc/self/fd")) < before + 150
    files.sweep()
    assert len(os.listdir("/proc/self/fd")) == before
