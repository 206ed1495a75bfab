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

from hornito.compiler import Options, Unit, compile_plan, make_plan
from hornito.compiler.encoded import EncodedJob
from hornito.compiler.plan import NpuPart
from hornito.cost import Work, move_work, nn_work
from hornito.driver import Device
from hornito.hardware.chips import Chip
from hornito.model import read_model
from hornito.model.draw import Draw
from hornito.model.recipes import Recipe
from hornito.stream import BufferKind, Job, NNJob, NpuSegment, Port, Submission, TensorInfo, jobs_of
from hornito.stream.split import filled, split

SEED = 1


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
    name = f"{recipe.label}_{np.dtype(recipe.kind).name}"
    plan = make_plan(read_model(recipe.make(Draw(f"{recipe.family}/{name}", SEED))), options)
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
