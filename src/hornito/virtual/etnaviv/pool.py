# SPDX-License-Identifier: MIT
"""Where do all buffers of a virtual device lie, and which of its open files is a descriptor?

One memory file, the pool, holds the buffers of all clients, so an offset means the same in every open file and ``mmap``
of a descriptor needs no help. Each open file is an open file description of the pool of its own. A buffer that is
exported gets a dma-buf beside it: a file that shows nothing of it but its size, and that it is still held.
"""

import contextlib
import ctypes
import fcntl
import os

from hornito.uapi.etnaviv import GRANULE
from hornito.uapi.files import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE
from hornito.virtual.etnaviv.descriptions import Descriptions
from hornito.virtual.etnaviv.wakeup import WakeUp

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class Pool:
    """The memory file; ``fd`` is our own descriptor of it, ``identity`` tells it from all other files.

    Raises OSError. Its owner guards it against other threads.
    """

    def __init__(self, name: str) -> None:
        # A client that cuts the file would kill whoever touches it next.
        self._descriptions = _memory_file(name, 0, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        self.identity = self._descriptions.identity
        self._name = name
        self._wake_up: WakeUp | None = None
        self._end = 0
        self._open: set[int] = set()

    @property
    def fd(self) -> int:
        """Our own descriptor of it; -1 once it is closed."""
        return self._descriptions.fd

    # Memory.

    def allocate(self, size: int) -> int:
        """The offset of ``size`` (a multiple of pages) new bytes, all zero. No offset is ever used twice, so a mapping
        that outlives its buffer meets no other buffer."""
        # A client can make the file longer, and what it put there is nobody's: begin behind it.
        offset = max(self._end, -(-os.fstat(self.fd).st_size // GRANULE) * GRANULE)
        os.ftruncate(self.fd, offset + size)
        self._end = offset + size
        return offset

    def free(self, offset: int, size: int) -> None:
        """Give pages back; whoever still maps them sees zeros."""
        if _libc.fallocate(self.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    # Open files.

    def open_file(self) -> tuple[int, int]:
        """A new open file's number, and a close-on-exec descriptor of it for its client. Numbers are not reused."""
        number, fd = self._descriptions.create(os.O_RDWR | os.O_CLOEXEC)
        self._open.add(number)
        return number, fd

    def identify(self, pid: int, fd: int) -> int | None:
        """The number of the open file that the descriptor ``fd`` of a process (or thread) is; None: none of this pool.

        Raises OSError with EBADF where there is no such descriptor, and EACCES where we may not look.
        """
        return self._descriptions.identify(pid, fd, next(iter(self._open)) if len(self._open) == 1 else None)

    @property
    def wake_fd(self) -> int:
        """Polls readable when some description, of a dma-buf too, has ended, until ``gone`` is asked; and once more a
        little later, when all of it can be seen. Raises OSError."""
        if self._wake_up is None:
            wake_up = WakeUp()
            try:
                wake_up.watch(self.fd)
            except OSError:
                wake_up.close()
                raise
            self._wake_up = wake_up
        return self._wake_up.fd

    def gone(self) -> list[int]:
        """The open files that nobody has any more; each is told once. None once the pool is closed."""
        if self._wake_up is not None:
            self._wake_up.answered()
        if self.fd < 0:
            return []
        ended = [number for number in sorted(self._open) if not self._descriptions.is_open(number)]
        self._open.difference_update(ended)
        return ended

    def forget(self, number: int) -> None:
        """Its end is known."""
        self._open.discard(number)

    # Dma-bufs.

    def new_dma_buf(self, size: int) -> Descriptions:
        """The file of a dma-buf, which has ``size`` and no content. Raises OSError."""
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL | fcntl.F_SEAL_WRITE
        file = _memory_file(f"{self._name}-dmabuf", size, seals)
        if self._wake_up is not None:
            with contextlib.suppress(OSError):  # its end is then found at the next sweep
                self._wake_up.watch(file.fd)
        return file

    def close(self) -> None:
        """Close our descriptors; the clients' are their own business."""
        self._descriptions.close()
        if self._wake_up is not None:
            self._wake_up.close()
            self._wake_up = None


def _memory_file(name: str, size: int, seals: int) -> Descriptions:
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        return Descriptions(fd)
    except OSError:
        os.close(fd)
        raise
