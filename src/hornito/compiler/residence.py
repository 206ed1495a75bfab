# SPDX-License-Identifier: MIT
"""How much memory do a plan's tensors take, and what would it bring to keep some of them on the chip between jobs?

The second can only be estimated. A job finds its tensors in on-chip memory if registers map a window of addresses to
it (GL_OCB_REMAP_START and _END, GL_SRAM_REMAP_ADDRESS), or where a move's descriptor says so (in_image_global_mem,
out_image_global_mem); the reference driver writes 0 to the first and 1 to the second, and nothing is known of what
other values do.
"""

import dataclasses
from collections.abc import Sequence

from hornito.compiler.arena import Block, aligned, arrange, live_bytes
from hornito.compiler.assemble import Compiled
from hornito.compiler.encoded import Start
from hornito.compiler.placement import Place, blocks, place
from hornito.compiler.plan import NpuPart
from hornito.compiler.tasks import Task
from hornito.compiler.waves import starts_of
from hornito.cost import TensorMemory, Work
from hornito.hardware.chips import Chip
from hornito.stream import BufferKind


def tensor_memory(compiled: Compiled) -> TensorMemory:
    """What the tensors of all submissions take, each of which has memory of its own."""
    found = [_blocks(compiled, number) for number in range(len(compiled.jobs))]
    placed = (
        buffer.size
        for submission in compiled.archive.submissions
        for buffer in submission.buffers
        if buffer.kind is BufferKind.TENSOR
    )
    apart = sum(aligned(block.size) for own in found for block in own)
    return TensorMemory(apart, sum(placed), sum(live_bytes(own) for own in found))


def kept_on_chip(compiled: Compiled, number: int) -> list[Work]:
    """What each job of NPU part ``number`` would have to do, in order, if as many tensors as fit stayed in the AXI
    SRAM from job to job, those that save most for the room that they take. Inputs and outputs don't: the CPU is to find
    them."""
    part, chip = _parts(compiled)[number], compiled.plan.options.chip
    starts, places = starts_of(compiled.jobs[number]), place(part.tasks)
    outside = {places[index].whole for index in (*part.inputs, *part.outputs)}
    saved: dict[int, int] = {}
    for start in starts:
        reads, writes = _image(start, chip)
        for tensor, size in ((start.job.task.source, reads), (start.job.task.target, writes)):
            whole = places[tensor].whole
            saved[whole] = saved.get(whole, 0) + size
    inner = [block for block in _blocks(compiled, number) if block.number not in outside]
    kept = _chosen(inner, saved, chip.axi_sram)
    return [_without(start, places, kept, chip) for start in starts]


def _parts(compiled: Compiled) -> list[NpuPart]:
    return [part for part in compiled.plan.parts if isinstance(part, NpuPart)]


def _blocks(compiled: Compiled, number: int) -> list[Block]:
    """The lifetimes of a part's tensors, in the steps in which its jobs run."""
    part, waves = _parts(compiled)[number], compiled.waves[number]
    steps: Sequence[Sequence[Task]] = [(task,) for task in part.tasks]
    if waves is not None:
        steps = [[start.job.task for start in wave] for wave in waves]
    return blocks(steps, place(part.tasks), part.inputs, part.outputs)


def _image(start: Start, chip: Chip) -> tuple[int, int]:
    """Bytes of tensors that a job reads and writes over the bus."""
    work = start.work(chip)
    return work.read - work.coefficient_reads, work.written


def _chosen(found: Sequence[Block], saved: dict[int, int], room: int) -> set[int]:
    """Of the blocks, those to keep: by what they save for each byte, as long as all still fit."""
    kept: list[Block] = []
    worth = {block.number: saved.get(block.number, 0) / aligned(block.size) for block in found}
    for block in sorted(found, key=lambda block: (-worth[block.number], block.number)):
        if live_bytes([*kept, block]) <= room and arrange([*kept, block]).size <= room:
            kept.append(block)
    return {block.number for block in kept}


def _without(start: Start, places: dict[int, Place], kept: set[int], chip: Chip) -> Work:
    """A job's work, but for what it reads and writes of tensors that are kept."""
    work, task = start.work(chip), start.job.task
    reads, writes = _image(start, chip)
    reads = reads if places[task.source].whole in kept else 0
    writes = writes if places[task.target].whole in kept else 0
    cached = work.cached + reads + writes
    return dataclasses.replace(work, read=work.read - reads, written=work.written - writes, cached=cached)
