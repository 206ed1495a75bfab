# SPDX-License-Identifier: MIT
"""Does a replay find out that a device does something else than was recorded, and in which job that begins?"""

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from hornito.cli.main import main
from hornito.compiler import Options, compile_graph
from hornito.driver import Device, EtnavivDevice, Loaded
from hornito.errors import DeviceError
from hornito.examples import builtin_model
from hornito.hardware.chips import find_chip
from hornito.hardware.nn import KERNEL_ADDRESS_SHIFT
from hornito.model import read_model
from hornito.runtime import open_device
from hornito.stream import Archive, BufferKind, Submission
from hornito.stream.annotate import NN, triggers
from hornito.stream.submission import moved_word
from hornito.trace.bisection import run
from hornito.trace.cuts import with_jobs
from hornito.trace.frames import CHECKSUM, FRAME, MAGIC, Kind, check_head, unpack
from hornito.trace.load import load
from hornito.trace.reader import open_trace
from hornito.trace.recorder import Recorder
from hornito.trace.records import BufferEntry, Done, Extent, Header, Recording, Store, Submit
from hornito.trace.replay import Verdict, replay
from hornito.trace.view import view
from hornito.trace.writer import TraceWriter, save
from hornito.uapi.drm import RENDER_NODE
from tests.trace.recorded_kernel import RecordedKernel
from tests.trace.samples import recorded as without_results


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, cache_folder: Path) -> Path:
    """A recording of the built-in classifier, by our driver."""
    return recorded(tmp_path_factory.mktemp("recorded") / "F.trace", archive().submissions)


@pytest.fixture(scope="module")
def thrifty(tmp_path_factory: pytest.TempPathFactory, cache_folder: Path) -> Path:
    """A recording of its first part, in which all tensors between the jobs share two buffers."""
    return recorded(tmp_path_factory.mktemp("recorded") / "T.trace", [sharing_two_buffers(archive().submissions[1])])


def archive() -> Archive:
    return compile_graph(read_model(builtin_model()), Options(find_chip("a311d"))).archive


def recorded(path: Path, submissions: Sequence[Submission]) -> Path:
    recorder = Recorder(TraceWriter(path, Header("test", find_chip("a311d").name)))
    kernel = RecordedKernel(recorder, real=True)
    random = np.random.default_rng(1)
    with EtnavivDevice(kernel, RENDER_NODE) as device:
        for submission in submissions:
            shapes = [(port.tensor.shape, port.tensor.dtype) for port in submission.inputs]
            device.load(submission).run([random.integers(0, 256, shape).astype(dtype) for shape, dtype in shapes])
    kernel.inner.shutdown()
    recorder.close()
    return path


def sharing_two_buffers(submission: Submission) -> Submission:
    """Of a chain of jobs: what each writes lies where the one before the last wrote."""
    ports = {port.buffer for port in (*submission.inputs, *submission.outputs)}
    inner = [n for n, b in enumerate(submission.buffers) if b.kind is BufferKind.TENSOR and n not in ports]
    shared = {number: inner[place % 2] for place, number in enumerate(inner)}
    most = max(submission.buffers[number].size for number in inner)
    buffers, moves = list(submission.buffers), []
    contents = {n: buffer.data.copy() for n, buffer in enumerate(buffers) if buffer.data is not None}
    for one in submission.relocations:
        target = shared.get(one.target, one.target)
        moves.append(dataclasses.replace(one, target=target))
        if target != one.target:
            words = contents[one.buffer].view("<u4")
            distance = buffers[target].address - buffers[one.target].address
            words[one.offset // 4] = moved_word(int(words[one.offset // 4]), distance, one.shift)
    for number in shared.values():
        buffers[number] = dataclasses.replace(buffers[number], size=most)
    buffers = [dataclasses.replace(buffer, data=contents.get(n)) for n, buffer in enumerate(buffers)]
    made = dataclasses.replace(submission, buffers=tuple(buffers), relocations=tuple(moves))
    return made.moved([0x10000000 + 0x10000 * number for number in range(len(buffers))])


class FlippedBit:
    """A device in whose memory a bit of one buffer is always the other way round."""

    def __init__(self, inner: Device, buffer: int, bit: int) -> None:
        self._inner = inner
        self._buffer = buffer
        self._bit = bit
        self.name, self.chip = "worn out", inner.chip
        self.loads = 0

    def load(self, submission: Submission) -> Loaded:
        self.loads += 1
        buffers = list(submission.buffers)
        content = buffers[self._buffer].data
        assert content is not None
        content = content.copy()
        content[self._bit // 8] ^= 1 << self._bit % 8
        buffers[self._buffer] = dataclasses.replace(buffers[self._buffer], data=content)
        return self._inner.load(dataclasses.replace(submission, buffers=tuple(buffers)))

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def device(cache_folder: Path) -> Iterator[Device]:
    device = open_device("virtual")
    assert device is not None
    with device:
        yield device


def jobs_of_nn(recording: Recording) -> list[tuple[int, int, int]]:
    """Of each NN job: its submit's number, its own, and the address of its coefficients."""
    return [
        (submit.number, job.number, job.descriptors[0].fields["kernel_address"] << KERNEL_ADDRESS_SHIFT)
        for submit in recording.submits()
        for job in view(recording, submit).jobs
        if job.unit == NN
    ]


def changed(recording: Recording, submit: int, address: int, bit: int, *, after: bool = False) -> Recording:
    """The same with one bit of memory the other way round: as submit number so and so found it, or left it."""
    store = Store()
    table: tuple[BufferEntry, ...] = ()

    def keep(extents: Sequence[Extent], entry: BufferEntry, hit: bool) -> tuple[Extent, ...]:
        content = bytearray(recording.bytes_of(extents).ljust(entry.size, b"\0"))
        if hit and entry.address <= address < entry.address + entry.size:
            content[address - entry.address + bit // 8] ^= 1 << bit % 8
        return store.keep(content)

    for event in recording.events():
        if isinstance(event, Submit):
            table, hit = event.buffers, event.number == submit and not after
            buffers = tuple(dataclasses.replace(entry, before=keep(entry.before, entry, hit)) for entry in table)
            stream = store.keep(recording.bytes_of(event.stream))
            store.events.append(dataclasses.replace(event, buffers=buffers, stream=stream))
        elif isinstance(event, Done):
            hit = event.submit == submit and after
            written = [dataclasses.replace(one, after=keep(one.after, table[one.buffer], hit)) for one in event.written]
            store.events.append(dataclasses.replace(event, written=tuple(written)))
    return store.recording("changed", recording.header)


def first_difference(recording: Recording, device: Device) -> Verdict | None:
    return next((verdict for verdict in replay(recording, device) if not verdict.same), None)


def test_what_was_recorded_comes_again(path: Path, device: Device) -> None:
    verdicts = list(replay(open_trace(path), device))
    assert all(verdict.same and not verdict.skipped for verdict in verdicts)
    assert sum(verdict.bytes for verdict in verdicts) > 10_000
    assert len(verdicts) == len(list(open_trace(path).submits()))


def test_flipped_bits_of_coefficients_are_found_at_their_job(path: Path, device: Device) -> None:
    recording = open_trace(path)
    jobs = jobs_of_nn(recording)
    assert len(jobs) >= 3
    found = 0
    for number, (submit, job, address) in enumerate(jobs):
        for bit in (64 * 8 + 13 * number, 64 * 8 + 400 + 7 * number):  # behind the header
            verdict = first_difference(changed(recording, submit, address, bit), device)
            if verdict is not None:  # a weight's lowest bit may change nothing
                found += 1
                assert (verdict.submit, verdict.job, verdict.unit) == (submit, job, NN), verdict
                assert (verdict.suspects, verdict.reference) == ((), "")  # nothing was written over
    assert found > len(jobs)


def test_where_jobs_write_over_results_a_reference_tells_which_was_the_first(thrifty: Path, device: Device) -> None:
    recording = open_trace(thrifty)
    (submit,) = recording.submits()
    seen = view(recording, submit)
    found = 0
    for _, job, address in jobs_of_nn(recording):
        buffer = seen.submission.buffer_at(address)
        assert buffer is not None
        faulty = FlippedBit(device, buffer, 64 * 8 + 67 + 11 * job)
        (alone,) = replay(recording, faulty)
        if alone.same:  # a weight's lowest bit may change nothing
            continue
        found += 1
        assert alone.job is not None
        assert job in (alone.job, *alone.suspects)
        faulty.loads = 0
        (verdict,) = replay(recording, faulty, lambda: device)
        assert (verdict.job, verdict.unit, verdict.suspects) == (job, NN, ())
        assert faulty.loads <= 2 + math.ceil(math.log2(len(seen.jobs)))
        if alone.suspects:
            assert verdict.reference == device.name
            written = [one.footprint.written for one in seen.job(job).descriptors]
            difference = verdict.difference
            assert difference is not None
            assert any(one.start <= difference.address < one.end for one in written)
            assert difference.recorded != difference.found
    assert found >= 8


def test_a_reference_that_does_not_do_what_was_recorded_is_of_no_use(thrifty: Path, device: Device) -> None:
    """A bit of the recording's own coefficients: both devices do the same, and not what was recorded."""
    recording = open_trace(thrifty)
    submit, job, address = jobs_of_nn(recording)[2]
    altered = changed(recording, submit, address, 64 * 8 + 67 + 11 * job)
    (verdict,) = replay(altered, device, lambda: device)
    assert not verdict.same and verdict.reference == ""
    assert job in verdict.suspects
    assert verdict.job is not None and verdict.job > job


def test_jobs_whose_results_others_made_right_use_of_are_no_suspects(thrifty: Path, device: Device) -> None:
    """The last job's result is altered; those before it led to what is still there, and right."""
    recording = open_trace(thrifty)
    (submit,) = recording.submits()
    last = view(recording, submit).jobs[-1]
    address = last.descriptors[0].footprint.written.start
    (verdict,) = replay(changed(recording, submit.number, address, 3, after=True), device)
    assert (verdict.job, verdict.suspects) == (last.number, ())


def test_streams_are_cut_behind_any_job(thrifty: Path, device: Device) -> None:
    """Jobs one by one, each on what those before it left, make what all together make."""
    recording = open_trace(thrifty)
    (submit,) = recording.submits()
    seen = view(recording, submit)
    tensors = [n for n, buffer in enumerate(seen.submission.buffers) if buffer.kind is BufferKind.TENSOR]
    together = run(device, with_jobs(seen, 0, len(seen.jobs) - 1), tensors)
    buffers = list(seen.submission.buffers)
    for job in seen.jobs:
        alone = with_jobs(seen, job.number, job.number)
        assert [unit for unit, _ in triggers(alone.stream.tolist())] == [job.unit] * len(job.descriptors)
        left = run(device, dataclasses.replace(alone, buffers=tuple(buffers)), tensors)
        for number, content in zip(tensors, left, strict=True):
            buffers[number] = dataclasses.replace(buffers[number], data=content)
    assert all(np.array_equal(a, b) for a, b in zip(left, together, strict=True))
    with pytest.raises(ValueError):
        with_jobs(seen, 99, 100)


def test_a_changed_result_is_found_where_it_is(path: Path, device: Device) -> None:
    recording = open_trace(path)
    submit = list(recording.submits())[-1]
    seen = view(recording, submit)
    job = seen.jobs[-1]
    address = job.descriptors[0].footprint.written.start
    verdict = first_difference(changed(recording, submit.number, address, 9, after=True), device)
    assert verdict is not None and verdict.difference is not None
    assert (verdict.job, verdict.difference.address, verdict.difference.count) == (job.number, address + 1, 1)
    assert verdict.difference.recorded ^ verdict.difference.found == 2
    buffer = submit.buffers[[entry.handle for entry in submit.buffers].index(verdict.difference.handle)]
    assert buffer.address + verdict.difference.offset == address + 1


def test_a_job_that_was_killed_and_now_is_not_differs(path: Path, device: Device) -> None:
    recording = open_trace(path)
    events = [
        dataclasses.replace(event, status=-125) if isinstance(event, Done) else event for event in recording.events()
    ]
    killed = Recording("killed", recording.header, lambda _: iter(events), recording)
    verdict = first_difference(killed, device)
    assert verdict is not None and "was killed when it was recorded (-125)" in verdict.problem


class Lost:
    """A device that is there for a few loads alone."""

    def __init__(self, inner: Device, loads: int) -> None:
        self._inner = inner
        self._loads = loads
        self.name, self.chip = "lost", inner.chip

    def load(self, submission: Submission) -> Loaded:
        self._loads -= 1
        if self._loads < 0:
            raise DeviceError("lost: No such device [ENODEV]")
        return self._inner.load(submission)

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("status", [1, -125])
def test_a_device_that_fails_before_it_runs_is_an_error_and_no_killed_job(
    path: Path, device: Device, status: int
) -> None:
    recording = open_trace(path)
    events = [
        dataclasses.replace(event, status=status) if isinstance(event, Done) else event for event in recording.events()
    ]
    with pytest.raises(DeviceError, match="ENODEV"):
        list(replay(Recording("lost", recording.header, lambda _: iter(events), recording), Lost(device, 0)))


@pytest.mark.parametrize("ours,theirs", [(99, 0), (99, 1), (99, 2), (1, 99), (2, 99)])
def test_a_verdict_stays_where_a_device_fails_while_jobs_are_searched(
    thrifty: Path, device: Device, ours: int, theirs: int
) -> None:
    recording = open_trace(thrifty)
    (submit,) = recording.submits()
    seen = view(recording, submit)
    for _, job, address in jobs_of_nn(recording):
        buffer = seen.submission.buffer_at(address)
        assert buffer is not None
        faulty = FlippedBit(device, buffer, 64 * 8 + 67 + 11 * job)
        (alone,) = replay(recording, faulty)
        if alone.suspects:
            break
    assert alone.suspects
    assert list(replay(recording, Lost(faulty, ours), lambda: Lost(device, theirs))) == [alone]


def test_the_command_line_says_which_job_and_which_byte(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", "replay", str(path)]) == 0
    assert "submits as recorded" in capsys.readouterr().out
    recording = load(path)
    submit, job, address = jobs_of_nn(recording)[0]
    save(changed(recording, submit, address, 64 * 8 + 3), tmp_path / "B.trace")
    assert main(["trace", "replay", str(tmp_path / "B.trace")]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"submit {submit}: job {job} (NN): ")
    assert main(["trace", "replay", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["same"], told["problem"]) == (True, "")
    assert main(["trace", "replay", str(tmp_path / "B.trace"), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["same"], told["submits"][-1]["job"]) == (False, job)


def test_the_command_line_tells_who_is_in_question(
    thrifty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = load(thrifty)
    submit, job, address = jobs_of_nn(recording)[1]
    save(changed(recording, submit, address, 64 * 8 + 67 + 11 * job), tmp_path / "B.trace")
    for reference in ("none", "virtual"):
        assert main(["trace", "replay", str(tmp_path / "B.trace"), "--reference", reference]) == 1
        (line,) = capsys.readouterr().out.splitlines()
        assert "; later jobs wrote over what job" in line and line.endswith(" left, so it may have begun with that")
    assert main(["trace", "replay", str(tmp_path / "B.trace"), "--reference", "cpu"]) == 2
    assert "--reference cpu: the CPU obeys no command streams" in capsys.readouterr().err
    assert main(["trace", "replay", str(tmp_path / "B.trace"), "--reference", "/dev/dri/renderD999"]) == 1
    told = capsys.readouterr()
    assert "; later jobs wrote over what job" in told.out
    assert told.err.count("the reference can't be asked: /dev/dri/renderD999") == 1


def test_an_unknown_reference_is_refused_before_anything_is_played(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", "replay", str(path), "--reference", "foo"]) == 2
    told = capsys.readouterr()
    assert (told.out, len(told.err.splitlines())) == ("", 1)
    assert "--reference: unknown device 'foo'" in told.err


@pytest.mark.parametrize("damage", ["its end alone", "all but the first submit", "a byte behind that"])
def test_a_cut_or_damaged_recording_is_never_as_recorded(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    content = bytearray(path.read_bytes())
    first = content_up_to_the_second_submit(path)
    if damage == "its end alone":
        content = content[:-5]
    elif damage == "all but the first submit":
        content = content[: first + 20]
    else:
        content[first + 20] ^= 1
    (tmp_path / "B.trace").write_bytes(content)
    assert main(["trace", "replay", str(tmp_path / "B.trace")]) == 2
    told = capsys.readouterr()
    assert "B.trace: cut " in told.err or "B.trace: damaged " in told.err
    assert ("nobody can tell" in told.out) is (damage == "its end alone")
    assert main(["trace", "replay", str(tmp_path / "B.trace"), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["same"] is None
    assert found["problem"].startswith(("cut ", "damaged "))


def content_up_to_the_second_submit(path: Path) -> int:
    """Bytes of the file up to behind the end of the first submit (the initialisation, which leaves nothing)."""
    at, content = len(MAGIC), path.read_bytes()
    while True:
        head = content[at : at + FRAME.size]
        length = check_head(head) + CHECKSUM.size
        rest = content[at + FRAME.size : at + FRAME.size + length]
        kind, _ = unpack(head, rest[: -CHECKSUM.size], rest[-CHECKSUM.size :])
        at += FRAME.size + length
        if kind == Kind.DONE:
            return at


def test_recordings_without_results_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], path: Path) -> None:
    recording = load(without_results(tmp_path / "A.trace"))
    events = [event for event in recording.events() if not isinstance(event, Done)]
    save(Recording("A", Header("test"), lambda _: iter(events), recording), tmp_path / "B.trace")
    assert main(["trace", "replay", str(tmp_path / "B.trace")]) == 2
    assert "no submit whose results are known" in capsys.readouterr().err
    assert main(["trace", "replay", str(path), "--device", "cpu"]) == 2
