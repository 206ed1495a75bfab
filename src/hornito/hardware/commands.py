# SPDX-License-Identifier: MIT
"""Which commands does the front end read, and how long is each?

Source: Mesa 25.0.7 and the Linux etnaviv driver. A command starts on a 64-bit boundary and fills whole 64-bit words.
"""

import enum
from dataclasses import dataclass

from hornito.bits import Confidence

OPCODE_SHIFT = 27
LOAD_STATE_FIXP = 1 << 26
MAX_STREAM_BYTES = 128 * 1024  # the kernel refuses longer streams


class Opcode(enum.IntEnum):
    """Bits 31:27 of a command's first word."""

    ZERO = 0x00  # skipped, two words; inferred from streams that begin and end with zero words
    LOAD_STATE = 0x01
    END = 0x02
    NOP = 0x03
    DRAW_2D = 0x04
    DRAW_PRIMITIVES = 0x05
    DRAW_INDEXED_PRIMITIVES = 0x06
    WAIT = 0x07
    LINK = 0x08
    STALL = 0x09
    CALL = 0x0A
    RETURN = 0x0B
    DRAW_INSTANCED = 0x0C
    CHIP_SELECT = 0x0D
    WAIT_FENCE = 0x0F
    DRAW_INDIRECT = 0x10
    SNAP_PAGES = 0x13


@dataclass(frozen=True)
class Command:
    """A command's length: ``words`` in all, or for a variable one the fewest."""

    opcode: Opcode
    words: int
    confidence: Confidence = Confidence.REPLAYED
    source: str = "Mesa 25.0.7 cmdstream.xml"


_ZERO = Command(Opcode.ZERO, 2, Confidence.INFERRED, "streams of Mesa 25.0.7 begin and end so")

COMMANDS: dict[int, Command] = {Opcode.ZERO: _ZERO} | {
    int(opcode): Command(opcode, words)
    for opcode, words in {
        Opcode.LOAD_STATE: 2,
        Opcode.END: 2,
        Opcode.NOP: 2,
        Opcode.DRAW_2D: 2,
        Opcode.DRAW_PRIMITIVES: 4,
        Opcode.DRAW_INDEXED_PRIMITIVES: 6,
        Opcode.WAIT: 2,
        Opcode.LINK: 2,
        Opcode.STALL: 2,
        Opcode.CALL: 4,
        Opcode.RETURN: 2,
        Opcode.DRAW_INSTANCED: 4,
        Opcode.CHIP_SELECT: 2,
        Opcode.WAIT_FENCE: 2,
        Opcode.DRAW_INDIRECT: 2,
        Opcode.SNAP_PAGES: 2,
    }.items()
}


def header(opcode: Opcode, low: int) -> int:
    """The first word of a command whose low 16 bits are ``low``."""
    return opcode << OPCODE_SHIFT | low


def command_length(word: int) -> int:
    """Words of the command that begins with ``word``, padding included. Raises KeyError for an unknown opcode."""
    command = COMMANDS[word >> OPCODE_SHIFT]
    if command.opcode is Opcode.LOAD_STATE:
        count = word >> 16 & 0x3FF
        return 1 + count + (1 + count) % 2
    if command.opcode is Opcode.DRAW_2D:
        return 2 + 2 * (word >> 8 & 0xFF or 256)
    return command.words
