# SPDX-License-Identifier: MIT
"""Which byte of the host's memory is a device address? One addition away, as in a real MMU.

4 GiB of the host's address space are reserved once (no memory, only addresses) and buffers are mapped into them where
the device sees them, so neighbouring buffers are one flat array. A table of intervals says what is mapped.
"""

import bisect
import ctypes
import mmap
import os
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.errors import BadInput, DeviceError
from hornito.virtual.faults import MMUFault

SPACE = 1 << 32  # device addresses have 32 bits
# The same on every Linux architecture that etnaviv runs on; Python's mmap module can't map at a given address.
_PROT_NONE = 0
_MAP_FIXED = 0x10
_MAP_NORESERVE = 0x4000
_FAILED = ctypes.c_void_p(-1).value
_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
_NOTHING = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def _map(address: int | None, length: int, protection: int, flags: int, fd: int = -1, offset: int = 0) -> int:
    result: int | None = _libc.mmap(address, length, protection, flags, fd, offset)
    if result is None or result == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class _Reservation:
    """Owns the host's 4 GiB. Every view keeps it alive, so none can outlive it."""

    def __init__(self) -> None:
        self.base = 0
        try:
            self.base = _map(None, SPACE, _PROT_NONE, _NOTHING)
        except OSError as error:
            raise DeviceError(
                f"the virtual NPU can't reserve its 4 GiB of address space ({error.strerror}); "
                "it needs a 64-bit system and no limit on address space ('ulimit -v unlimited')",
                unit="MMU",
            ) from error

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {"version": 3, "shape": (SPACE,), "typestr": "|u1", "data": (self.base, False)}

    def __del__(self) -> None:
        if self.base:
            _libc.munmap(self.base, SPACE)


class AddressSpace:
    """One client's device memory. Mapping and looking up may happen in different threads.

    A view stays readable and writable for as long as it is kept, but once its buffer is unmapped it shows scratch
    memory that belongs to nobody.
    """

    def __init__(self) -> None:
        self._reservation = _Reservation()
        self._bytes: NDArray[np.uint8] = np.asarray(self._reservation)
        self._lock = threading.Lock()
        # First and last + 1 addresses, ascending; replaced as one, never changed, so readers need no lock.
        self._table: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
        self._written: set[int] = set()

    def map(self, va: int, size: int, fd: int, offset: int) -> None:
        """Show ``size`` bytes of the file ``fd`` from ``offset`` at device address ``va``, shared with all who map it.

        Raises BadInput for a place that is not page aligned, out of range or taken, and where the file is shorter.
        """
        page = mmap.PAGESIZE
        if va % page or offset % page or offset < 0:
            raise BadInput(f"device address {va:#x}, offset {offset:#x}: both must be multiples of {page} bytes")
        if size <= 0 or va < 0 or va + size > SPACE:
            raise BadInput(f"{size} bytes at {va:#x} lie outside 32-bit device addresses")
        if os.fstat(fd).st_size < offset + size:
            raise BadInput(f"a buffer of {os.fstat(fd).st_size} bytes can't hold {size} bytes from {offset:#x}")
        with self._lock:
            starts, ends = self._table
            at = bisect.bisect_right(starts, va)
            end = va + -(-size // page) * page
            if (at and ends[at - 1] > va) or (at < len(starts) and starts[at] < end):
                raise BadInput(f"{size} bytes at {va:#x} overlap a buffer that is mapped already")
            try:
                _map(self._reservation.base + va, size, _READ_WRITE, mmap.MAP_SHARED | _MAP_FIXED, fd, offset)
            except OSError as error:
                raise DeviceError(f"{size} bytes at {va:#x} can't be mapped: {error.strerror}", unit="MMU") from error
            self._table = (*starts[:at], va, *starts[at:]), (*ends[:at], va + size, *ends[at:])

    def unmap(self, va: int) -> None:
        """Take away the buffer that was mapped at ``va``. Raises BadInput where none begins."""
        with self._lock:
            starts, ends = self._table
            at = bisect.bisect_left(starts, va)
            if at == len(starts) or starts[at] != va:
                raise BadInput(f"no buffer is mapped at {va:#x}")
            self._table = starts[:at] + starts[at + 1 :], ends[:at] + ends[at + 1 :]
            self._blank(va, ends[at] - va)

    def close(self) -> None:
        """Take away all buffers. The reserved addresses go when the last view does."""
        with self._lock:
            places = list(zip(*self._table, strict=True))
            self._table = ((), ())
            for start, end in places:
                self._blank(start, end - start)

    def view(self, va: int, length: int, write: bool = False) -> NDArray[np.uint8]:
        """``length`` bytes from ``va``, across neighbouring buffers too: writable, no copy. Raises MMUFault, which says
        whether it was for writing."""
        self.check(va, length, write)
        return self._bytes[va : va + length]

    def check(self, va: int, length: int, write: bool = False) -> None:
        """Raises MMUFault, with the first address that lies in no buffer, if not all of this is mapped."""
        starts, ends = self._table
        at = first = bisect.bisect_right(starts, va) - 1
        reached = va
        end = va + length
        while reached < end:
            if not 0 <= at < len(ends) or not starts[at] <= reached < ends[at]:
                text = f"{length} bytes at {va:#010x}: this address lies in no buffer"
                raise MMUFault(text, address=reached, write=write)
            reached = ends[at]
            at += 1
        if write:
            self._written.update(starts[first:at])

    def written(self) -> set[int]:
        """First addresses of the buffers that were looked up for writing since this was asked last."""
        written, self._written = self._written, set()
        return written

    def _blank(self, va: int, length: int) -> None:
        # Readable and writable, so that a view kept too long reads zeros instead of killing the process.
        _map(self._reservation.base + va, length, _READ_WRITE, _NOTHING | _MAP_FIXED)
