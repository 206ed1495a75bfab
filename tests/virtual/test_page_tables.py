# SPDX-License-Identifier: MIT
"""Which exception does an access get, and do the tables in memory say the same? And where streams lie."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hornito.hardware.mmu import EXCEPTION, PAGE, PRESENT, WRITABLE, page_address
from hornito.virtual.etnaviv.command_memory import CommandMemory
from hornito.virtual.etnaviv.page_tables import BUFFERS_PHYSICAL, TABLES_PHYSICAL, PageTables

VA = 0xF0000000


def walk(content: bytes, address: int) -> tuple[int | None, int, bool]:
    """Exception code or None, physical address and writability, as a plain MMU would find them."""
    tables = np.frombuffer(content, "<u4").reshape(-1, 1024)
    first = int(tables[0, address >> 22])
    if not first & PRESENT:
        return 1, 0, False
    entry = int(tables[((first & 0xFFFFF000) - TABLES_PHYSICAL) // PAGE, address >> 12 & 1023])
    if not entry & PRESENT:
        assert entry == EXCEPTION
        return 2, 0, False
    return None, page_address(entry), bool(entry & WRITABLE)


def test_codes_of_a_fresh_space() -> None:
    tables = PageTables()
    assert tables.exception(VA, False) == 1
    assert tables.exception(0x0, False) == 2
    assert tables.exception(0x1000, False) is None
    assert tables.exception(0x1000, True) == 3
    assert tables.exception(0x80FFF, True) == 3
    assert tables.exception(0x81000, False) == 2


def test_buffers_are_writable_and_their_table_stays() -> None:
    tables = PageTables()
    tables.map(VA, 2 * PAGE, 5 * PAGE)
    assert tables.exception(VA + 2 * PAGE - 1, True) is None
    assert tables.exception(VA + 2 * PAGE, True) == 2
    assert walk(tables.content(), VA + PAGE) == (None, BUFFERS_PHYSICAL + 6 * PAGE, True)
    tables.unmap(VA)
    tables.unmap(VA)
    assert tables.exception(VA, False) == 2
    assert tables.exception(VA + (4 << 20), False) == 1


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), max_size=6), st.data())
def test_the_tables_in_memory_say_what_exception_says(places: list[tuple[int, int]], data: st.DataObject) -> None:
    tables = PageTables()
    taken: set[int] = set()
    for first, size in places:
        pages = set(range(first, first + size))
        if not pages & taken:
            taken |= pages
            tables.map(VA + (4 << 20) - 20 * PAGE + first * PAGE, size * PAGE, first * PAGE)
    content = tables.content()
    assert len(content) % PAGE == 0
    for _ in range(10):
        address = data.draw(st.sampled_from([0, VA])) + data.draw(st.integers(0, 9 << 20))
        code, _, writable = walk(content, address)
        assert tables.exception(address, False) == code
        assert tables.exception(address, True) == (3 if code is None and not writable else code)


def test_streams_get_aligned_places_beside_the_ring() -> None:
    memory = CommandMemory()
    assert memory.find(1) == 0x2000
    memory.take(0x2000, 1)
    assert memory.find(2) == 0x3000
    assert memory.find(64) == 0x1000 + 64 * 4096
    memory.take(0x1000 + 64 * 4096, 64)
    assert memory.find(64) is None
    memory.give_back(0x2000, 1)
    assert memory.find(1) == 0x2000
