# SPDX-License-Identifier: MIT
"""How are device addresses translated? The two levels of page tables of MMU version 2.

Source: databook, drm-uapi.md ("MMU v2"). 32-bit addresses: 10 bits choose the first-level entry, 10 the second-level
one, 12 lie within the page. Physical addresses have 40 bits; tables must lie below 4 GiB.
"""

PAGE = 1 << 12
ENTRIES = 1 << 10  # of a table of either level
FIRST_SHIFT, SECOND_SHIFT = 22, 12
PRESENT, EXCEPTION, WRITABLE = 1, 2, 4
UNMAPPED = EXCEPTION  # what an unused entry holds
_HIGH_SHIFT = 4  # bits 11:4 of a second-level entry are bits 39:32 of the page's address
PHYSICAL_BITS = 40


def page_entry(physical: int, writable: bool) -> int:
    """The second-level entry of the page at that physical address."""
    return physical & 0xFFFFF000 | physical >> 32 << _HIGH_SHIFT | PRESENT | (WRITABLE if writable else 0)


def page_address(entry: int) -> int:
    """The physical address in a second-level entry."""
    return entry & 0xFFFFF000 | (entry >> _HIGH_SHIFT & 0xFF) << 32


def table_entry(physical: int) -> int:
    """The first-level entry of the second-level table at that physical address."""
    return physical & 0xFFFFF000 | PRESENT
