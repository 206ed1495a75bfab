# SPDX-License-Identifier: MIT
"""Do programs share buffers, fences and their own memory with the virtual NPU, across processes, as with Linux?"""

from tests.supervisor.conftest import Run

# A program that knows nothing of Hornito: the kernel's structs by hand.
STRANGER = """
import ctypes, errno, fcntl, mmap, os, select, socket, struct, sys, time

WC, RDWR, CLOEXEC = 0x20000, os.O_RDWR, os.O_CLOEXEC

def ioctl(fd, request, layout, *values):
    room = bytearray(struct.pack(layout, *values))
    fcntl.ioctl(fd, request, room, True)
    return struct.unpack(layout, room)

def node():
    return os.open("/dev/dri/renderD128", os.O_RDWR | os.O_CLOEXEC)

def new(fd, size):
    return ioctl(fd, 0xC0106442, "QII", size, WC, 0)[2]

def view(fd, handle, size):
    return mmap.mmap(fd, size, offset=ioctl(fd, 0xC0106443, "IIQ", handle, 0, 0)[2])

def export(fd, handle):
    return ioctl(fd, 0xC00C642D, "IIi", handle, CLOEXEC | RDWR, -1)[2]

def take_up(fd, dma_buf):
    return ioctl(fd, 0xC00C642E, "IIi", 0, 0, dma_buf)[0]

def close(fd, handle):
    ioctl(fd, 0x40086409, "II", handle, 0)

def submit(fd, handle, flags, fence_fd=-1, sequence=None):
    words = (ctypes.c_uint32 * 2)(0x18000000, 0)
    bo = ctypes.create_string_buffer(struct.pack("IIQ", 3, handle, 0xF0000000), 16)
    pmr = ctypes.create_string_buffer(struct.pack("IBBHIII", 2, 0, 0, 0, sequence or 0, 1, 0), 20)
    at = ctypes.addressof
    return ioctl(fd, 0xC0486446, "IIIIIIQQQIiQII", 0, 0, 0, 1, 0, 8, at(bo), 0, at(words), flags | 8, fence_fd,
                 at(pmr), int(sequence is not None), 0)

def wait(fd, fence):
    ioctl(fd, 0x40206447, "IIIIqq", 0, fence, 0, 0, int(time.monotonic()) + 30, 0)
"""

TWO_PROCESSES = """
here, there = socket.socketpair()
child = os.fork()
if child == 0:
    here.close()
    _, [dma_buf], _, _ = socket.recv_fds(there, 1, 1)
    fd = node()
    new(fd, 4096)
    handle = take_up(fd, dma_buf)
    assert (handle, take_up(fd, dma_buf)) == (2, 2)
    size = os.lseek(dma_buf, 0, os.SEEK_END)
    content = view(fd, handle, size)
    assert content[5000] == 42
    content[5001] = 43
    wait(fd, submit(fd, handle, 0)[0])
    there.send(b"x")
    there.recv(1)
    assert content[5002] == 44
    os._exit(0)
there.close()
fd = node()
handle = new(fd, 8192)
content = view(fd, handle, 8192)
content[5000] = 42
dma_buf = export(fd, handle)
socket.send_fds(here, [b"x"], [dma_buf])
os.close(dma_buf)
here.recv(1)
assert content[5001] == 43
content[5002] = 44
close(fd, handle)
content.close()
os.close(fd)
here.send(b"x")
print(os.waitpid(child, 0)[1], "shared", flush=True)
"""

OWN_MEMORY = """
fd = node()
room = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
address = ctypes.addressof(ctypes.c_char.from_buffer(room))
handle = ioctl(fd, 0xC0186448, "QQII", address, 4096, 3, 0)[3]
wait(fd, submit(fd, handle, 0, sequence=77)[0])
print(struct.unpack("I", room[:4])[0], flush=True)
if os.fork() == 0:
    other = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    place = ctypes.addressof(ctypes.c_char.from_buffer(other))
    mine = ioctl(fd, 0xC0186448, "QQII", place, 4096, 3, 0)[3]
    print(mine, flush=True)
    os._exit(0)
os.wait()
try:
    submit(fd, 2, 0)
except OSError as error:
    print(errno.errorcode[error.errno])
"""

FENCES = """
fd = node()
handle = new(fd, 4096)
first = submit(fd, handle, 4)[10]
second = submit(fd, handle, 4 | 2, first)[10]
both = ioctl(first, 0xC0303E03, "32siiII", b"both", second, -1, 0, 0)[2]
poll = select.poll()
poll.register(both, select.POLLIN)
assert poll.poll(30000)
dma_buf = export(fd, handle)
ioctl(dma_buf, 0x40086200, "Q", 3)
idle = ioctl(dma_buf, 0xC0086202, "Ii", 2, -1)[1]
print([ioctl(one, 0xC0383E04, "32siIIIQ", b"", 0, 0, 0, 0, 0)[1] for one in (first, second, both, idle)])
try:
    ioctl(fd, 0xC00864BF, "II", 0, 0)
except OSError as error:
    print(error.errno == errno.EOPNOTSUPP)
"""


def test_buffers_own_memory_and_fences_pass_between_processes(run: Run) -> None:
    """One run for all three, since each costs seconds before it begins."""
    outcome = run(python=STRANGER + TWO_PROCESSES + OWN_MEMORY + FENCES)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == ["0 shared", "77", "2", "EPERM", "[1, 1, 1, 1]", "True"]
