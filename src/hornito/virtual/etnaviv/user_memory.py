# SPDX-License-Identifier: MIT
"""How does the virtual kernel follow a client's pointers? By the one reader and writer of memory that can't crash."""

import contextlib
import ctypes
import errno
import mmap
import os
import threading

_libc = ctypes.CDLL(None, use_errno=True)


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_uint64), ("length", ctypes.c_uint64)]  # a client's pointer is only a number here


for _call in (_libc.process_vm_readv, _libc.process_vm_writev):
    _call.restype = ctypes.c_ssize_t
    _call.argtypes = [
        ctypes.c_int,
        *(ctypes.POINTER(_Iovec), ctypes.c_ulong, ctypes.POINTER(_Iovec), ctypes.c_ulong),
        ctypes.c_ulong,
    ]

_ADDRESSES = 1 << 64
_PAGE = mmap.PAGESIZE


class _Scratch(threading.local):
    """A thread's own page for what is small: making one for each call would take longer than the call."""

    def __init__(self) -> None:
        self.bytes = bytearray(_PAGE)
        self.here = (ctypes.c_char * _PAGE).from_buffer(self.bytes)
        self.address = ctypes.addressof(self.here)
        self.local, self.remote = _Iovec(), _Iovec()
        self.vectors = ctypes.byref(self.local), ctypes.byref(self.remote)


_scratch = _Scratch()


class UserMemory:
    """The memory of the process ``pid``. A range that is not mapped whole gives OSError with EFAULT."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def read(self, address: int, length: int) -> bytearray:
        """``length`` bytes from ``address``."""
        if length > _PAGE:
            content = bytearray(length)
            here = (ctypes.c_char * length).from_buffer(content)
            self._transfer(_libc.process_vm_readv, here, ctypes.addressof(here), address, length)
            return content
        if length:
            self._transfer(_libc.process_vm_readv, _scratch.here, _scratch.address, address, length)
        return _scratch.bytes[:length]

    def write(self, address: int, content: bytes | bytearray) -> None:
        """Put ``content`` at ``address``. Where that fails, a first part of it may have been written."""
        length = len(content)
        if length > _PAGE:
            here = (ctypes.c_char * length).from_buffer_copy(content)
            self._transfer(_libc.process_vm_writev, here, ctypes.addressof(here), address, length)
        elif length:
            _scratch.bytes[:length] = content
            self._transfer(_libc.process_vm_writev, _scratch.here, _scratch.address, address, length)

    @property
    def process(self) -> int:
        """The process that ``pid``, which may be a thread's, belongs to. Raises OSError with ESRCH."""
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("Tgid:"):
                    return int(line.split()[1])
        raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))

    def pin(self, address: int, length: int, writable: bool) -> "PinnedMemory":
        """Take hold of what is mapped there, all readable, and writable if so wanted. Raises OSError with EFAULT."""
        try:
            fd = os.open(f"/proc/{self.pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT)) from None
        try:
            self._check_access(address, length, "w" if writable else "r")
        except OSError:
            os.close(fd)
            raise
        return PinnedMemory(fd, address, length)

    def _check_access(self, address: int, length: int, wanted: str) -> None:
        reached = address
        with contextlib.suppress(OSError), open(f"/proc/{self.pid}/maps", encoding="utf-8", errors="replace") as maps:
            for line in maps:
                place, access = line.split(maxsplit=2)[:2]
                start, _, end = place.partition("-")
                if int(end, 16) <= reached:
                    continue
                if int(start, 16) > reached or wanted not in access:
                    break
                reached = int(end, 16)
                if reached >= address + length:
                    return
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))

    def _transfer(
        self, call: "ctypes._FuncPointer", room: "ctypes.Array[ctypes.c_char]", here: int, there: int, length: int
    ) -> None:
        """Between ``here``, the beginning of ``room``, and ``there``, in the other process."""
        if not 0 <= there <= _ADDRESSES - length:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        local, remote = _scratch.local, _scratch.remote
        local.base, local.length = here, length
        remote.base, remote.length = there, length
        vectors = _scratch.vectors
        done = call(self.pid, vectors[0], 1, vectors[1], 1, 0)
        if done == length:
            return
        code = errno.EFAULT if done >= 0 else ctypes.get_errno()
        part = memoryview(room)[:length]
        if code in (errno.EPERM, errno.ENOSYS) and self._by_file(call is _libc.process_vm_writev, part, there):
            return  # a sandbox that forbids the call, or does not know it
        raise OSError(code, os.strerror(code))

    def _by_file(self, write: bool, here: memoryview, there: int) -> bool:
        """The same by /proc; False where that is forbidden too. Raises OSError with EFAULT."""
        try:
            file = os.open(f"/proc/{self.pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            done = os.pwritev(file, [here], there) if write else os.preadv(file, [here], there)
        except (OSError, OverflowError):
            done = -1
        finally:
            os.close(file)
        if done != len(here):
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        return True


class PinnedMemory:
    """``length`` bytes of a process's memory from ``address`` on, for as long as it has them: once it has unmapped
    them, ended or become another program, nothing is read or written any more. ``fd``: of its memory, ours to close."""

    def __init__(self, fd: int, address: int, length: int) -> None:
        self._fd = fd
        self._address = address
        self._length = length

    def read(self, into: memoryview) -> None:
        """Bring ``into``, of the same length, up to date; pages that are gone stay as they are in it."""
        done = self._read(into, 0)
        while done < self._length:  # where a page is gone, those behind it may be there
            page = done // _PAGE * _PAGE + _PAGE
            done = page + self._read(into[page:], page) if page < self._length else self._length

    def write(self, offset: int, content: bytes) -> None:
        """Put ``content`` there, as far as the pages are there."""
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, content, self._address + offset)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._fd)

    def _read(self, into: memoryview, offset: int) -> int:
        try:
            return os.preadv(self._fd, [into], self._address + offset)
        except OSError:
            return 0
