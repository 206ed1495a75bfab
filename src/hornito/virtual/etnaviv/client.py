# SPDX-License-Identifier: MIT
"""What does one open file own? Its handles, its device addresses, its lines of the log.

The books change when a client calls; the address space itself follows in the worker's thread, just before the job that
needs it, so nothing is mapped or taken away under a running job. ``changes`` is what the space has yet to follow.
"""

import contextlib
import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hornito.virtual.etnaviv.buffers import AddressBook, Buffer, Mapping
from hornito.virtual.etnaviv.jobs import AddressSpace
from hornito.virtual.etnaviv.page_tables import PageTables

_LOG_LINES = 1000  # older ones are forgotten


@dataclass(frozen=True)
class Change:
    """A buffer to be mapped at ``va``; no buffer: what lies there is taken away."""

    va: int
    buffer: Buffer | None


class OpenFile:
    """One open render node: the ``number`` of its description in the pool, and the descriptor that its client gets.

    The device's lock guards all but ``apply`` and ``end``, which are the worker's.
    """

    def __init__(self, number: int, client_fd: int, new_space: Callable[[], AddressSpace]) -> None:
        self.number = number
        self.client_fd = client_fd
        self.closed = False
        self.handles: dict[int, Buffer] = {}
        self.book = AddressBook()
        self.changes: list[Change] = []
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        self._free_handles: list[int] = []
        self._new_space = new_space
        self._space: AddressSpace | None = None
        self._mapped: set[int] = set()
        self.tables = PageTables()  # the worker's, too

    def add(self, buffer: Buffer) -> int:
        """A handle for ``buffer``: the lowest free one."""
        handle = heapq.heappop(self._free_handles) if self._free_handles else len(self.handles) + 1
        self.handles[handle] = buffer
        buffer.references += 1
        return handle

    def handle_of(self, buffer: Buffer) -> int | None:
        """The handle that the client has for ``buffer``, if any."""
        return next((handle for handle, held in self.handles.items() if held is buffer), None)

    def drop(self, handle: int) -> Buffer:
        """Take a handle back; its buffer. Raises KeyError for one that is not in use."""
        buffer = self.handles.pop(handle)
        heapq.heappush(self._free_handles, handle)
        buffer.references -= 1
        return buffer

    def map(self, buffer: Buffer, va: int) -> Mapping:
        """``buffer``, which has no address, gets one that is free."""
        self.changes.append(Change(va, buffer))
        return self.book.add(buffer, va)

    def unmap(self, mapping: Mapping) -> None:
        """Take its addresses away."""
        self.changes.append(Change(mapping.va, None))
        self.book.remove(mapping)

    def forget(self, buffer: Buffer) -> int | None:
        """``buffer`` is dead: it has no address any more, and gets none by a change that a refused submit left behind.
        What is to be taken away in the space, if anything."""
        self.changes = [change for change in self.changes if change.buffer is not buffer]
        mapping = self.book.find(buffer)
        if mapping is None:
            return None
        self.book.remove(mapping)
        return mapping.va

    def take_changes(self) -> list[Change]:
        """What the next job must see to first."""
        changes, self.changes = self.changes, []
        return changes

    def space(self) -> AddressSpace:
        """The client's device memory; it is made when first needed."""
        if self._space is None:
            self._space = self._new_space()
        return self._space

    def apply(self, changes: Sequence[Change], fd: int) -> list[tuple[Change, Exception]]:
        """Let the space follow the books, with buffers of the file ``fd``; those changes that failed, and why."""
        failed: list[tuple[Change, Exception]] = []
        for change in changes:
            try:
                if change.va in self._mapped:
                    self.space().unmap(change.va)
                    self._mapped.discard(change.va)
                    self.tables.unmap(change.va)
                if change.buffer is not None:
                    self.space().map(change.va, change.buffer.size, fd, change.buffer.offset)
                    self._mapped.add(change.va)
                    self.tables.map(change.va, change.buffer.size, change.buffer.offset)
            except Exception as error:
                failed.append((change, error))
        return failed

    def end(self) -> None:
        """Give everything back; no job of this file is left."""
        if self._space is not None:
            with contextlib.suppress(Exception):
                self._space.close()
            self._space = None
