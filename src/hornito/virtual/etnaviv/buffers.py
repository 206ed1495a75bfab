# SPDX-License-Identifier: MIT
"""What is a buffer object, and at which device addresses does an open file see it?"""

import bisect
from dataclasses import dataclass

from hornito.virtual.etnaviv.fences import Fence
from hornito.virtual.etnaviv.user_pages import UserPages


class Buffer:
    """A buffer object: ``size`` bytes of the pool from ``offset``.

    Jobs run in the order of their submits, so the last fence tells all: the device is done with the buffer, or has
    written it, when that fence has signalled. ``references``: handles of any open file, and
    the dma-buf. ``user``: the memory of a client that it stands for. ``shown``: a client may see it, since it was told
    where it lies.
    """

    __slots__ = ("last_use", "last_write", "offset", "references", "shown", "size", "user")

    def __init__(self, size: int, offset: int, user: UserPages | None = None) -> None:
        self.size = size
        self.offset = offset
        self.user = user
        self.references = 0
        self.shown = user is not None
        self.last_use: Fence | None = None
        self.last_write: Fence | None = None

    def use(self, fence: Fence, *, writes: bool) -> None:
        """The job of that fence reads or ``writes`` it."""
        self.last_use = _later(self.last_use, fence)
        if writes:
            self.last_write = _later(self.last_write, fence)


def _later(known: Fence | None, fence: Fence) -> Fence:
    return fence if known is None or not known.pending or known.order <= fence.order else known


@dataclass(eq=False)
class Mapping:
    """A buffer at a device address of one open file, and the last job of that file that uses it."""

    buffer: Buffer
    va: int
    last_use: Fence | None = None

    @property
    def busy(self) -> bool:
        """The device has yet to use it."""
        return self.last_use is not None and self.last_use.pending


class AddressBook:
    """Which buffer has which device addresses, of one open file. No two overlap."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._at: dict[int, Mapping] = {}
        self._of: dict[Buffer, Mapping] = {}

    def find(self, buffer: Buffer) -> Mapping | None:
        """Where ``buffer`` is, if anywhere."""
        return self._of.get(buffer)

    def add(self, buffer: Buffer, va: int) -> Mapping:
        """``buffer``, which has no address, gets ``va``, which must be free."""
        mapping = Mapping(buffer, va)
        bisect.insort(self._starts, va)
        self._at[va] = self._of[buffer] = mapping
        return mapping

    def remove(self, mapping: Mapping) -> None:
        """Its addresses are free again. Nothing happens if they are already."""
        if self._of.get(mapping.buffer) is mapping:
            del self._starts[bisect.bisect_left(self._starts, mapping.va)]
            del self._at[mapping.va]
            del self._of[mapping.buffer]

    def overlapping(self, va: int, size: int) -> list[Mapping]:
        """What has any of these addresses."""
        at = bisect.bisect_right(self._starts, va)
        if at:
            last = self._at[self._starts[at - 1]]
            if last.va + last.buffer.size > va:
                at -= 1
        end = bisect.bisect_left(self._starts, va + size, lo=at)
        return [self._at[start] for start in self._starts[at:end]]
