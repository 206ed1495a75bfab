# SPDX-License-Identifier: MIT
"""Does a core dump survive being written and read, and is what is none refused in one line?"""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornito.errors import BadInput
from hornito.uapi.coredump import CoreDump, Section, SectionType, decode, encode, pages, registers

_KINDS = st.integers(0, (1 << 32) - 1).filter(lambda kind: kind != SectionType.END)
_SECTIONS = st.builds(
    Section, _KINDS, st.binary(max_size=50), st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 32) - 1)
)
SAMPLE = CoreDump(
    (
        registers([(0x664, 0x1040), (0x660, 0x11)]),
        Section(SectionType.RING, bytes(4096), 0x1000),
        pages([0x1_0000_0000, 0x1_0000_1000, 0x2_0000_3000]),
        Section(SectionType.BUFFER, bytes(8192), 0xF0000000, 0),
        Section(SectionType.BUFFER, b"\x01" * 4096, 0xF0010000, 2),
    )
)


@given(st.lists(_SECTIONS, max_size=8).map(tuple))
def test_any_sections_survive(sections: tuple[Section, ...]) -> None:
    dump = CoreDump(sections)
    assert decode(encode(dump)) == dump


def test_the_layout_is_the_kernels() -> None:
    content = encode(SAMPLE)
    headers = [struct.unpack_from("<IIIIQII", content, 32 * number) for number in range(6)]
    assert {header[0] for header in headers} == {0x414E5445}
    assert [header[1] for header in headers] == [0, 2, 4, 5, 5, 6]
    assert [header[2] for header in headers] == [192, 208, 4304, 4328, 12520, 16616]
    assert [header[3] for header in headers] == [16, 4096, 24, 8192, 4096, 0]
    assert [header[4] for header in headers] == [0, 0x1000, 0, 0xF0000000, 0xF0010000, 0]
    assert headers[4][5] == 2
    assert content[192:200] == struct.pack("<II", 0x664, 0x1040)


def test_registers_and_pages_are_named() -> None:
    dump = decode(encode(SAMPLE))
    assert dump.registers == {0x664: 0x1040, 0x660: 0x11}
    first, second = dump.of(SectionType.BUFFER)
    assert dump.pages_of(first) == [0x1_0000_0000, 0x1_0000_1000]
    assert dump.pages_of(second) == [0x2_0000_3000]
    assert dump.of(SectionType.MMU) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cut short"),
        (b"PK" + bytes(40), "no core dump of an etnaviv device"),
        (encode(SAMPLE)[:100], "cut short"),
        (encode(SAMPLE)[:-1], "cut short"),
        (encode(SAMPLE)[:32] + bytes(400), "header 1 begins with 0x00000000"),
    ],
)
def test_what_is_no_dump_is_refused_in_one_line(content: bytes, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        decode(content)
    assert len(str(caught.value)) < 200
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_sections_that_share_bytes_are_refused() -> None:
    """Else a small file could ask for any amount of memory."""
    header = struct.pack("<IIIIQII", 0x414E5445, 5, 0, 6400, 0, 0, 0)
    with pytest.raises(BadInput, match="overlap"):
        decode(header * 200)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6), st.integers(0, 20000))
def test_damaged_dumps_are_read_or_refused(damage: list[tuple[int, int]], length: int) -> None:
    content = bytearray(encode(SAMPLE))
    for at, value in damage:
        content[at] = value
    try:
        dump = decode(bytes(content[:length]))
    except BadInput:
        return
    assert isinstance(dump.registers, dict) and isinstance(dump.pages, list)
    assert all(len(dump.pages_of(buffer)) <= len(buffer.data) for buffer in dump.of(SectionType.BUFFER))
