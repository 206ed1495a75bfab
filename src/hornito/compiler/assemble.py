# SPDX-License-Identifier: MIT
"""How does a plan become submissions? Every job is encoded, every buffer gets its place last of all."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hornito.compiler.arena import arrange
from hornito.compiler.convolution import EncodedConvolution, encode_convolution
from hornito.compiler.cpu_moves import move_model
from hornito.compiler.encoded import EncodedJob, Start
from hornito.compiler.moves import move_descriptors
from hornito.compiler.options import Options, Technique
from hornito.compiler.placement import Place, blocks, place
from hornito.compiler.plan import CpuPart, MovePart, NpuPart, Plan, make_plan
from hornito.compiler.search import shaping_of
from hornito.compiler.shaping import Shaping
from hornito.compiler.tasks import Convolution, Job, Move, Pad, Task
from hornito.compiler.waves import Waves, are_faster, find_waves, starts_of
from hornito.crew import Crew
from hornito.hardware import states
from hornito.hardware.nn import NNDescriptor
from hornito.hardware.tp import TPDescriptor
from hornito.model import Graph, extract
from hornito.stream import (
    Archive,
    Buffer,
    BufferKind,
    CpuSegment,
    NpuSegment,
    Port,
    Relocation,
    StreamBuilder,
    Submission,
    TensorInfo,
)
from hornito.stream.submission import STREAM

PAGE = 4096
Descriptor = TypeVar("Descriptor", NNDescriptor, TPDescriptor)
Shaper = Callable[[Convolution, Options], Shaping]
Places = Mapping[str, tuple[int, int]]  # field: buffer, and byte there
FIRST_ADDRESS = 0x01000000  # above what the kernel keeps for itself; drivers move submissions anyway


@dataclass(frozen=True, eq=False)
class Compiled:
    """A plan with the archive that carries it out; ``jobs``: the encoded jobs of each NPU part, in order; ``waves``:
    for each of these parts which of its jobs may run at the same time, None where none may."""

    plan: Plan
    archive: Archive
    jobs: tuple[tuple[EncodedJob, ...], ...]
    waves: tuple[Waves | None, ...] = ()


def compile_graph(graph: Graph, options: Options) -> Compiled:
    """From a network to submissions. Raises Unsupported for a chip that Hornito can't compile for."""
    return compile_plan(make_plan(graph, options))


def compile_plan(plan: Plan, shape: Shaper = shaping_of, *, workers: int = 1) -> Compiled:
    """Encode every job of a plan, and cut out the CPU's parts as models of their own. ``shape`` says how NN jobs are
    carried out; ``workers``: threads that encode, which makes no difference to the result.

    Raises Unsupported for a chip whose coefficient format nobody has proven.
    """
    plan.options.check()
    return estimate(plan, shape, workers=workers)


def estimate(plan: Plan, shape: Shaper = shaping_of, *, workers: int = 1) -> Compiled:
    """As ``compile_plan``, but to be looked at only: an unproven coefficient format is taken for version 7's."""
    tasks = [task for part in plan.parts if isinstance(part, NpuPart) for task in part.tasks if isinstance(task, Job)]
    ready = iter(_mapped(lambda task: encode_job(task, plan.options, shape), tasks, workers))
    submissions = [initialisation()]
    segments: list[NpuSegment | CpuSegment] = []
    encoded = []
    waves: list[Waves | None] = []
    crossing: dict[int, TensorInfo] = {}
    address = FIRST_ADDRESS
    for part in plan.parts:
        tensors = {number: plan.tensor(number) for number in (*part.inputs, *part.outputs)}
        crossing |= tensors
        match part:
            case NpuPart():
                jobs = tuple(next(ready) for task in part.tasks if isinstance(task, Job))
                assembly = _Assembly(plan.options, address)
                submission = assembly.submission(jobs, part, tensors)
                waves.append(assembly.waves)
                address = -(-submission.buffers[-1].end // PAGE) * PAGE
                segments.append(NpuSegment(len(submissions)))
                submissions.append(submission)
                encoded.append(jobs)
            case CpuPart():
                model = extract(plan.graph, part.operators, part.inputs, part.outputs)
                segments.append(CpuSegment(model, part.inputs, part.outputs))
            case MovePart():
                segments.append(CpuSegment(move_model(part, tensors), part.inputs, part.outputs))
    crossing |= {number: plan.tensor(number) for number in (*plan.graph.inputs, *plan.graph.outputs)}
    archive = Archive(
        tuple(submissions),
        plan.options.chip.name,
        plan.options.level.value,
        tuple(crossing[number] for number in sorted(crossing)),
        plan.graph.inputs,
        plan.graph.outputs,
        tuple(segments),
    )
    return Compiled(plan, archive, tuple(encoded), tuple(waves))


def _mapped(encode: Callable[[Job], EncodedJob], tasks: Sequence[Job], workers: int) -> list[EncodedJob]:
    """What each task comes to, in order."""
    if min(workers, len(tasks)) < 2:
        return [encode(task) for task in tasks]
    todo = iter(enumerate(tasks))  # each takes the next one when it is done with the last
    found: dict[int, EncodedJob] = {}

    def share() -> None:
        for number, task in todo:
            found[number] = encode(task)

    with contextlib.closing(Crew(min(workers, len(tasks)))) as crew:
        crew.map([share] * crew.workers)
    return [found[number] for number in range(len(tasks))]


def encode_job(task: Job, options: Options, shape: Shaper = shaping_of) -> EncodedJob:
    """Choose and encode everything about one job but its addresses."""
    if isinstance(task, Convolution):
        return EncodedJob(task, convolution=encode_convolution(task, options.chip, shape(task, options)))
    assert isinstance(task, Move)
    return EncodedJob(task, descriptors=move_descriptors(task, options.chip))


def initialisation() -> Submission:
    """The stream that a process submits once, on its own, before any job."""
    stream = StreamBuilder()
    stream.zeros(states.LEADING_ZERO_WORDS)
    stream.load(states.PA_SYSTEM_MODE, states.SYSTEM_MODE)
    stream.load(states.GL_API_MODE, states.OPENCL)
    stream.zeros(states.TRAILING_ZERO_WORDS)
    return Submission(stream.words)


class _Assembly:
    """Collects the buffers of one submission, each in pages of its own from ``address`` on."""

    def __init__(self, options: Options, address: int) -> None:
        self._options = options
        self._chip = options.chip
        self.waves: Waves | None = None
        self._address = address
        self._buffers: list[Buffer] = []
        self._relocations: list[Relocation] = []
        self._tensors: dict[int, tuple[int, int]] = {}  # buffers and offsets of tensors that lie in no other
        self._places: dict[int, Place] = {}
        self._stream = StreamBuilder()

    def submission(self, jobs: tuple[EncodedJob, ...], part: NpuPart, tensors: dict[int, TensorInfo]) -> Submission:
        self._places = place(part.tasks)
        starts = starts_of(jobs)
        if self._options.uses(Technique.PARALLEL):
            found = find_waves(starts, self._places)
            self.waves = found if are_faster(found, self._options) else None
        if self._options.uses(Technique.MEMORY):
            self._arrange(part)
        self._stream.zeros(states.LEADING_ZERO_WORDS)
        if self.waves is None:
            self._start(starts, parallel=False)
        for number, wave in enumerate(self.waves or ()):
            if number:
                self._stream.stall()
            self._start(wave, parallel=True)
        self._stream.zeros(states.TRAILING_ZERO_WORDS)
        # Views that no job touches get their buffers here.
        inputs = tuple(self._port(number, tensors[number]) for number in part.inputs)
        outputs = tuple(self._port(number, tensors[number]) for number in part.outputs)
        in_stream = [Relocation(STREAM, offset, target) for offset, target in self._stream.addresses]
        return Submission(
            self._stream.words,
            tuple(self._buffers),
            (*in_stream, *self._relocations),
            inputs,
            outputs,
        )

    def _add(self, kind: BufferKind, size: int, data: NDArray[np.uint8] | None = None) -> int:
        self._buffers.append(Buffer(kind, self._address, size, data))
        self._address += -(-size // PAGE) * PAGE
        return len(self._buffers) - 1

    def _tensor(self, number: int) -> tuple[int, int]:
        """The buffer in which a tensor lies, and its offset there."""
        where = self._places[number]
        if where.whole not in self._tensors:
            self._tensors[where.whole] = self._add(BufferKind.TENSOR, self._places[where.whole].size), 0
        buffer, offset = self._tensors[where.whole]
        return buffer, offset + where.offset

    def _arrange(self, part: NpuPart) -> None:
        """Give all tensors places in one buffer, those that never live at the same time the same ones."""
        steps: list[list[Task]] = [[task] for task in part.tasks]
        if self.waves is not None:
            steps = [[start.job.task for start in wave] for wave in self.waves]
        arena = arrange(blocks(steps, self._places, part.inputs, part.outputs))
        buffer = self._add(BufferKind.TENSOR, arena.size)
        self._tensors = {number: (buffer, offset) for number, offset in arena.offsets.items()}

    def _port(self, number: int, tensor: TensorInfo) -> Port:
        return Port(tensor, *self._tensor(number), tensor.bytes)

    def _descriptor(self, kind: BufferKind, descriptor: Descriptor, places: Places) -> int:
        """The buffer of a descriptor whose addresses are those of ``places``."""
        shifts = descriptor.addresses()
        addresses = {
            name: self._buffers[buffer].address + offset >> shifts[name] for name, (buffer, offset) in places.items()
        }
        words = descriptor.encode(**addresses)
        number = self._add(kind, 4 * len(words), np.array(words, "<u4").view(np.uint8))
        self._relocations += [
            Relocation(number, descriptor.byte_of(name), buffer, shifts[name]) for name, (buffer, _) in places.items()
        ]
        return number

    def _images(self, task: Job) -> tuple[tuple[int, int], tuple[int, int]]:
        """Buffer and offset of the first byte that a job sees, and of the first that it writes."""
        (source, first), (target, second) = self._tensor(task.source), self._tensor(task.target)
        return (source, first + task.source_frame.offset), (target, second + task.target_frame.offset)

    def _start(self, starts: Sequence[Start], *, parallel: bool) -> None:
        """Jobs in order, and what ends them: caches are written back."""
        for number, start in enumerate(starts, 1):
            tag = number if parallel else 0
            if start.job.convolution is not None:
                self._nn_job(start.job.task, start.job.convolution, tag)
            else:
                self._tp_job(start.job.task, start.descriptors, tag)
        for _ in range(2):
            self._stream.load(states.GL_FLUSH_CACHE, states.FLUSH_PARALLEL if parallel else states.FLUSH_ALL)

    def _nn_job(self, task: Job, job: EncodedConvolution, tag: int) -> None:
        source, target = self._images(task)
        kernels = self._add(BufferKind.COEFFICIENTS, len(job.coefficients.blob), job.coefficients.blob)
        places = {"kernel_address": (kernels, 0), "in_image_address": source, "out_image_address": target}
        number = self._descriptor(BufferKind.NN, job.descriptor, places)
        self._no_remapping()
        self._stream.load(states.GL_NN_CONFIG, 0 if tag else states.SMALL_BATCH)
        self._stream.load_address(states.PS_NN_INST_ADDR, number, self._buffers[number].address + tag)
        self._stream.load(states.PS_UNK10A4, tag)

    def _tp_job(self, task: Job, descriptors: tuple[TPDescriptor, ...], tag: int) -> None:
        earlier = states.TAG_NOT_LAST_CORE_PARALLEL if tag else states.TAG_NOT_LAST_CORE
        (source, first), (target, second) = self._images(task)
        for core, descriptor in enumerate(descriptors):
            places = {
                "in_image_base_address": (source, first + descriptor.in_image_base_address),
                "out_image_base_address": (target, second + descriptor.out_image_base_address),
            }
            number = self._descriptor(BufferKind.TP, descriptor, places)
            self._no_remapping()
            self._stream.load(states.GL_TP_CONFIG, 0)
            self._stream.load(states.GL_UNK03950, self._unknown_03950(task, core))
            address = self._buffers[number].address + (earlier if descriptor.no_flush else tag)
            self._stream.load_address(states.PS_TP_INST_ADDR, number, address)
            if not descriptor.no_flush:  # the last core of a job
                self._stream.load(states.PS_UNK10A4, tag)

    def _unknown_03950(self, task: Job, core: int) -> int:
        return states.PAD_NOT_LAST_CORE if isinstance(task, Pad) and core < self._chip.tp_cores - 1 else 0

    def _no_remapping(self) -> None:
        self._stream.load(states.GL_OCB_REMAP_START, 0)
        self._stream.load(states.GL_OCB_REMAP_END, 0)
