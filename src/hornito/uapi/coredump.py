# SPDX-License-Identifier: MIT
"""What is in the core dump that the kernel leaves of a hung NPU? Headers of 32 bytes, then what they point to.

Source: databook, drm-uapi.md ("Core dump"), by Linux: etnaviv_dump.h. All numbers are little-endian.
"""

import enum
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from hornito.errors import BadInput

MAGIC = 0x414E5445  # "ETNA"
_HEADER = struct.Struct("<IIIIQII")  # magic, type, offset, size, device address, two more
_REGISTER = struct.Struct("<II")
_PAGE = struct.Struct("<Q")
_PAGE_BYTES = 4096
_MOST_SECTIONS = 1 << 18  # the kernel takes up to 131072 buffers in a submission


class SectionType(enum.IntEnum):
    """What a section holds."""

    REGISTERS = 0
    MMU = 1  # the first-level table, then each second-level table that there is
    RING = 2
    COMMANDS = 3  # the stream that hung, as the kernel has it
    PAGES = 4  # physical addresses of all buffers' pages
    BUFFER = 5
    END = 6


@dataclass(frozen=True)
class Section:
    """A part of a dump. ``kind``: a SectionType, or a number that has no name; ``address``: device address of RING,
    COMMANDS and BUFFER; ``first_page``: of a BUFFER, the index of its first page in PAGES."""

    kind: int
    data: bytes = b""
    address: int = 0
    first_page: int = 0


@dataclass(frozen=True)
class CoreDump:
    """A dump's sections in order, END left out."""

    sections: tuple[Section, ...]

    def of(self, kind: SectionType) -> list[Section]:
        """All sections of one kind."""
        return [section for section in self.sections if section.kind == kind]

    @cached_property
    def registers(self) -> dict[int, int]:
        """The core's registers by byte address."""
        return {
            address: value
            for section in self.of(SectionType.REGISTERS)
            for address, value in _REGISTER.iter_unpack(section.data[: len(section.data) // 8 * 8])
        }

    @cached_property
    def pages(self) -> list[int]:
        """Physical addresses of all buffers' pages."""
        return [
            page
            for section in self.of(SectionType.PAGES)
            for (page,) in _PAGE.iter_unpack(section.data[: len(section.data) // 8 * 8])
        ]

    def pages_of(self, buffer: Section) -> list[int]:
        """Physical addresses of one buffer's pages, as far as the dump has them."""
        return self.pages[buffer.first_page : buffer.first_page + -(-len(buffer.data) // _PAGE_BYTES)]


def registers(values: Iterable[tuple[int, int]]) -> Section:
    """A REGISTERS section of addresses and values."""
    return Section(SectionType.REGISTERS, b"".join(_REGISTER.pack(*pair) for pair in values))


def pages(addresses: Iterable[int]) -> Section:
    """A PAGES section."""
    return Section(SectionType.PAGES, b"".join(map(_PAGE.pack, addresses)))


def encode(dump: CoreDump) -> bytes:
    """The file."""
    sections = (*dump.sections, Section(SectionType.END))
    offset = len(sections) * _HEADER.size
    headers = []
    for section in sections:
        size = len(section.data)
        headers.append(_HEADER.pack(MAGIC, section.kind, offset, size, section.address, section.first_page, 0))
        offset += size
    return b"".join([*headers, *(section.data for section in sections)])


def decode(content: bytes) -> CoreDump:
    """Read a file. Raises BadInput, in one line, for what is no dump or was cut short."""
    sections: list[Section] = []
    left = len(content)
    for number in range(_MOST_SECTIONS):
        at = number * _HEADER.size
        if len(content) < at + _HEADER.size:
            raise BadInput(f"core dump: {len(content)} bytes end in header {number}; the file was cut short")
        magic, kind, offset, size, address, first_page, _ = _HEADER.unpack_from(content, at)
        if magic != MAGIC:
            what = "no core dump of an etnaviv device" if number == 0 else "core dump"
            raise BadInput(f"{what}: header {number} begins with {magic:#010x}; {MAGIC:#010x} is expected")
        if kind == SectionType.END:
            return CoreDump(tuple(sections))
        if offset + size > len(content):
            raise BadInput(
                f"core dump: header {number} points to bytes {offset}..{offset + size} of {len(content)}; "
                "the file was cut short"
            )
        left -= size
        if left < 0:
            raise BadInput(f"core dump: sections 0..{number} hold more bytes than the file has; they overlap")
        sections.append(Section(kind, content[offset : offset + size], address, first_page))
    raise BadInput(f"core dump: more than {_MOST_SECTIONS} sections")
