# SPDX-License-Identifier: MIT
"""Do sync files say what became of jobs, one by one or merged, by Linux's checks?"""

import ctypes
import errno
import os
import select
import time

import pytest

from hornito.uapi.etnaviv import SubmitFlag
from hornito.uapi.sync_file import (
    SYNC_IOC_FILE_INFO,
    SYNC_IOC_MERGE,
    SYNC_IOC_SET_DEADLINE,
    SyncFenceInfo,
    SyncFileInfo,
)
from hornito.virtual.kernel import VirtualKernel
from tests.fake_executor import BLOCK, FAULT, NOTHING, FakeExecutor
from tests.virtual.client import SOFTPIN, Client, descriptors, fails

OUT = SOFTPIN | SubmitFlag.FENCE_FD_OUT


def info(client: Client, fd: int, room: int) -> tuple[SyncFileInfo, list[SyncFenceInfo]]:
    fences = (SyncFenceInfo * max(1, room))()
    found = SYNC_IOC_FILE_INFO(client.kernel, fd, num_fences=room, sync_fence_info=ctypes.addressof(fences))
    return found, list(fences)[: found.num_fences]


def merged(client: Client, fd: int, other: int) -> int:
    result: int = SYNC_IOC_MERGE(client.kernel, fd, fd2=other, name=b"both").fence
    return result


def readable(fd: int, milliseconds: int = 0) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return poll.poll(milliseconds) == [(fd, select.POLLIN)]


def test_numbers_are_those_of_the_header() -> None:
    assert [SYNC_IOC_MERGE.number, SYNC_IOC_FILE_INFO.number] == [0xC0303E03, 0xC0383E04]
    assert (SYNC_IOC_SET_DEADLINE.number, ctypes.sizeof(SyncFenceInfo)) == (0x40103E05, 80)


@pytest.mark.parametrize(("order", "status"), [((NOTHING,), 1), ((FAULT, 1, 1), -errno.ECANCELED)])
def test_room_for_fences_is_filled(client: Client, order: tuple[int, ...], status: int) -> None:
    begin = time.monotonic_ns()
    submit = client.submit(order, flags=OUT)
    client.wait(submit.fence)
    found, [fence] = info(client, submit.fence_fd, 3)
    assert (found.status, found.num_fences, found.flags) == (status, 1, 0)
    assert found.name == b"drm_sched-npu1-%d" % submit.fence
    assert (fence.obj_name, fence.driver_name, fence.status) == (b"npu", b"drm_sched", status)
    assert begin < fence.timestamp_ns <= time.monotonic_ns()
    client.kernel.close(submit.fence_fd)


def test_no_room_gives_the_number_and_bad_room_is_efault(client: Client) -> None:
    fd = client.submit((NOTHING,), flags=OUT).fence_fd
    assert SYNC_IOC_FILE_INFO(client.kernel, fd, sync_fence_info=8).num_fences == 1
    fails(errno.EFAULT, lambda: SYNC_IOC_FILE_INFO(client.kernel, fd, num_fences=1, sync_fence_info=8))
    client.kernel.close(fd)


def test_fields_that_must_be_zero(client: Client) -> None:
    kernel, fd = client.kernel, client.submit((NOTHING,), flags=OUT).fence_fd
    for field in ("flags", "pad"):
        fails(errno.EINVAL, lambda field=field: SYNC_IOC_FILE_INFO(kernel, fd, **{field: 1}))  # type: ignore[misc]
        fails(errno.EINVAL, lambda field=field: SYNC_IOC_MERGE(kernel, fd, fd2=fd, **{field: 1}))  # type: ignore[misc]
    fails(errno.EINVAL, lambda: SYNC_IOC_SET_DEADLINE(kernel, fd, pad=1))
    SYNC_IOC_SET_DEADLINE(kernel, fd, deadline_ns=1)
    for other in (-1, 0, client.fd, 10_000):
        fails(errno.ENOENT, lambda other=other: merged(client, fd, other))  # type: ignore[misc]
    fails(errno.ENOTTY, lambda: kernel.ioctl(fd, SYNC_IOC_FILE_INFO.number | 5, 0))
    kernel.close(fd)


def test_merged_file_signals_with_the_last_and_tells_of_all(
    kernel: VirtualKernel, client: Client, executor: FakeExecutor
) -> None:
    other = Client(kernel)
    blocked = client.submit((BLOCK,), flags=OUT)
    killed = other.submit((FAULT, 1, 1), flags=OUT)
    both = merged(client, blocked.fence_fd, killed.fence_fd)
    assert not readable(both) and not os.get_inheritable(both)
    fails(errno.EINVAL, lambda: info(client, both, 1))
    found, fences = info(client, both, 2)
    assert (found.status, found.name, [fence.status for fence in fences]) == (0, b"both", [0, 0])
    executor.release.set()
    assert readable(both, 20_000)
    found, fences = info(client, both, 5)
    assert (found.status, [fence.status for fence in fences]) == (-errno.ECANCELED, [1, -errno.ECANCELED])
    for fd in (both, blocked.fence_fd, killed.fence_fd, other.fd):
        kernel.close(fd)


def test_killed_job_tells_before_one_that_is_pending_where_both_are_listed(
    kernel: VirtualKernel, client: Client, executor: FakeExecutor
) -> None:
    other = Client(kernel)
    block, killed, blocked = (
        client.submit((BLOCK,)),
        client.submit((FAULT, 1, 1), flags=OUT),
        other.submit((BLOCK,), flags=OUT),
    )
    both = merged(client, killed.fence_fd, blocked.fence_fd)
    executor.release.set()
    client.wait(killed.fence)
    assert executor.orders[0] == [BLOCK] and block.fence < killed.fence
    found, fences = info(client, both, 2)
    assert found.status == fences[0].status == -errno.ECANCELED
    other.wait(blocked.fence)
    for fd in (both, killed.fence_fd, blocked.fence_fd, other.fd):
        kernel.close(fd)


def test_of_one_clients_jobs_the_last_counts(client: Client, executor: FakeExecutor) -> None:
    files = [client.submit((BLOCK,), flags=OUT).fence_fd for _ in range(3)]
    both = merged(client, files[2], merged(client, files[0], files[1]))
    found, [fence] = info(client, both, 1)
    assert (found.status, fence.status) == (0, 0)
    executor.release.set()
    assert readable(both, 20_000) and all(readable(fd) for fd in files)


@pytest.mark.parametrize("turned", [False, True])
def test_a_merge_of_one_clients_jobs_ends_as_the_last_of_them(
    client: Client, executor: FakeExecutor, turned: bool
) -> None:
    files = [client.submit(order, flags=OUT).fence_fd for order in ((BLOCK,), (FAULT, 1, 1))]
    both = merged(client, *reversed(files)) if turned else merged(client, *files)
    executor.release.set()
    assert readable(both, 20_000)
    assert info(client, both, 1)[0].status == -errno.ECANCELED


def test_what_has_signalled_is_left_out_of_a_merge(client: Client) -> None:
    submits = []
    for order in ((FAULT, 1, 1), (NOTHING,)):
        submits.append(client.submit(order, flags=OUT))
        client.wait(submits[-1].fence)
    both = merged(client, submits[0].fence_fd, submits[1].fence_fd)
    assert readable(both)
    found, [fence] = info(client, both, 1)
    assert (found.status, fence.status) == (1, 1)
    for fd in (both, *(submit.fence_fd for submit in submits)):
        client.kernel.close(fd)


def test_job_waits_for_sync_files_of_any_state(client: Client, executor: FakeExecutor) -> None:
    done, killed = (client.submit(order, flags=OUT) for order in ((NOTHING,), (FAULT, 1, 1)))
    client.wait(killed.fence)  # else recovery might take along what is submitted behind it
    blocked = client.submit((BLOCK,), flags=OUT)
    both = merged(client, done.fence_fd, blocked.fence_fd)
    flags = OUT | SubmitFlag.FENCE_FD_IN
    jobs = []
    for fence_fd in (done.fence_fd, killed.fence_fd, blocked.fence_fd, both):
        jobs.append(client.submit((NOTHING,), flags=flags, fence_fd=fence_fd))
        assert jobs[-1].fence_fd != fence_fd
    client.kernel.close(both)
    assert not readable(jobs[-1].fence_fd)
    executor.release.set()
    assert [client.status(job) for job in jobs] == [1] * 4
    for submit in (done, killed, blocked):
        client.kernel.close(submit.fence_fd)


def test_no_fence_wanted_leaves_no_descriptor_in_the_field(client: Client) -> None:
    assert client.submit((NOTHING,), fence_fd=77).fence_fd == -1


def test_sync_files_of_a_dead_client_are_forgotten(kernel: VirtualKernel) -> None:
    before = descriptors()
    client = Client(kernel)
    fds = [client.submit((NOTHING,), flags=OUT).fence_fd for _ in range(5)]
    for fd in (client.fd, *fds):
        os.close(fd)
    assert len(kernel.device.sweep()) == 1
    assert descriptors() == before
