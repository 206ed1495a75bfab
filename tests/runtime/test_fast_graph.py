# SPDX-License-Identifier: MIT
"""Do results stay the same, byte for byte, when plan level fast changes a segment's jobs and memory as a whole?"""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from hornito.compiler import Compiled, Level, Options, Technique, compile_plan, make_plan
from hornito.compiler.plan import NpuPart
from hornito.compiler.tasks import Job
from hornito.driver import EtnavivDevice
from hornito.hardware.chips import find_chip
from hornito.model import read_model
from hornito.runtime import Session
from hornito.stream import NNJob, TPJob, jobs_of
from hornito.virtual.memory import AddressSpace
from hornito.virtual.npu.executor import Executor
from hornito.virtual.npu.frontend import Job as Started
from hornito.virtual.timeline import Timeline
from tests.runtime.conftest import Devices
from tests.runtime.fast_networks import Choice, DType, choices, dtypes, network, sizes
from tests.runtime.networks import Array, noise
from tests.virtual.machine import Memory

CHIPS = ("vipnano-qi-88-0", "vipnano-si-plus-9f-6000000")
# Techniques for single jobs have tests of their own, and their search takes its time.
OTHERS = frozenset({Technique.GROUPS, Technique.TILES, Technique.CACHING, Technique.STRIDES})
FIXTURES = [HealthCheck.function_scoped_fixture]


def compiled(model: bytes, chip: str, level: Level, without: frozenset[Technique] = frozenset()) -> Compiled:
    options = Options(find_chip(chip), level, without=without | OTHERS)
    return compile_plan(make_plan(read_model(model), options))


def results(made: Compiled, devices: Devices, values: list[Array]) -> list[Array]:
    device = devices(made.plan.options.chip.name)
    session = Session(made.archive, device, trusted=True)
    try:
        found = session.run(dict(zip(made.plan.graph.inputs, values, strict=True)))
        assert isinstance(device, EtnavivDevice)
        assert device.messages() == []  # no job touched what another one of its wave writes
        return [found[index] for index in made.plan.graph.outputs]
    finally:
        session.close()


@pytest.mark.parametrize("chip", CHIPS)
@settings(max_examples=30, deadline=None, suppress_health_check=FIXTURES)
@given(size=sizes, found=choices, dtype=dtypes)
def test_results_are_those_of_level_wide(
    chip: str, size: tuple[int, int, int], found: list[Choice], dtype: DType, devices: Devices
) -> None:
    model, shape = network(size, found, dtype)
    values = [noise(shape, dtype, 1)]
    wanted = results(compiled(model, chip, Level.WIDE), devices, values)
    for one, other in zip(wanted, results(compiled(model, chip, Level.FAST), devices, values), strict=True):
        np.testing.assert_array_equal(one, other)


def _bases(made: Compiled, number: int) -> Iterator[tuple[Job, int, bool]]:
    """Each started job's task, the address of the first byte that the task writes, and whether that ends the task."""
    submission = made.archive.submissions[1 + number]
    started = jobs_of(submission)
    for encoded in made.jobs[number]:
        parts = encoded.flushed
        for count, descriptors in enumerate(parts, 1):
            job = next(started)
            if isinstance(job, NNJob):
                yield encoded.task, job.descriptor.out_image_address, True
            else:
                assert isinstance(job, TPJob)
                offset = descriptors[0].out_image_base_address
                yield encoded.task, job.descriptors[0].out_image_base_address - offset, count == len(parts)


class Watched(Executor):
    """Keeps what each job of one part of a plan has written, as soon as it has."""

    def __init__(self, made: Compiled, part: int) -> None:
        super().__init__(made.plan.options.chip)
        self.written: list[tuple[Job, NDArray[np.uint8]]] = []
        self._targets = _bases(made, part)

    def _run(self, space: AddressSpace, job: Started, timeline: Timeline) -> None:
        super()._run(space, job, timeline)
        task, address, ends = next(self._targets)
        if not ends:
            return
        frame, image = task.target_frame, task.output
        size = (image.channels - 1) * frame.plane_bytes + (image.rows - 1) * frame.columns + image.columns
        flat = space.view(address, size)
        shape, steps = (image.channels, image.rows, image.columns), (frame.plane_bytes, frame.columns, 1)
        self.written.append((task, np.lib.stride_tricks.as_strided(flat, shape, steps).copy()))


def every_job(made: Compiled, part: int, values: dict[int, Array]) -> list[tuple[Job, NDArray[np.uint8]]]:
    """What each job writes, given the inputs; memory is full of noise before."""
    submission = made.archive.submissions[1 + part]
    memory = Memory()
    try:
        memory.load(submission)
        for buffer in submission.buffers:
            if buffer.data is None:
                view = memory.space.view(buffer.address, buffer.size)
                view[:] = np.random.default_rng(7).integers(0, 256, buffer.size, dtype=np.uint8)
        for port in submission.inputs:
            at = submission.buffers[port.buffer].address + port.offset
            memory.space.view(at, port.bytes)[:] = values[port.tensor.index].reshape(-1)
        executor = Watched(made, part)
        executor.run(memory.space, submission.stream)
        return executor.written
    finally:
        memory.close()


@pytest.mark.parametrize("chip", CHIPS)
@settings(max_examples=20, deadline=None)
@given(size=sizes, found=choices, dtype=dtypes)
def test_every_job_writes_what_it_writes_where_no_memory_is_shared(
    chip: str, size: tuple[int, int, int], found: list[Choice], dtype: DType
) -> None:
    model, shape = network(size, found, dtype)
    shared = compiled(model, chip, Level.FAST)
    apart = compiled(model, chip, Level.FAST, frozenset({Technique.MEMORY}))
    if not shared.jobs or not isinstance(shared.plan.parts[0], NpuPart):
        return
    values = {shared.plan.graph.inputs[0]: noise(shape, dtype, 2)}
    mine, theirs = (by_job(every_job(made, 0, values)) for made in (shared, apart))
    assert mine.keys() == theirs.keys()
    for job, written in mine.items():
        np.testing.assert_array_equal(written, theirs[job])


def by_job(found: list[tuple[Job, NDArray[np.uint8]]]) -> dict[object, NDArray[np.uint8]]:
    """By what a job reads and writes: the order of jobs may depend on whether memory is shared."""
    made: dict[object, NDArray[np.uint8]] = {
        (type(job), job.operator, job.source, job.target, job.target_frame): written for job, written in found
    }
    assert len(made) == len(found)
    return made


@pytest.mark.parametrize("chip", CHIPS)
@settings(max_examples=20, deadline=None, suppress_health_check=FIXTURES)
@given(size=sizes, found=choices, dtype=dtypes)
def test_jobs_of_one_wave_keep_out_of_each_others_memory(
    chip: str, size: tuple[int, int, int], found: list[Choice], dtype: DType, devices: Devices, waves: None
) -> None:
    """Else the virtual NPU says so."""
    model, shape = network(size, found, dtype)
    values = [noise(shape, dtype, 3)]
    made = compiled(model, chip, Level.FAST)
    assert all(wave is not None for wave in made.waves)
    wanted = results(compiled(model, chip, Level.WIDE), devices, values)
    for one, other in zip(wanted, results(made, devices, values), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def waves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every submission runs in parallel mode, faster or not."""
    monkeypatch.setattr("hornito.compiler.assemble.are_faster", lambda found, chip: True)
