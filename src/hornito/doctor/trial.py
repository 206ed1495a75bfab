# SPDX-License-Identifier: MIT
"""How does a network become trials? Each job of it as a submission of its own, whose memory is known byte for byte.

What a trial's device must leave in memory is what the virtual NPU leaves there. Every tensor buffer is compared whole,
so bytes that a job should not have touched count too.
"""

import dataclasses
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.compiler import Level, Options, Technique, Unit, compile_plan, make_plan
from hornito.compiler.encoded import EncodedJob
from hornito.compiler.evidence import fast_key
from hornito.compiler.plan import NpuPart
from hornito.cost import Work, move_work, nn_work
from hornito.driver import Device
from hornito.hardware.chips import Chip
from hornito.model import Graph, read_model
from hornito.model.draw import Draw
from hornito.model.recipes import Recipe
from hornito.stream import BufferKind, Job, NNJob, NpuSegment, Port, Submission, TensorInfo, jobs_of
from hornito.stream.split import filled, split

SEED = 1
# The techniques of level fast that single jobs show.
SHOWN = frozenset({Technique.GROUPS, Technique.TILES, Technique.CACHING, Technique.SYMBOLS, Technique.STRIDES})


@dataclass(frozen=True, eq=False)
class Trial:
    """One job. ``submission`` has all that it reads, and an output for each tensor buffer, which must come out as
    ``expected``. ``keys``: the compiler's keys of what it is evidence for."""

    family: str
    name: str
    unit: Unit
    operator: str
    keys: tuple[str, ...]
    work: Work
    submission: Submission
    expected: tuple[bytes, ...]


def trials(recipe: Recipe, options: Options, judge: Device) -> Iterator[Trial]:
    """The jobs of a recipe's network, in order; none where the NPU can do nothing of it. ``judge``: a virtual device of
    the same chip, which says what is right. Raises DeviceError: the judge refuses a job, which is a mistake of ours."""
    name = _name(recipe)
    plan = make_plan(_graph(recipe), options)
    if not plan.uses_npu:
        return
    compiled = compile_plan(plan)
    submissions = [
        compiled.archive.submissions[segment.submission]
        for segment in compiled.archive.segments
        if isinstance(segment, NpuSegment)
    ]
    npu = [part for part in plan.parts if isinstance(part, NpuPart)]
    count = 0
    for part, whole, jobs in zip(npu, submissions, compiled.jobs, strict=True):
        if not part.tasks or not jobs:
            continue
        random = np.random.default_rng([SEED, zlib.crc32(name.encode()), count])
        contents = {
            buffer.address: random.integers(0, 256, buffer.size, np.uint8).tobytes()
            for buffer in whole.buffers
            if buffer.kind is BufferKind.TENSOR
        }
        owners = [job.task.operator for job in jobs for _ in range(_submitted(job))]
        for owner, alone in zip(owners, split(whole), strict=True):
            [job] = jobs_of(alone)
            ports = _tensors(alone)
            submission = filled(alone, contents, ports)
            expected = tuple(array.tobytes() for array in _once(judge, submission))
            contents |= {alone.buffers[port.buffer].address: left for port, left in zip(ports, expected, strict=True)}
            yield Trial(
                recipe.family,
                f"{recipe.family}/{name}#{count}",
                Unit.NN if isinstance(job, NNJob) else Unit.TP,
                plan.graph.operators[owner].kind,
                plan.keys.get(owner, ()),
                _work(job, options.chip),
                submission,
                expected,
            )
            count += 1


def _name(recipe: Recipe) -> str:
    return f"{recipe.label}_{np.dtype(recipe.kind).name}"


def _graph(recipe: Recipe) -> Graph:
    return read_model(recipe.make(Draw(f"{recipe.family}/{_name(recipe)}", SEED)))


def fast_trials(recipe: Recipe, chip: Chip, judge: Device) -> Iterator[Trial]:
    """The same at plan level fast. They are evidence for those techniques alone without which other jobs would come of
    the network; for what one job by itself doesn't show, they are none."""
    options = Options(chip, Level.FAST, without=frozenset(Technique) - SHOWN)
    graph = _graph(recipe)
    whole = _bytes(graph, options)
    used = [
        one for one in SHOWN if _bytes(graph, dataclasses.replace(options, without=options.without | {one})) != whole
    ]
    known = {fast_key(chip.name, one) for one in used}
    for trial in trials(recipe, options, judge):
        yield dataclasses.replace(trial, keys=tuple(key for key in trial.keys if key in known))


def _bytes(graph: Graph, options: Options) -> list[bytes]:
    """All that is compiled of a network."""
    submissions = compile_plan(make_plan(graph, options)).archive.submissions
    buffers = [buffer.data for submission in submissions for buffer in submission.buffers]
    found = [data.tobytes() for data in buffers if data is not None]
    return [*found, *(submission.stream.tobytes() for submission in submissions)]


def timing(submission: Submission) -> Submission:
    """The same job with nothing to read back, so that running it is submitting it and waiting for its end."""
    return dataclasses.replace(submission, outputs=())


def _submitted(job: EncodedJob) -> int:
    """How many jobs the device sees: a move may be several, each of which ends on its last core."""
    return 1 if job.convolution is not None else sum(not descriptor.no_flush for descriptor in job.descriptors)


def _work(job: Job, chip: Chip) -> Work:
    if isinstance(job, NNJob):
        return nn_work(job.descriptor, job.coefficient_bytes, chip)
    return move_work(job.descriptors)


def _once(device: Device, submission: Submission) -> list[NDArray[Any]]:
    loaded = device.load(submission)
    try:
        return loaded.run([])
    finally:
        loaded.close()


def _tensors(submission: Submission) -> tuple[Port, ...]:
    """Every tensor buffer as a whole."""
    return tuple(
        Port(TensorInfo(number, f"buffer {number}", (buffer.size,), "uint8"), number, 0, buffer.size)
        for number, buffer in enumerate(submission.buffers)
        if buffer.kind is BufferKind.TENSOR
    )
