# SPDX-License-Identifier: MIT
"""What would a stranger's program do with the NPU? This one knows nothing of Hornito: libdrm, ioctls by number, mmap.

Arguments: a file of submissions (.npz: ``sN_stream``, ``sN_bo_address``, ``sN_bo_size``, ``sN_bo_ADDRESS``); the one
to feed; an .npy file and the device address it goes to, once or more; ``--read``, address, length, file. It runs all
submissions in order, and prints what it found.
"""

import ctypes
import mmap
import os
import select
import sys
import time

import numpy as np

GET_PARAM, GEM_NEW, GEM_INFO, CPU_PREP, CPU_FINI = 0xC0106440, 0xC0106442, 0xC0106443, 0x40186444, 0x40086445
SUBMIT, GEM_CLOSE, FILE_INFO = 0xC0486446, 0x40086409, 0xC0383E04
WRITE_COMBINED, READ, WRITE, SOFTPIN, FENCE_FD_OUT = 0x20000, 1, 2, 8, 4

drm = ctypes.CDLL("libdrm.so.2", use_errno=True)


class Version(ctypes.Structure):
    _fields_ = [
        ("numbers", ctypes.c_int * 3),
        ("name_len", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("date_len", ctypes.c_int),
        ("date", ctypes.c_char_p),
        ("desc_len", ctypes.c_int),
        ("desc", ctypes.c_char_p),
    ]


class Device(ctypes.Structure):
    _fields_ = [("nodes", ctypes.POINTER(ctypes.c_char_p)), ("available", ctypes.c_int), ("bus", ctypes.c_int)]


drm.drmGetVersion.restype = ctypes.POINTER(Version)
drm.drmGetVersion.argtypes = [ctypes.c_int]
drm.drmIoctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]
drm.drmGetDevices2.argtypes = [ctypes.c_uint32, ctypes.POINTER(ctypes.POINTER(Device)), ctypes.c_int]


def ioctl(fd: int, request: int, *words: int) -> list[int]:
    """``words`` as 32-bit words; what they are afterwards."""
    argument = (ctypes.c_uint32 * len(words))(*(word & 0xFFFFFFFF for word in words))
    if drm.drmIoctl(fd, request, ctypes.addressof(argument)):
        raise OSError(ctypes.get_errno(), f"ioctl {request:#x}: {os.strerror(ctypes.get_errno())}")
    return list(argument)


def halves(value: int) -> tuple[int, int]:
    return value & 0xFFFFFFFF, value >> 32


def find_node() -> str:
    devices = (ctypes.POINTER(Device) * 8)()
    count = drm.drmGetDevices2(0, devices, 8)
    names = [devices[i].contents.nodes[2] for i in range(count) if devices[i].contents.available & 1 << 2]
    print("nodes:", *(name.decode() for name in names))
    return str(names[0].decode())


def new_buffer(fd: int, size: int) -> tuple[int, mmap.mmap]:
    handle = ioctl(fd, GEM_NEW, *halves(size), WRITE_COMBINED, 0)[3]
    low, high = ioctl(fd, GEM_INFO, handle, 0, 0, 0)[2:]
    return handle, mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=high << 32 | low)


def wait_for(fd: int, handle: int) -> None:
    until = time.monotonic_ns() + 60_000_000_000
    seconds, nanoseconds = divmod(until, 1_000_000_000)
    ioctl(fd, CPU_PREP, handle, READ | WRITE, *halves(seconds), *halves(nanoseconds))
    ioctl(fd, CPU_FINI, handle, 0)


def submit(fd: int, stream: np.ndarray, table: np.ndarray) -> int:
    """The sync file's status in the end: 1 is good."""
    stream = np.ascontiguousarray(stream, "<u4")
    request = [0, 0, 0, len(table), 0, stream.nbytes, *halves(table.ctypes.data), 0, 0, *halves(stream.ctypes.data)]
    answer = ioctl(fd, SUBMIT, *request, SOFTPIN | FENCE_FD_OUT, 0xFFFFFFFF, 0, 0, 0, 0)
    file = answer[13]
    select.select([file], [], [], 60)
    status = ctypes.c_int32(ioctl(file, FILE_INFO, *[0] * 14)[8]).value
    os.close(file)
    return status


def main(archive: str, fed: int, *rest: str) -> None:
    split = rest.index("--read")
    inputs = [(np.load(rest[at]), int(rest[at + 1])) for at in range(0, split, 2)]
    address, length, output = int(rest[split + 1]), int(rest[split + 2]), rest[split + 3]
    fd = os.open(find_node(), os.O_RDWR | os.O_CLOEXEC)
    version = drm.drmGetVersion(fd).contents
    print("driver:", version.name.decode(), *version.numbers)
    model, revision = (ioctl(fd, GET_PARAM, 0, which, 0, 0)[2] for which in (1, 2))
    print(f"core: {model:#x} {revision:#x}")
    file = np.load(archive)
    buffers: dict[int, tuple[int, mmap.mmap]] = {}
    number = 0
    while f"s{number}_stream" in file:
        bases, sizes = file[f"s{number}_bo_address"].tolist(), file[f"s{number}_bo_size"].tolist()
        table = np.zeros(len(bases), [("flags", "<u4"), ("handle", "<u4"), ("presumed", "<u8")])
        for row, base, size in zip(table, bases, sizes, strict=True):
            if base not in buffers:
                buffers[base] = new_buffer(fd, -(-size // 4096) * 4096)
                content = file.get(f"s{number}_bo_{base:08x}")
                if content is not None:
                    buffers[base][1][: len(content)] = content.tobytes()
            row["flags"], row["handle"], row["presumed"] = READ | WRITE, buffers[base][0], base
        if number == fed:
            for content, place in inputs:
                base = max(other for other in bases if other <= place)
                buffers[base][1][place - base : place - base + content.nbytes] = content.tobytes()
        print(f"submission {number}: status {submit(fd, file[f's{number}_stream'], table)}")
        number += 1
    base = max(other for other in buffers if other <= address)
    wait_for(fd, buffers[base][0])
    np.save(output, np.frombuffer(buffers[base][1][address - base : address - base + length], np.uint8))
    for handle, view in buffers.values():
        view.close()
        ioctl(fd, GEM_CLOSE, handle, 0)
    os.close(fd)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
