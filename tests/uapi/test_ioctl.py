# SPDX-License-Identifier: MIT
import ctypes
import errno
import mmap
import os
import termios
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornito.errors import FieldRangeError
from hornito.uapi.etnaviv import GEM_NEW, BoFlag, GemCpuPrep, GemNew, Timespec
from hornito.uapi.kernel import Kernel, RealKernel


class Answers:
    """A kernel that gives the errors of a list, one a call, and then fills in a handle."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.requests: list[int] = []

    def open(self, path: str, flags: int) -> int:
        raise AssertionError("not asked for")

    def close(self, fd: int) -> None:
        raise AssertionError("not asked for")

    def ioctl(self, fd: int, request: int, arg: ctypes.Structure | int) -> int:
        self.requests.append(request)
        if self.codes:
            raise OSError(self.codes.pop(0), "kernel says no")
        assert isinstance(arg, GemNew)
        arg.handle = 7
        return 0

    def mmap(self, fd: int, length: int, offset: int) -> mmap.mmap:
        raise AssertionError("not asked for")

    def messages(self, fd: int) -> list[str]:
        return []


@pytest.mark.parametrize("value", [-1, 1 << 32, 1 << 64])
def test_integer_beyond_its_field_is_refused(value: int) -> None:
    with pytest.raises(FieldRangeError, match=r"GemNew.flags = .*: the field holds 0\.\.4294967295"):
        GemNew(flags=value)
    struct = GemNew()
    with pytest.raises(FieldRangeError):
        struct.flags = value
    assert struct.flags == 0


@given(st.integers(-(1 << 65), 1 << 65))
def test_signed_field_keeps_what_it_holds_and_refuses_the_rest(value: int) -> None:
    if -(1 << 63) <= value < 1 << 63:
        assert Timespec(tv_sec=value).tv_sec == value
    else:
        with pytest.raises(FieldRangeError):
            Timespec(tv_sec=value)


def test_misspelt_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="GemNew has no field 'handel'; it has size, flags, handle"):
        GemNew(handel=1)


def test_value_that_is_no_integer_is_refused() -> None:
    with pytest.raises(TypeError):
        GemNew(size=4096.0)


def test_struct_shows_its_fields() -> None:
    struct = GemCpuPrep(handle=3, op=1, timeout=Timespec(tv_sec=5))
    assert repr(struct) == "GemCpuPrep(handle=3, op=1, timeout=Timespec(tv_sec=5, tv_nsec=0))"


def test_call_gives_the_filled_struct() -> None:
    kernel: Kernel = Answers()
    assert GEM_NEW(kernel, 3, size=4096, flags=BoFlag.WC).handle == 7


def test_call_takes_a_struct_of_ones_own() -> None:
    mine = GemNew(size=4096)
    assert GEM_NEW(Answers(), 3, mine) is mine
    assert mine.handle == 7


def test_interrupted_call_is_repeated() -> None:
    kernel = Answers(errno.EINTR, errno.EAGAIN, errno.EINTR)
    assert GEM_NEW(kernel, 3).handle == 7
    assert kernel.requests == [0xC0106442] * 4


def test_failure_names_ioctl_errno_and_arguments() -> None:
    with pytest.raises(
        OSError, match=r"GEM_NEW: Cannot allocate memory \(size=4096, flags=0x20000, handle=0\)"
    ) as caught:
        GEM_NEW(Answers(errno.ENOMEM), 3, size=4096, flags=BoFlag.WC)
    assert caught.value.errno == errno.ENOMEM


def test_real_kernel_opens_maps_and_closes(tmp_path: Path) -> None:
    kernel: Kernel = RealKernel()
    path = tmp_path / "file"
    path.write_bytes(bytes(8192))
    fd = kernel.open(str(path), os.O_RDWR)
    with kernel.mmap(fd, 4096, 4096) as view:
        view[0] = 1
    assert not os.get_inheritable(fd)
    kernel.close(fd)
    assert path.read_bytes()[4096] == 1


def test_real_kernel_reports_what_the_system_says() -> None:
    kernel = RealKernel()
    with open("/dev/null", "rb") as file, pytest.raises(OSError) as caught:
        GEM_NEW(kernel, file.fileno(), size=4096)
    assert caught.value.errno == errno.ENOTTY


def test_integer_argument_is_a_whole_pointer() -> None:
    place = ctypes.c_int()
    assert ctypes.addressof(place) >> 32
    reader, writer = os.pipe()
    os.write(writer, b"abc")
    RealKernel().ioctl(reader, termios.FIONREAD, ctypes.addressof(place))
    assert place.value == 3
    with pytest.raises(OSError) as caught:
        RealKernel().ioctl(reader, termios.FIONREAD, 8)
    assert caught.value.errno == errno.EFAULT
    os.close(reader)
    os.close(writer)
