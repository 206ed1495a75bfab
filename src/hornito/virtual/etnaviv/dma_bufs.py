# SPDX-License-Identifier: MIT
"""How does a buffer get from one open file to another? As a dma-buf: a descriptor that stands for it and keeps it.

A dma-buf is a memory file of the buffer's size that can be neither mapped, read nor written: importers ask for the size
by lseek, and reach the content through a handle. (It always polls ready; DMA_BUF_IOCTL_EXPORT_SYNC_FILE gives what can
be polled.) It is known by its inode in any process, and keeps its buffer until the last descriptor is closed.
"""

import os

from hornito.virtual.etnaviv.buffers import Buffer
from hornito.virtual.etnaviv.caller import FileIdentity
from hornito.virtual.etnaviv.descriptions import Descriptions
from hornito.virtual.etnaviv.pool import Pool


class DmaBufs:
    """All dma-bufs that somebody still has. The device's lock guards it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._files: dict[Buffer, Descriptions] = {}
        self._buffers: dict[FileIdentity, Buffer] = {}

    def create(self, buffer: Buffer) -> int:
        """A close-on-exec descriptor of the buffer's dma-buf, ours to give away. Raises OSError."""
        file = self._files.get(buffer)
        if file is not None:
            return self._describe(file)
        file = self._pool.new_dma_buf(buffer.size)
        try:
            fd = self._describe(file)
        except OSError:
            file.close()
            raise
        self._files[buffer] = file
        self._buffers[file.identity] = buffer
        buffer.references += 1
        return fd

    def find(self, identity: FileIdentity) -> Buffer | None:
        """The buffer behind the dma-buf of that identity."""
        return self._buffers.get(identity)

    def sweep(self) -> list[Buffer]:
        """Forget those whose every descriptor is closed; the buffers that lost a reference by it."""
        ended = [buffer for buffer, file in self._files.items() if not file.any_open()]
        for buffer in ended:
            file = self._files.pop(buffer)
            del self._buffers[file.identity]
            file.close()
            buffer.references -= 1
        return ended

    def close(self) -> None:
        """Close our descriptors."""
        for file in self._files.values():
            file.close()

    @staticmethod
    def _describe(file: Descriptions) -> int:
        # Open for writing alone: whatever mmap asks for, it is refused.
        return file.create(os.O_WRONLY | os.O_CLOEXEC)[1]
