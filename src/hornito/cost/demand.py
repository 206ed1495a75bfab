# SPDX-License-Identifier: MIT
"""What does an inference consist of, as far as time goes? Jobs, what stays on the CPU, copies and submissions."""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hornito.cost.work import Work, move_work, nn_work, tiling_of
from hornito.hardware.chips import Chip, CoefficientFormat
from hornito.hardware.coefficients import header_bytes
from hornito.hardware.nn import CachingMode, NNDescriptor
from hornito.stream import NNJob, Submission, jobs_of


class Target(enum.StrEnum):
    """Who does it."""

    NN = "NN"
    TP = "TP"
    CPU = "CPU"
    COPY = "copy"  # the CPU, between its memory and the NPU's buffers
    SUBMIT = "submit"  # kernel and interrupt


@dataclass(frozen=True)
class Choices:
    """What the compiler chose for an NN job, as the descriptor states it. ``sram``: bytes of VIP SRAM that it takes;
    ``zrl_bits``: None where the coefficients were not looked into."""

    tile: str = ""
    superblocks: int = 0
    zrl_bits: int | None = None
    image_caching: str = ""
    kernel_caching: str = ""
    sram: int = 0


NO_CHOICES = Choices()


@dataclass(frozen=True)
class Item:
    """One thing that takes time. ``operator``: what it is for, as the model names it; ``name``: the job's own kind;
    ``real_macs``: of the layer, of which ``work.macs`` is what the hardware is given; ``elements`` that the CPU reads
    and writes; ``bytes`` that it copies. ``wave``: submission and number of the wave of jobs, which may run
    at the same time, that it belongs to; None for what runs alone."""

    target: Target
    operator: str
    name: str
    work: Work = Work()
    real_macs: int = 0
    elements: int = 0
    bytes: int = 0
    choices: Choices = NO_CHOICES
    wave: tuple[int, int] | None = None


@dataclass(frozen=True)
class TensorMemory:
    """Bytes for tensors: with memory of its own for each (``apart``), as they are ``placed``, and the most that live at
    any one time (``least``), below which no placement can go."""

    apart: int
    placed: int
    least: int


@dataclass(frozen=True)
class Demand:
    """All of an inference, or of a recording. ``memory``: bytes of the NPU's buffers by what they hold, all of which
    live at the same time; ``estimated``: the chip's coefficient format is unproven, and their size a guess;
    ``tensors``: what becomes of the tensors' memory, where that is known; ``on_chip``: the same items if tensors stayed
    in on-chip memory between jobs, which nobody knows how to tell the chip; empty where that would bring nothing;
    ``recorded``: of submissions alone, without what the CPU does."""

    title: str
    items: tuple[Item, ...]
    memory: dict[str, int] = field(default_factory=dict)
    estimated: bool = False
    tensors: TensorMemory | None = None
    on_chip: tuple[Item, ...] = ()
    recorded: bool = False


def choices_of(descriptor: NNDescriptor, chip: Chip, zrl_bits: int | None = None) -> Choices:
    """What an NN descriptor says of its tiling and caching."""
    d = descriptor
    tiling = tiling_of(d, chip)
    kernels, image = CachingMode(d.kernel_caching_mode), CachingMode(d.image_caching_mode)
    sram = 0
    if kernels is not CachingMode.NONE:
        sram += max(d.kernel_cache_end_address - d.kernel_cache_start_address, 0)
    if image is not CachingMode.NONE:
        sram += max(d.image_cache_end_address - d.image_cache_start_address, 0)
    return Choices(
        f"{d.out_image_tile_x_size}x{d.out_image_tile_y_size}",
        tiling.superblocks,
        zrl_bits,
        image.name.lower(),
        kernels.name.lower(),
        sram,
    )


def demand_of(submissions: Sequence[Submission], chip: Chip, title: str) -> Demand:
    """What anyone's submissions want of a chip. Raises BadStream for a trigger that points at no descriptor."""
    items: list[Item] = []
    memory: dict[str, int] = {}
    for number, submission in enumerate(submissions):
        own = list(_items(submission, chip, number))
        if not own:
            continue
        items += [Item(Target.SUBMIT, f"submission {number}", "SUBMIT"), *own]
        for buffer in submission.buffers:
            memory[buffer.kind.value] = memory.get(buffer.kind.value, 0) + buffer.size
    return Demand(title, tuple(items), memory, recorded=True)


def _items(submission: Submission, chip: Chip, where: int) -> Iterator[Item]:
    for number, job in enumerate(jobs_of(submission)):
        place = f"submission {where}, job {number}"
        wave = None if job.wave is None else (where, job.wave)
        if isinstance(job, NNJob):
            work = nn_work(job.descriptor, job.coefficient_bytes, chip)
            yield Item(
                Target.NN, place, "NN", work, choices=choices_of(job.descriptor, chip, _zero_runs(job, chip)), wave=wave
            )
        else:
            yield Item(Target.TP, place, "TP", move_work(job.descriptors), wave=wave)


def _zero_runs(job: NNJob, chip: Chip) -> int | None:
    """The width of zero runs that version 7's coefficients begin with, after their header; None for others."""
    at = header_bytes(chip.nn_cores)
    if chip.coefficient_format is not CoefficientFormat.V7 or not job.coefficient_bytes:
        return None
    return job.start[at] if at < len(job.start) else None
