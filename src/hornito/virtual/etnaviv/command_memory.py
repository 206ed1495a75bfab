# SPDX-License-Identifier: MIT
"""Where do streams lie while they wait and run? In the kernel's command memory, each in a power of two of pages.

The ring, through which the front end reaches them, has the first page. As Linux: the first free place whose offset is a
multiple of its size.
"""

from hornito.uapi.etnaviv import COMMAND_MEMORY, PAGE
from hornito.uapi.recovery import COMMAND_ADDRESS


class CommandMemory:
    """Which pages are taken."""

    def __init__(self) -> None:
        self._pages = [False] * (COMMAND_MEMORY // PAGE)
        self._pages[0] = True

    def find(self, pages: int) -> int | None:
        """The device address of a free place for that many pages, a power of two; None: there is none."""
        for first in range(0, len(self._pages), pages):
            if not any(self._pages[first : first + pages]):
                return COMMAND_ADDRESS + first * PAGE
        return None

    def take(self, address: int, pages: int) -> None:
        """What ``find`` gave is in use."""
        self._set(address, pages, True)

    def give_back(self, address: int, pages: int) -> None:
        """It is free again."""
        self._set(address, pages, False)

    def _set(self, address: int, pages: int, taken: bool) -> None:
        first = (address - COMMAND_ADDRESS) // PAGE
        self._pages[first : first + pages] = [taken] * pages
