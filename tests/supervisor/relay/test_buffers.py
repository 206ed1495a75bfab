# SPDX-License-Identifier: MIT
"""Is a buffer looked at without the client noticing, whichever way the CPU maps it? And is the node known?"""

import ctypes
import errno
import mmap
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hornito.supervisor.relay.buffers import ClientMemory, DeviceBuffer, Handle
from hornito.supervisor.relay.files import NodeByNumber
from hornito.trace.snapshots import Snapshots
from hornito.trace.writer import Keeper
from hornito.uapi.etnaviv import GEM_CPU_FINI, GEM_CPU_PREP, GEM_INFO, BoFlag, GemCpuFini, GemCpuPrep, GemInfo, Prep
from hornito.uapi.tables import ioctl_name

FD, HANDLE, SIZE = 7, 3, 8192


class CachedBuffer:
    """A ``Kernel`` with one buffer. What the device has written shows when the CPU's caches were told (CPU_PREP); to
    end what nobody began is a fault in Linux."""

    def __init__(self) -> None:
        self.device = bytearray(SIZE)
        self.seen = mmap.mmap(-1, SIZE)
        self.prepared = 0
        self.busy = False
        self.calls: list[str] = []

    def ioctl(self, fd: int, request: int, arg: ctypes.Structure | int) -> int:
        assert fd == FD
        self.calls.append(ioctl_name(request).removeprefix("DRM_IOCTL_ETNAVIV_"))
        match arg:
            case GemInfo(handle=int(handle)) if request == GEM_INFO.number:
                assert handle == HANDLE
                arg.offset = 4096
            case GemCpuPrep(op=int(op)) if request == GEM_CPU_PREP.number:
                assert op & Prep.NOSYNC
                if self.busy:
                    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
                self.prepared = op
                self.seen[:] = self.device
            case GemCpuFini() if request == GEM_CPU_FINI.number:
                assert self.prepared
                self.prepared = 0
            case _:
                raise AssertionError(hex(request))
        return 0

    def mmap(self, fd: int, length: int, offset: int) -> mmap.mmap:
        assert (fd, length, offset) == (FD, SIZE, 4096)
        return self.seen

    def open(self, path: str, flags: int) -> int:
        raise AssertionError

    def close(self, fd: int) -> None:
        raise AssertionError

    def messages(self, fd: int) -> list[str]:
        return []


def content(snapshots: Snapshots, memory: DeviceBuffer | ClientMemory) -> bytes:
    kept: list[bytes] = []

    class Keep(Keeper):
        def _keep(self, piece: bytes | memoryview) -> bytes:
            kept.append(bytes(piece))
            return super()._keep(piece)

    snapshots.take(memory).extents(Keep(lambda frame: None))
    return b"".join(kept)


@contextmanager
def raises(code: int) -> Iterator[None]:
    with pytest.raises(OSError) as caught:
        yield
    assert caught.value.errno == code


def test_a_cached_buffer_is_prepared_when_the_device_wrote_and_given_back() -> None:
    kernel, snapshots = CachedBuffer(), Snapshots()
    buffer = DeviceBuffer(Handle(kernel, FD, HANDLE), SIZE, BoFlag.CACHED)
    assert content(snapshots, buffer) == b""  # no job has written it: nothing is done to the caches
    assert kernel.calls == ["GEM_INFO"]
    kernel.device[:4] = b"one!"
    buffer.device_wrote()
    assert content(snapshots, buffer) == b"one!"
    kernel.device[:4] = b"two!"
    buffer.device_wrote()
    assert content(snapshots, buffer) == b"two!"
    assert kernel.prepared == 0


def test_a_buffer_that_the_client_holds_stays_held() -> None:
    kernel, snapshots = CachedBuffer(), Snapshots()
    buffer = DeviceBuffer(Handle(kernel, FD, HANDLE), SIZE, BoFlag.CACHED)
    buffer.device_wrote()
    buffer.held, kernel.prepared = True, Prep.WRITE
    kernel.seen[:4] = b"mine"
    assert content(snapshots, buffer) == b"mine"
    assert kernel.prepared == Prep.WRITE


def test_what_the_client_takes_up_during_a_look_is_not_given_back_for_it() -> None:
    for ends_it in (False, True):
        kernel = CachedBuffer()
        buffer = DeviceBuffer(Handle(kernel, FD, HANDLE), SIZE, BoFlag.CACHED)
        buffer.device_wrote()
        buffer.prepare()
        with buffer.taken_up():
            GEM_CPU_PREP(kernel, FD, handle=HANDLE, op=Prep.WRITE | Prep.NOSYNC)
        if ends_it:
            with buffer.given_back():
                GEM_CPU_FINI(kernel, FD, handle=HANDLE)
        buffer.finish()
        assert bool(kernel.prepared) is not ends_it


def test_a_buffer_that_is_busy_or_closed_is_not_looked_at() -> None:
    kernel, snapshots = CachedBuffer(), Snapshots()
    buffer = DeviceBuffer(Handle(kernel, FD, HANDLE), SIZE, BoFlag.CACHED)
    buffer.device_wrote()
    kernel.busy = True
    with raises(errno.EBUSY):
        snapshots.take(buffer)
    kernel.busy, buffer.closed = False, True
    with raises(errno.ENOENT):
        buffer.content()


def test_a_write_combined_buffer_is_looked_at_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, snapshots = CachedBuffer(), Snapshots()
    kernel.seen[:4] = b"here"
    assert content(snapshots, DeviceBuffer(Handle(kernel, FD, HANDLE), SIZE, BoFlag.WC)) == b"here"
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with raises(errno.EOPNOTSUPP):
        snapshots.take(DeviceBuffer(Handle(kernel, FD, HANDLE), SIZE, BoFlag.UNCACHED))


def test_a_client_s_memory_is_read_anew_for_each_look() -> None:
    room = ctypes.create_string_buffer(SIZE)
    handle, snapshots = Handle(CachedBuffer(), FD, HANDLE), Snapshots()
    memory = ClientMemory(handle, os.getpid(), ctypes.addressof(room), SIZE)
    room.raw = b"first".ljust(SIZE, b"\0")
    assert content(snapshots, memory) == b"first"
    room.raw = b"second".ljust(SIZE, b"\0")
    assert content(snapshots, memory) == b"second"
    with raises(errno.EFAULT):
        snapshots.take(ClientMemory(handle, os.getpid(), 0x1000, SIZE))


def test_nodes_of_the_same_device_are_recognised(tmp_path: Path) -> None:
    drm = tmp_path / "dev" / "char" / "1:3" / "device" / "drm"
    for name, number in (("card0", "1:5"), ("renderD128", "1:3"), ("odd", "nonsense")):
        (drm / name).mkdir(parents=True)
        (drm / name / "dev").write_text(f"{number}\n")
    which = NodeByNumber("/dev/null", tmp_path)
    assert [which.is_node(path) for path in ("/dev/null", "/dev/zero", "/dev/full", "/etc/passwd")] == [
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(OSError, match="/etc/passwd is no device"):
        NodeByNumber("/etc/passwd")
