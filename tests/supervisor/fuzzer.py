# SPDX-License-Identifier: MIT
"""Does the kernel's side answer every call as Linux would, however wrong? Arguments: seed, number of calls.

A stranger's client: random sequences of ioctls on descriptors that come and go. About half are right but for one late
field, whose error is known and checked; the rest are noise, whose answer must be some error that DRM gives. Prints how
many calls got which answer.
"""

import collections
import ctypes
import errno
import os
import random
import struct
import sys
import time
from collections.abc import Callable

NODE = "/dev/dri/renderD128"
VERSION, GEM_CLOSE, GET_CAP, PRIME_OUT, PRIME_IN = 0xC0406400, 0x40086409, 0xC010640C, 0xC00C642D, 0xC00C642E
GET_PARAM, GEM_NEW, GEM_INFO, CPU_PREP, CPU_FINI = 0xC0106440, 0xC0106442, 0xC0106443, 0x40186444, 0x40086445
SUBMIT, WAIT_FENCE, USERPTR, GEM_WAIT, PM_DOM, PM_SIG = (
    *(0xC0486446, 0x40206447, 0xC0186448, 0x40206449),
    *(0xC048644A, 0xC04C644B),
)
ALL = [VERSION, GEM_CLOSE, GET_CAP, PRIME_OUT, PRIME_IN, GET_PARAM, GEM_NEW, GEM_INFO, CPU_PREP, CPU_FINI, SUBMIT]
ALL += [WAIT_FENCE, USERPTR, GEM_WAIT, PM_DOM, PM_SIG]
OF_DRM = {
    *(0, errno.EINVAL, errno.EFAULT, errno.ENOENT, errno.ENXIO, errno.EBUSY, errno.ETIMEDOUT, errno.ENOMEM),
    *(errno.EALREADY, errno.ENOSPC, errno.EACCES, errno.ENOTTY, errno.EBADF, errno.EOPNOTSUPP, errno.ENOSYS),
    *(errno.EPERM, errno.EAGAIN),
}
WC, SOFTPIN, FENCE_FD_OUT = 0x20000, 8, 4
PAGE, ROOM = 4096, 1 << 14
NOWHERE = 0x1000  # never mapped

libc = ctypes.CDLL(None, use_errno=True)
libc.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]


class Client:
    """Knows what it has, and so what must come of a call."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.handles: dict[int, dict[int, int]] = {}  # by descriptor: handles, and the device address of each
        self.argument = ctypes.create_string_buffer(ROOM)
        self.extra = ctypes.create_string_buffer(ROOM)
        self.answers: collections.Counter[str] = collections.Counter()
        self.next_va = 0x10000000

    def call(self, fd: int, request: int, content: bytes, pointer: int | None = None) -> int:
        """The call's errno, or 0."""
        ctypes.memmove(self.argument, content.ljust(256, b"\0"), max(256, len(content)))
        where = ctypes.addressof(self.argument) if pointer is None else pointer
        code = 0 if libc.ioctl(fd, request, where) == 0 else ctypes.get_errno()
        self.answers[errno.errorcode.get(code, str(code)) if code else "0"] += 1
        assert code in OF_DRM, (hex(request), code)
        return code

    def word(self, at: int) -> int:
        return int(struct.unpack_from("<I", self.argument, at)[0])

    def fd(self) -> int:
        """A descriptor: one that is open, or a new one."""
        if not self.handles or (len(self.handles) < 6 and self.random.random() < 0.05):
            fd = os.open(NODE, os.O_RDWR | os.O_CLOEXEC)
            if self.random.random() < 0.3:
                copy = os.dup(fd)
                os.close(fd)
                fd = copy
            self.handles[fd] = {}
        return self.random.choice(list(self.handles))

    def handle(self, fd: int) -> int:
        """A handle of that descriptor's file."""
        if len(self.handles[fd]) < 3:
            assert self.call(fd, GEM_NEW, struct.pack("<QII", self.random.randrange(1, 9 * PAGE), WC, 0)) == 0
            self.have(fd, self.word(12))
        return self.random.choice(list(self.handles[fd]))

    def have(self, fd: int, handle: int) -> None:
        """A buffer gets an address that no other had."""
        self.next_va += 0x10000
        self.handles[fd][handle] = self.next_va

    def submit(self, buffers: list[tuple[int, int, int]], **changed: int) -> bytes:
        """A submission of two NOPs on these buffers."""
        struct.pack_into(f"<{4 * len(buffers)}I", self.extra, 1024, *[
            word for flags, handle, va in buffers for word in (flags, handle, va & 0xFFFFFFFF, va >> 32)
        ])  # fmt: skip
        struct.pack_into("<4I", self.extra, 0, 0x18000000, 0, 0x18000000, 0)
        base = ctypes.addressof(self.extra)
        values = {
            **{"fence": 0, "pipe": 0, "exec": 0, "bos": len(buffers), "relocs": 0, "size": 16, "table": base + 1024},
            **{"reloc": 0, "stream": base, "flags": SOFTPIN, "fd": 0xFFFFFFFF, "pmrs": 0, "nr_pmrs": 0, "pad": 0},
        } | changed
        return struct.pack("<6I3QIIQII", *values.values())

    # Calls that are right but for one late field: what must come of them is known.

    def late(self) -> None:
        fd = self.fd()
        handle = self.handle(fd)
        pick = self.random.choice
        odd = pick([0, 0xFFFFFFFF, max(self.handles[fd]) + 1000])
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + 60_000_000_000
        until = divmod(now, 1_000_000_000)
        va = self.handles[fd][handle]
        one = [(3, handle, va)]
        cases: list[tuple[int, Callable[[], bytes], int]] = [
            (GET_PARAM, lambda: struct.pack("<IIQ", 0, 1, 0), 0),
            (GET_PARAM, lambda: struct.pack("<IIQ", 0, 0x77, 0), errno.EINVAL),
            (GET_PARAM, lambda: struct.pack("<IIQ", 2, 1, 0), errno.ENXIO),
            (GET_PARAM, lambda: struct.pack("<IIQ", 4, 1, 0), errno.EINVAL),
            (GEM_NEW, lambda: struct.pack("<QII", PAGE, pick([0, 0x30000, 0x80000000 | WC, 1]), 0), errno.EINVAL),
            (GEM_NEW, lambda: struct.pack("<QII", 0, WC, 0), errno.EINVAL),
            (GEM_NEW, lambda: struct.pack("<QII", 1 << 40, WC, 0), errno.ENOMEM),
            (GEM_INFO, lambda: struct.pack("<IIQ", handle, 0, 0), 0),
            (GEM_INFO, lambda: struct.pack("<IIQ", handle, 1, 0), errno.EINVAL),
            (GEM_INFO, lambda: struct.pack("<IIQ", odd, 0, 0), errno.ENOENT),
            (CPU_PREP, lambda: struct.pack("<IIqq", handle, 3, *until), 0),
            (CPU_PREP, lambda: struct.pack("<IIqq", handle, 8, *until), errno.EINVAL),
            (CPU_PREP, lambda: struct.pack("<IIqq", odd, 1, *until), errno.ENOENT),
            (CPU_FINI, lambda: struct.pack("<II", handle, 1), errno.EINVAL),
            (CPU_FINI, lambda: struct.pack("<II", odd, 0), errno.ENOENT),
            (GEM_CLOSE, lambda: struct.pack("<II", odd, 0), errno.EINVAL),
            (WAIT_FENCE, lambda: struct.pack("<IIIIqq", 0, 0x7FFFFFFF, 0, 0, *until), 0),
            (WAIT_FENCE, lambda: struct.pack("<IIIIqq", 0, 1, 2, 0, *until), errno.EINVAL),
            (WAIT_FENCE, lambda: struct.pack("<IIIIqq", 1, 1, 0, 0, *until), errno.ENXIO),
            (GEM_WAIT, lambda: struct.pack("<IIIIqq", 0, odd, 0, 0, *until), errno.ENOENT),
            (SUBMIT, lambda: self.submit(one), 0),
            (SUBMIT, lambda: self.submit(one, pipe=1), errno.ENXIO),
            (SUBMIT, lambda: self.submit(one, pipe=9), errno.EINVAL),
            (SUBMIT, lambda: self.submit(one, exec=3), errno.EINVAL),
            (SUBMIT, lambda: self.submit(one, size=14), errno.EINVAL),
            (SUBMIT, lambda: self.submit(one, size=(128 << 10) + 4), errno.EINVAL),
            (SUBMIT, lambda: self.submit(one, flags=SOFTPIN | 0x100), errno.EINVAL),
            (SUBMIT, lambda: self.submit(one, bos=200000), errno.EINVAL),
            (SUBMIT, lambda: self.submit(one, table=NOWHERE), errno.EFAULT),
            (SUBMIT, lambda: self.submit(one, stream=NOWHERE), errno.EFAULT),
            (SUBMIT, lambda: self.submit([(3, odd, va)]), errno.EINVAL),
            (SUBMIT, lambda: self.submit([(4, handle, va)]), errno.EINVAL),
            (SUBMIT, lambda: self.submit([(3, handle, 0x1000)]), errno.EINVAL),
            (SUBMIT, lambda: self.submit([*one, *one]), errno.EALREADY),
            (SUBMIT, lambda: self.submit(one, nr_pmrs=200), errno.EINVAL),
        ]
        index = self.random.randrange(len(cases))
        request, content, expected = cases[index]
        code = self.call(fd, request, content())
        assert code == expected, (index, hex(request), errno.errorcode.get(code), errno.errorcode.get(expected))

    def nowhere(self) -> None:
        request = self.random.choice(ALL)
        assert self.call(self.fd(), request, b"", NOWHERE) in (errno.EFAULT, errno.ENOSYS, errno.EINVAL)

    def noise(self) -> None:
        fd = self.fd()
        request = self.random.choice(ALL)
        if self.random.random() < 0.3:
            request = self.random.getrandbits(32) & 0xFFFF00FF | self.random.choice([0x6400, 0x3E00])
        words = [
            self.random.choice([0, 1, 2, 3, 8, WC, PAGE, 0xFFFFFFFF, self.random.getrandbits(32)]) for _ in range(24)
        ]
        words[4:8] = [0, 0, 0, 0] if request in (CPU_PREP, WAIT_FENCE, GEM_WAIT) else words[4:8]  # no waits of years
        if request in (CPU_PREP,):
            words[2:6] = [0, 0, 0, 0]
        if self.call(fd, request, struct.pack("<24I", *words)) == 0:
            if request == GEM_NEW:
                self.have(fd, self.word(12))
            if request == GEM_CLOSE:
                self.handles[fd].pop(words[0], None)

    def closed(self) -> None:
        assert self.call(999, self.random.choice(ALL), bytes(128)) == errno.EBADF

    def forget(self) -> None:
        """Close a handle, or a descriptor with all that it has."""
        fd = self.fd()
        if self.handles[fd] and self.random.random() < 0.7:
            handle = self.handle(fd)
            del self.handles[fd][handle]
            assert self.call(fd, GEM_CLOSE, struct.pack("<II", handle, 0)) == 0
        else:
            del self.handles[fd]
            os.close(fd)

    def exported(self) -> None:
        """Ask for a sync file, and leave it open for a while."""
        fd = self.fd()
        handle = self.handle(fd)
        content = self.submit([(3, handle, self.handles[fd][handle])], flags=SOFTPIN | FENCE_FD_OUT)
        if self.call(fd, SUBMIT, content) == 0:
            file = self.word(52)
            info = ctypes.create_string_buffer(56)
            assert libc.ioctl(file, 0xC0383E04, ctypes.addressof(info)) == 0
            os.close(file)

    def step(self) -> None:
        kinds: list[Callable[[], None]] = [self.late, self.noise, self.nowhere, self.closed, self.forget, self.exported]
        self.random.choices(kinds, [50, 30, 5, 3, 9, 3])[0]()


def main(seed: int, calls: int) -> None:
    client = Client(seed)
    while client.answers.total() < calls:
        client.step()
    print(*(f"{name}:{count}" for name, count in sorted(client.answers.items())))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
