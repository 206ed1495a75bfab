# SPDX-License-Identifier: MIT
"""At which device addresses do a submission's buffers lie? Where the client says (softpin), or where there is room.

Each open file has its own addresses. A buffer keeps its place until it dies or, while the device does not use it, its
place is needed. Source: Linux, etnaviv_gem.c and etnaviv_mmu.c.
"""

import errno

from hornito.uapi.etnaviv import ADDRESS_END, COMMAND_MEMORY, PAGE
from hornito.virtual.etnaviv.answers import refuse
from hornito.virtual.etnaviv.buffers import Buffer, Mapping
from hornito.virtual.etnaviv.client import OpenFile

_START = PAGE + COMMAND_MEMORY  # page 0 is nobody's, and the kernel's command memory comes first


class Placement:
    """Finds the places of one submission. Raises OSError; what was moved by then stays moved."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._pinned: set[Buffer] = set()  # used by this very submission

    def pin(self, buffer: Buffer, va: int) -> Mapping:
        """``buffer`` at ``va``. ENOSPC: a buffer in use has the place; EINVAL: this one is in use elsewhere."""
        mapping = self._file.book.find(buffer)
        if mapping is None or mapping.va != va:
            if mapping is not None:
                if self._in_use(mapping):
                    raise refuse(errno.EINVAL)
                self._file.unmap(mapping)
            others = self._file.book.overlapping(va, buffer.size)
            if va + buffer.size > ADDRESS_END or any(self._in_use(other) for other in others):
                raise refuse(errno.ENOSPC)
            if va % PAGE:
                raise refuse(errno.EINVAL)
            for other in others:
                self._file.unmap(other)
            mapping = self._file.map(buffer, va)
        self._pinned.add(buffer)
        return mapping

    def place(self, buffer: Buffer) -> Mapping:
        """``buffer`` where it is, or at the lowest free place; if need be, idle buffers make room. ENOSPC: none is."""
        mapping = self._file.book.find(buffer)
        if mapping is None:
            va = self._free_place(buffer.size, evict=False)
            if va is None:
                va = self._free_place(buffer.size, evict=True)
            if va is None:
                raise refuse(errno.ENOSPC)
            for other in self._file.book.overlapping(va, buffer.size):
                self._file.unmap(other)
            mapping = self._file.map(buffer, va)
        self._pinned.add(buffer)
        return mapping

    def _free_place(self, size: int, *, evict: bool) -> int | None:
        """The lowest place of that size. ``evict``: buffers that the device does not use count for nothing."""
        va = _START
        for mapping in self._file.book.overlapping(_START, ADDRESS_END - _START):
            if evict and not self._in_use(mapping):
                continue
            if mapping.va - va >= size:
                break
            va = max(va, mapping.va + mapping.buffer.size)
        return va if va + size <= ADDRESS_END else None

    def _in_use(self, mapping: Mapping) -> bool:
        return mapping.busy or mapping.buffer in self._pinned
