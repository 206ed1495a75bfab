# SPDX-License-Identifier: MIT
"""What do a client's page tables hold, which exception does an access get, and how do the tables look in memory?

The kernel maps its command memory read-only at the start of every address space, and buffers writable. A second-level
table, once made, stays as long as the address space.
"""

import bisect
from dataclasses import dataclass

import numpy as np

from hornito.hardware.mmu import (
    ENTRIES,
    FIRST_SHIFT,
    PAGE,
    PHYSICAL_BITS,
    SECOND_SHIFT,
    UNMAPPED,
    page_entry,
    table_entry,
)
from hornito.uapi.etnaviv import COMMAND_MEMORY
from hornito.uapi.recovery import COMMAND_ADDRESS, PAGE_MISSING, TABLE_MISSING, WRITE_VIOLATION

# Where things lie in the memory of a machine that does not exist.
TABLES_PHYSICAL = 0x30000000
COMMAND_PHYSICAL = 0x38000000
BUFFERS_PHYSICAL = 0x1_00000000


@dataclass(frozen=True)
class _Range:
    va: int
    size: int
    physical: int
    writable: bool


class PageTables:
    """Of one address space. Sizes and addresses are whole pages."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ranges: dict[int, _Range] = {}
        self._tables: set[int] = set()  # first-level indices of the second-level tables that were ever made
        self._add(_Range(COMMAND_ADDRESS, COMMAND_MEMORY, COMMAND_PHYSICAL, writable=False))

    def map(self, va: int, size: int, offset: int) -> None:
        """A buffer that lies at ``offset`` of the pool of buffers."""
        self._add(_Range(va, size, physical_address(offset), writable=True))

    def unmap(self, va: int) -> None:
        """Take away what begins at ``va``, if anything."""
        if self._ranges.pop(va, None) is not None:
            del self._starts[bisect.bisect_left(self._starts, va)]

    def exception(self, address: int, write: bool) -> int | None:
        """The MMU's exception code for an access, or None for one that it lets pass."""
        found = self._at(address)
        if found is not None:
            return WRITE_VIOLATION if write and not found.writable else None
        return PAGE_MISSING if address >> FIRST_SHIFT in self._tables else TABLE_MISSING

    def content(self) -> bytes:
        """The first-level table, then each second-level table that there is, in order of addresses."""
        order = sorted(self._tables)
        first = np.full(ENTRIES, UNMAPPED, "<u4")
        second = np.full((len(order), ENTRIES), UNMAPPED, "<u4")
        for row, index in enumerate(order):
            first[index] = table_entry(TABLES_PHYSICAL + (row + 1) * PAGE)
        rows = {index: row for row, index in enumerate(order)}
        for mapped in self._ranges.values():
            for at in range(0, mapped.size, PAGE):
                va = mapped.va + at
                entry = page_entry(mapped.physical + at, mapped.writable)
                second[rows[va >> FIRST_SHIFT], va >> SECOND_SHIFT & (ENTRIES - 1)] = entry
        return first.tobytes() + second.tobytes()

    def _add(self, mapped: _Range) -> None:
        bisect.insort(self._starts, mapped.va)
        self._ranges[mapped.va] = mapped
        self._tables.update(range(mapped.va >> FIRST_SHIFT, (mapped.va + mapped.size - 1 >> FIRST_SHIFT) + 1))

    def _at(self, address: int) -> _Range | None:
        at = bisect.bisect_right(self._starts, address)
        found = self._ranges[self._starts[at - 1]] if at else None
        return found if found is not None and address < found.va + found.size else None


def physical_address(offset: int) -> int:
    """Where the byte at ``offset`` of the pool of buffers lies; the memory of 40 bits is reused in time."""
    return (BUFFERS_PHYSICAL + offset) % (1 << PHYSICAL_BITS)
