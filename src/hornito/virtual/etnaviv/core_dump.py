# SPDX-License-Identifier: MIT
"""What core dump does the virtual NPU leave when a job is killed? What Linux would write, of a machine that agrees with
itself: page tables, registers, ring, stream and buffers belong together.

What no fact tells is a choice of ours: physical addresses, the front end waiting behind the job that runs, and zero for
registers that are not modelled.
"""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hornito.hardware import registers as reg
from hornito.hardware.chips import Chip
from hornito.hardware.commands import Opcode, header
from hornito.hardware.mmu import PAGE
from hornito.hardware.registers import FrontEndState
from hornito.uapi import coredump
from hornito.uapi.coredump import CoreDump, Section, SectionType
from hornito.uapi.etnaviv import STREAM_TAIL
from hornito.uapi.recovery import COMMAND_ADDRESS
from hornito.virtual.etnaviv.buffers import Mapping
from hornito.virtual.etnaviv.page_tables import physical_address
from hornito.virtual.etnaviv.scheduler import Job
from hornito.virtual.timeline import Progress

_WAIT_CYCLES = 200
_RETURN = 0x40  # byte of the ring that the stream goes back to
_EPILOGUE_COMMANDS = 7


def core_dump(job: Job, chip: Chip, pool_fd: int) -> bytes:
    """The dump of a job that was killed. The worker calls it, so that no buffer goes meanwhile."""
    assert job.timeline is not None
    stream = _commands(job.stream)
    buffers, page_addresses = _buffers(job.uses, pool_fd)
    sections = [
        coredump.registers((address, value) for address, value in _registers(job.timeline.progress, chip, stream, job)),
        Section(SectionType.MMU, job.file.tables.content()),
        Section(SectionType.RING, _ring(job.address), COMMAND_ADDRESS),
        Section(SectionType.COMMANDS, stream, job.address),
    ]
    if buffers:
        sections.append(coredump.pages(page_addresses))
    return coredump.encode(CoreDump((*sections, *buffers)))


def _registers(progress: Progress, chip: Chip, stream: bytes, job: Job) -> list[tuple[int, int]]:
    identity = chip.identity
    working = {reg.IDLE_BITS.get(progress.unit, 0), reg.IDLE_BITS["FE"]}
    state = FrontEndState.WAIT_FOR_FIFO
    if progress.address == COMMAND_ADDRESS:
        state = FrontEndState.WAIT
    elif progress.unit == "FE":
        state = FrontEndState.DECODE
    offset = progress.address - job.address
    ahead = stream[offset : offset + 8] if 0 <= offset < len(stream) else b""
    low, high = np.frombuffer(ahead.ljust(8, b"\0"), "<u4").tolist()
    known = {
        reg.HI_CLOCK_CONTROL: reg.CLOCK_IDLE,
        reg.HI_IDLE_STATE: reg.ALL_IDLE & ~sum(1 << bit for bit in working),
        reg.HI_AXI_CONFIG: reg.AXI_DEFAULT,
        reg.HI_INTR_ENABLE: reg.ALL_INTERRUPTS,
        reg.HI_CHIP_FEATURE: chip.features[0] if chip.features else 0,
        reg.HI_CHIP_MODEL: identity.model,
        reg.HI_CHIP_REVISION: identity.revision,
        reg.HI_CHIP_MINOR_FEATURE_0: chip.features[1] if chip.features else 0,
        reg.FE_DMA_DEBUG_STATE: state,
        reg.FE_DMA_ADDRESS: progress.address,
        reg.FE_DMA_LOW: low,
        reg.FE_DMA_HIGH: high,
    }
    return [(address, known.get(address, 0)) for address in reg.DUMPED]


def _commands(stream: NDArray[np.uint32]) -> bytes:
    """The stream as the kernel has it: padded, and with a link back into the ring."""
    content = np.ascontiguousarray(stream, "<u4").tobytes()
    content += bytes(-len(content) % STREAM_TAIL)
    return content + _words(header(Opcode.LINK, _EPILOGUE_COMMANDS), COMMAND_ADDRESS + _RETURN)


def _ring(target: int) -> bytes:
    """The ring page: a link to the stream where the front end waited, and what it finds when it comes back."""
    ring = _words(header(Opcode.LINK, 1), target).ljust(_RETURN, b"\0")
    again = COMMAND_ADDRESS + _RETURN
    ring += _words(header(Opcode.WAIT, _WAIT_CYCLES), 0, header(Opcode.LINK, 2), again)
    return ring.ljust(PAGE, b"\0")


def _words(*words: int) -> bytes:
    return np.array(words, "<u4").tobytes()


def _buffers(uses: Sequence[Mapping], pool_fd: int) -> tuple[list[Section], list[int]]:
    """A section a buffer, and all their pages' physical addresses."""
    sections = []
    addresses: list[int] = []
    for use in uses:
        content = _read(pool_fd, use.buffer.size, use.buffer.offset)
        sections.append(Section(SectionType.BUFFER, content, use.va, len(addresses)))
        addresses += [physical_address(use.buffer.offset + at) for at in range(0, use.buffer.size, PAGE)]
    return sections, addresses


def _read(fd: int, size: int, offset: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        part = os.pread(fd, size - len(content), offset + len(content))
        if not part:
            break
        content += part
    return bytes(content).ljust(size, b"\0")
