# SPDX-License-Identifier: MIT
"""What does the kernel's core dump of a hung NPU say, as a recording? The stream that hung, with all buffers."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hornito.errors import BadInput
from hornito.hardware import registers
from hornito.stream import Buffer, BufferKind, Submission
from hornito.trace.records import Header, Message, Recording, Store
from hornito.trace.submissions import add_submission, with_kinds
from hornito.uapi.coredump import MAGIC, CoreDump, Section, SectionType, decode

_LARGEST = 1 << 30  # bytes of a dump that we read
_ADDRESSES = 1 << 32
_NAMES = {value: name for name, value in vars(registers).items() if name.startswith(("HI_", "FE_"))}


def is_core_dump(start: bytes) -> bool:
    """Do these first bytes begin a core dump?"""
    return start[:4] == MAGIC.to_bytes(4, "little")


def read_core_dump(path: Path) -> Recording:
    """A core dump as a recording: the registers as messages, the stream that hung as a submit with the buffers as the
    crash left them, the kernel's ring as another without any. Raises BadInput."""
    try:
        if path.stat().st_size > _LARGEST:
            raise BadInput(f"has {path.stat().st_size} bytes; a dump has at most {_LARGEST}")
        dump = decode(path.read_bytes())
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    except OSError as error:
        raise BadInput(f"{path}: can't be read ({error.strerror})") from error
    store = Store()
    for address, value in dump.registers.items():
        store.events.append(Message(0, f"{_NAMES.get(address, '?')} ({address:#05x}) = {value:#010x}", "register"))
    idle = dump.registers.get(registers.HI_IDLE_STATE)
    if idle is not None:
        busy = [unit for unit, bit in registers.IDLE_BITS.items() if not idle >> bit & 1]
        store.events.append(Message(0, f"busy: {', '.join(busy) or 'no unit of an NPU'}", "register"))
    buffers = _buffers(dump)
    front_end = dump.registers.get(registers.FE_DMA_ADDRESS)
    for section in dump.of(SectionType.COMMANDS):
        stood = ""
        if front_end is not None and section.address <= front_end < section.address + len(section.data):
            stood = f"; the front end stood at word {(front_end - section.address) // 4}"
        title = f"the stream at {section.address:#x}{stood}"
        add_submission(store, with_kinds(Submission(_words(section), buffers)), title)
    for section in dump.of(SectionType.RING):
        add_submission(
            store, Submission(_words(section)), f"the kernel's ring at {section.address:#x}, up to its zeros"
        )
    return store.recording(str(path), Header("core dump"))


def _words(section: Section) -> NDArray[np.uint32]:
    """Whole commands, without the zeros at the end of the kernel's ring."""
    data = section.data.rstrip(b"\0") if section.kind == SectionType.RING else section.data
    whole = -(-len(data) // 8) * 8
    return np.frombuffer(section.data.ljust(whole, b"\0")[:whole], "<u4").astype(np.uint32)


def _buffers(dump: CoreDump) -> tuple[Buffer, ...]:
    """By ascending address, without those that can't be: outside of all addresses, or overlapping the one before."""
    found: list[Buffer] = []
    for section in sorted(dump.of(SectionType.BUFFER), key=lambda section: section.address):
        data = np.frombuffer(section.data, np.uint8)
        end = section.address + len(data)
        if len(data) and end <= _ADDRESSES and (not found or section.address >= found[-1].end):
            found.append(Buffer(BufferKind.TENSOR, section.address, len(data), data))
    return tuple(found)
