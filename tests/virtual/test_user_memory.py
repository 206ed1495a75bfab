# SPDX-License-Identifier: MIT
import ctypes
import errno
import mmap
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornito.virtual.etnaviv.user_memory import UserMemory

MEMORY = UserMemory(os.getpid())


def test_read_and_write_reach_the_process() -> None:
    room = ctypes.create_string_buffer(b"abcdef", 6)
    MEMORY.write(ctypes.addressof(room) + 1, b"XY")
    assert MEMORY.read(ctypes.addressof(room), 6) == b"aXYdef"


def test_nothing_at_a_bad_pointer_is_no_error() -> None:
    MEMORY.write(0, b"")
    assert MEMORY.read(1 << 70, 0) == b""


@given(st.sampled_from([0, 1, 4095, 1 << 47, 1 << 63, (1 << 64) - 1, 1 << 64, -1]), st.integers(1, 1 << 13))
def test_bad_pointer_is_efault(address: int, length: int) -> None:
    for call in (lambda: MEMORY.read(address, length), lambda: MEMORY.write(address, bytes(length))):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.EFAULT


@pytest.mark.parametrize("length", [1, 4096, 4097, 100_000])
def test_any_length_is_read_and_written(length: int) -> None:
    room = ctypes.create_string_buffer(length + 1)
    content = bytes(number % 251 for number in range(length))
    MEMORY.write(ctypes.addressof(room), content)
    assert (room.raw[:length], room.raw[length]) == (content, 0)
    assert MEMORY.read(ctypes.addressof(room), length) == content


def test_memory_can_be_reached_by_file_where_the_call_is_forbidden() -> None:
    room = ctypes.create_string_buffer(b"abcdef", 6)
    part = memoryview(bytearray(3))
    assert MEMORY._by_file(False, part, ctypes.addressof(room) + 1)
    assert bytes(part) == b"bcd"
    part[:] = b"XYZ"
    assert MEMORY._by_file(True, part, ctypes.addressof(room))
    assert room.raw == b"XYZdef"
    with pytest.raises(OSError):
        MEMORY._by_file(False, part, 16)


def test_range_that_runs_off_its_mapping_is_efault() -> None:
    libc = ctypes.CDLL(None)
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mmap.restype = ctypes.c_void_p
    base = libc.mmap(None, 8192, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    assert libc.munmap(base + 4096, 4096) == 0
    try:
        assert MEMORY.read(base + 4000, 96) == bytes(96)
        with pytest.raises(OSError) as caught:
            MEMORY.read(base + 4000, 97)
        assert caught.value.errno == errno.EFAULT
    finally:
        libc.munmap(base, 4096)
