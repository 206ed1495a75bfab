# SPDX-License-Identifier: MIT
"""Is an open file known, and its end seen, whatever its clients do with descriptors and however they end?"""

import mmap
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from hornito.virtual.etnaviv.pool import Pool

ME = os.getpid()


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool("test")
    yield pool
    pool.close()


def test_descriptor_is_known_by_its_open_file_however_it_was_copied(pool: Pool) -> None:
    files = [pool.open_file() for _ in range(3)]
    for number, fd in files:
        copy = os.dup(fd)
        assert [pool.identify(ME, fd), pool.identify(ME, copy)] == [number, number]
        os.close(copy)
    for _, fd in files:
        os.close(fd)


def test_descriptor_is_known_after_its_position_has_moved(pool: Pool) -> None:
    (_, first), (number, fd) = pool.open_file(), pool.open_file()
    pool.allocate(4096)
    os.read(fd, 100)
    os.lseek(fd, 1, os.SEEK_SET)
    assert pool.identify(ME, fd) == number
    os.close(first)
    os.close(fd)


def test_other_files_are_none_of_the_pool(pool: Pool) -> None:
    other = Pool("test")
    _, fd = other.open_file()
    assert [pool.identify(ME, fd), pool.identify(ME, other.fd)] == [None, None]
    os.close(fd)
    other.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        pool.identify(ME, fd)


def test_file_that_is_still_open_somewhere_is_not_gone(pool: Pool) -> None:
    """A copy, a message under way, a mapping: each alone keeps it."""
    number, fd = pool.open_file()
    pool.allocate(4096)
    copy = os.dup(fd)
    os.close(fd)
    assert pool.gone() == []
    here, there = socket.socketpair()
    socket.send_fds(here, [b"x"], [copy])
    os.close(copy)
    assert pool.gone() == []
    _, [received], _, _ = socket.recv_fds(there, 1, 1)
    view = mmap.mmap(received, 4096)  # holds a copy of its own ...
    os.close(received)
    assert pool.gone() == []
    view.close()
    assert (pool.gone(), pool.gone()) == ([number], [])
    here.close()
    there.close()


CHILD = """
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
fd = int(sys.argv[1])
if sys.argv[2] == "mapping":
    libc.mmap(None, 4096, 3, mmap.MAP_SHARED, fd, 0)
    os.close(fd)
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("what", ["descriptor", "mapping"])
def test_killed_process_is_seen_from_outside_and_wakes(pool: Pool, what: str) -> None:
    (number, fd), (_, other) = pool.open_file(), pool.open_file()
    pool.allocate(4096)
    poll = select.poll()
    poll.register(pool.wake_fd, select.POLLIN)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(fd), what], pass_fds=[fd], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin and child.stdout
    child.stdout.readline()
    if what == "descriptor":
        assert pool.identify(child.pid, fd) == number
    os.close(fd)
    assert (pool.gone(), poll.poll(0)) == ([], [])
    child.send_signal(signal.SIGKILL)
    child.wait(20)
    assert poll.poll(20_000)
    assert pool.gone() == [number]
    assert poll.poll(20_000)  # once more, in case that the first came too early
    assert (pool.gone(), poll.poll(50)) == ([], [])
    child.stdin.close()
    child.stdout.close()
    os.close(other)


def test_forked_child_keeps_it(pool: Pool) -> None:
    number, fd = pool.open_file()
    child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[fd])
    os.close(fd)
    assert pool.gone() == []
    assert child.stdin
    child.stdin.close()
    child.wait(20)
    assert pool.gone() == [number]


def test_pool_can_not_be_cut_and_numbers_are_not_used_twice(pool: Pool) -> None:
    pool.allocate(4096)
    number, fd = pool.open_file()
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)
    again, fd = pool.open_file()
    assert again > number
    os.close(fd)


def test_client_that_makes_the_pool_longer_harms_nobody(pool: Pool) -> None:
    _, fd = pool.open_file()
    first = pool.allocate(mmap.PAGESIZE)
    os.ftruncate(fd, 10 * mmap.PAGESIZE + 1)
    os.pwrite(fd, b"\xff", 5 * mmap.PAGESIZE)
    second = pool.allocate(mmap.PAGESIZE)
    assert second >= first + 10 * mmap.PAGESIZE
    assert os.pread(fd, mmap.PAGESIZE, second) == bytes(mmap.PAGESIZE)
    os.close(fd)


def test_end_of_a_dma_buf_wakes_too(pool: Pool) -> None:
    poll = select.poll()
    poll.register(pool.wake_fd, select.POLLIN)
    file = pool.new_dma_buf(4096)
    _, fd = file.create(os.O_WRONLY)
    copy = os.dup(fd)
    os.close(fd)
    assert (poll.poll(0), file.any_open()) == ([], True)
    os.close(copy)
    assert poll.poll(20_000)
    assert not file.any_open()
    file.close()


def test_closed_pool_has_no_open_files_and_leaves_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    pool = Pool("test")
    _, fd = pool.open_file()
    assert pool.wake_fd >= 0
    pool.close()
    os.close(fd)
    assert pool.gone() == []
    assert len(os.listdir("/proc/self/fd")) == before
