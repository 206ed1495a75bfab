# SPDX-License-Identifier: MIT
"""Does a recording hold each call and each job, with memory as the job found it and left it?"""

import ctypes
import errno
import logging
import os
import resource
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.cli import main
from hornito.errors import BadInput
from hornito.trace.assembly import Begun, Ended
from hornito.trace.calls import arguments, name_of
from hornito.trace.reader import open_trace
from hornito.trace.recorder import Recorder
from hornito.trace.records import Call, Done, Header, Message, Recording, Submit
from hornito.trace.snapshots import PIECE, FileMemory, Snapshot, Snapshots
from hornito.trace.writer import Keeper, TraceWriter
from hornito.uapi.etnaviv import GEM_NEW, GEM_SUBMIT, GET_PARAM, GemSubmit, SubmitFlag, SubmitReloc
from hornito.uapi.sync_file import SYNC_IOC_FILE_INFO
from tests.fake_executor import BLOCK, COPY, CRASH, NOTHING
from tests.trace.recorded_kernel import Caller, RecordedKernel
from tests.virtual.client import VA, Client, fails

READ, WRITE = 1, 2
SIZE = 3 * PIECE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made.trace"


@pytest.fixture
def recorder(path: Path) -> Recorder:
    return Recorder(TraceWriter(path, Header("test")))


@pytest.fixture
def kernel(recorder: Recorder) -> Iterator[RecordedKernel]:
    kernel = RecordedKernel(recorder)
    yield kernel
    kernel.executor.release.set()
    kernel.inner.shutdown()


@pytest.fixture
def client(kernel: RecordedKernel) -> Client:
    return Client(kernel)  # type: ignore[arg-type]


class Recorded:
    """What is in the file, once the device has ended."""

    def __init__(self, path: Path, recorder: Recorder, kernel: RecordedKernel | None = None) -> None:
        if kernel is not None:
            kernel.executor.release.set()
            kernel.inner.shutdown()
        recorder.close()
        self.recording: Recording = open_trace(path)
        self.events = list(self.recording.events())
        assert self.recording.problem == ""
        self.calls = [event for event in self.events if isinstance(event, Call)]
        self.submits = [event for event in self.events if isinstance(event, Submit)]
        self.done = [event for event in self.events if isinstance(event, Done)]

    def before(self, submit: int, buffer: int) -> bytes:
        entry = self.submits[submit].buffers[buffer]
        assert entry.known
        return self.recording.bytes_of(entry.before).ljust(entry.size, b"\0")

    def stream(self, submit: int) -> list[int]:
        made = self.submits[submit]
        content = self.recording.bytes_of(made.stream).ljust(made.stream_bytes, b"\0")
        return list(struct.unpack(f"<{made.stream_bytes // 4}I", content))

    def after(self, submit: int) -> dict[int, bytes]:
        return {one.buffer: self.recording.bytes_of(one.after) for one in self.done[submit].written}


def test_calls_are_recorded_with_arguments_and_answers(
    path: Path, recorder: Recorder, kernel: RecordedKernel, client: Client
) -> None:
    client.new(5000)
    fails(errno.ENXIO, lambda: GET_PARAM(kernel, client.fd, pipe=1, param=1))
    fails(errno.EINVAL, lambda: kernel.ioctl(client.fd, 0xC0046478, 0))  # nobody knows it, and its pointer is none
    found = Recorded(path, recorder, kernel)
    first, second, third = found.calls
    assert [name_of(call) for call in found.calls[:2]] == ["ETNAVIV_GEM_NEW", "ETNAVIV_GET_PARAM"]
    assert arguments(first, first.sent)["size"] == 5000
    assert (arguments(first, first.returned)["handle"], first.errno) == (1, 0)
    assert (second.errno, third.errno, third.sent) == (errno.ENXIO, errno.EINVAL, b"")
    assert {call.descriptor for call in found.calls} == {client.fd}
    assert {(call.process, call.thread) for call in found.calls} == {(os.getpid(), os.getpid())}
    assert [call.number for call in found.calls] == [0, 1, 2]
    assert 0 < first.time < first.time + first.duration <= second.time


def test_memory_is_recorded_as_jobs_find_it_and_leave_it(
    path: Path, recorder: Recorder, kernel: RecordedKernel, client: Client
) -> None:
    """Jobs that are queued: what is there when the call is made, or when the recorder has time, is something else."""
    handle = client.new(SIZE)
    memory = client.map(handle, SIZE)
    held = client.submit((BLOCK,), (handle, VA, READ | WRITE))
    memory[0:4], memory[PIECE : PIECE + 4] = b"abcd", b"efgh"
    submits = [
        client.submit((COPY, VA, VA + 8, 4), (handle, VA, READ | WRITE)),
        client.submit((COPY, VA + PIECE, VA, 4), (handle, VA, READ | WRITE)),
        client.submit((NOTHING,), (handle, VA, READ)),
    ]
    kernel.executor.release.set()
    client.wait(submits[-1].fence)
    memory[0:4] = b"late"
    found = Recorded(path, recorder, kernel)
    assert [submit.fence for submit in found.submits] == [held.fence, *(submit.fence for submit in submits)]
    assert [entry.handle for submit in found.submits for entry in submit.buffers] == [handle] * 4
    assert [found.before(number, 0)[:12] for number in range(1, 4)] == [
        b"abcd" + bytes(8),
        b"abcd" + bytes(4) + b"abcd",
        b"efgh" + bytes(4) + b"abcd",
    ]
    assert {len(found.before(number, 0)) for number in range(4)} == {SIZE}
    assert found.after(1)[0][:12] == b"abcd" + bytes(4) + b"abcd"
    assert found.after(2)[0][:12] == b"efgh" + bytes(4) + b"abcd"
    assert found.after(3) == {}
    assert [done.status for done in found.done] == [1] * 4


def test_buffers_that_no_client_sees_are_recorded_as_jobs_leave_them(
    path: Path, recorder: Recorder, kernel: RecordedKernel, client: Client
) -> None:
    seen, unseen = client.new(SIZE), client.new(SIZE)
    memory = client.map(seen, SIZE)
    memory[0:4] = b"abcd"
    table = ((seen, VA, READ | WRITE), (unseen, VA + SIZE, READ | WRITE))
    client.wait(client.submit((COPY, VA, VA + SIZE, 4), *table).fence)
    client.wait(client.submit((NOTHING,), *table).fence)
    # One that its table does not name, and one that it calls read only.
    client.wait(client.submit((COPY, VA, VA + SIZE + 4, 4), table[0]).fence)
    client.wait(client.submit((NOTHING,), *table).fence)
    client.wait(client.submit((COPY, VA, VA + SIZE + 8, 4), table[0], (unseen, VA + SIZE, READ)).fence)
    client.wait(client.submit((NOTHING,), *table).fence)
    # From now on a client may write to it at any time.
    client.map(unseen, SIZE)[0:4] = b"ABCD"
    client.wait(client.submit((NOTHING,), *table).fence)
    found = Recorded(path, recorder, kernel)
    assert [found.before(number, 1)[:12] for number in (0, 1, 3, 5, 6)] == [
        bytes(12),
        b"abcd" + bytes(8),
        b"abcdabcd" + bytes(4),
        b"abcdabcdabcd",
        b"ABCDabcdabcd",
    ]
    assert [found.after(number)[1][:12] for number in (0, 1, 3, 5, 6)] == [
        b"abcd",
        b"abcd",
        b"abcdabcd",
        b"abcdabcdabcd",
        b"ABCDabcdabcd",
    ]


def test_what_a_killed_job_wrote_is_recorded(path: Path, recorder: Recorder, client: Client) -> None:
    seen, unseen = client.new(), client.new()
    client.map(seen)[0:4] = b"abcd"
    table = ((seen, VA, READ), (unseen, VA + 4096, WRITE))
    client.wait(client.submit((COPY, VA, VA + 4096, 4), *table).fence)
    client.wait(client.submit((CRASH,), *table).fence)
    client.wait(client.submit((COPY, VA, VA + 4100, 4), *table).fence)
    found = Recorded(path, recorder)
    assert [done.status for done in found.done] == [1, -errno.ECANCELED, 1]
    assert [found.before(number, 1)[:8] for number in range(3)] == [bytes(8), b"abcd" + bytes(4), b"abcd" + bytes(4)]
    assert [found.after(number)[1] for number in range(3)] == [b"abcd", b"abcd", b"abcdabcd"]


def test_submits_have_stream_table_and_relocations(path: Path, recorder: Recorder, client: Client) -> None:
    handle = client.new()
    submit = client.submit((NOTHING, 17), (handle, VA, READ))
    client.wait(submit.fence)
    found = Recorded(path, recorder)
    (made,) = found.submits
    (call,) = (call for call in found.calls if call.request == GEM_SUBMIT.number)
    assert found.stream(0) == [0, 17]
    assert [(entry.handle, entry.address, entry.flags, entry.size) for entry in made.buffers] == [(1, VA, READ, 4096)]
    assert (made.call, made.flags, made.fence) == (call.number, SubmitFlag.SOFTPIN, submit.fence)
    assert set(call.more) == {"bos", "stream"}
    assert found.recording.more(call, "stream") == bytes(4) + b"\x11\0\0\0"


def test_words_that_the_kernel_put_addresses_in_are_recorded_with_them(
    path: Path, recorder: Recorder, client: Client
) -> None:
    handle = client.new()
    table = (SubmitReloc * 1)(SubmitReloc(submit_offset=4, reloc_idx=0, reloc_offset=16))
    submit = client.submit(
        (NOTHING, 0xDEAD), (handle, 0, READ), flags=SubmitFlag(0), relocs=ctypes.addressof(table), nr_relocs=1
    )
    client.wait(submit.fence)
    found = Recorded(path, recorder)
    (made,) = found.submits
    address = made.buffers[0].address
    assert address > 0
    assert found.stream(0) == [0, address + 16]
    assert [(one.buffer, one.offset, one.target) for one in made.relocations] == [(-1, 4, 0)]
    assert found.recording.more(found.calls[-2], "relocs") == bytes(table)


def test_killed_jobs_are_recorded_with_what_the_log_says(
    path: Path, recorder: Recorder, kernel: RecordedKernel, client: Client
) -> None:
    submit = client.submit((CRASH,), flags=SubmitFlag.SOFTPIN | SubmitFlag.FENCE_FD_OUT)
    client.wait(submit.fence)
    assert SYNC_IOC_FILE_INFO(kernel, submit.fence_fd).status < 0
    os.close(submit.fence_fd)
    found = Recorded(path, recorder, kernel)
    assert [done.status for done in found.done] == [-errno.ECANCELED]
    assert "a mistake of ours" in " ".join(event.text for event in found.events if isinstance(event, Message))
    assert name_of(found.calls[-1]) == "SYNC_IOC_FILE_INFO"


def test_refused_submits_are_calls_alone(path: Path, recorder: Recorder, client: Client) -> None:
    fails(errno.EINVAL, lambda: client.submit((NOTHING,), (7, VA, READ)))
    found = Recorded(path, recorder)
    (call,) = found.calls
    assert (call.errno, found.submits) == (errno.EINVAL, [])
    assert len(found.recording.more(call, "bos")) == 16


def test_waits_are_one_call_however_often_they_are_made(
    path: Path, recorder: Recorder, kernel: RecordedKernel, client: Client
) -> None:
    submit = client.submit((BLOCK,))
    fails(errno.ETIMEDOUT, lambda: client.wait(submit.fence, 0.3))
    found = Recorded(path, recorder, kernel)
    wait = found.calls[-1]
    assert (len(found.calls), wait.errno) == (2, errno.ETIMEDOUT)
    assert wait.duration >= 50_000_000  # all tries together; the deadline was set before the first


def test_a_call_that_a_signal_ends_is_recorded_with_the_next_one(path: Path, recorder: Recorder) -> None:
    caller = Caller(1, 3)
    recorder.enter(caller, GEM_NEW.number, 0)
    recorder.leave(recorder.enter(Caller(2, 3), GEM_NEW.number, 0), errno.EFAULT)
    found = Recorded(path, recorder)
    assert [call.errno for call in found.calls] == [errno.EINTR, errno.EFAULT]


def test_jobs_that_never_begin_are_recorded_without_memory(
    path: Path, recorder: Recorder, kernel: RecordedKernel, client: Client
) -> None:
    handle = client.new()
    client.submit((BLOCK,), (handle, VA, WRITE))
    client.submit((NOTHING,), (handle, VA, WRITE))
    assert kernel.executor.started.wait(20)
    recorder.close()
    recording = open_trace(path)
    first, second = recording.submits()
    assert [first.buffers[0].known, second.buffers[0].known] == [True, False]


@pytest.mark.parametrize("order", ["call first", "job first"])
def test_order_in_which_call_and_job_are_told_does_not_matter(path: Path, recorder: Recorder, order: str) -> None:
    argument = GemSubmit(fence=0, nr_bos=0, stream_size=0)
    call = recorder.enter(Caller(1, 3), GEM_SUBMIT.number, argument)
    argument.fence = 5
    if order == "call first":
        recorder.leave(call)
    recorder.begun(5, Begun(b"1234", ()))
    recorder.ended(5, Ended(7, 1))
    if order == "job first":
        recorder.leave(call)
    found = Recorded(path, recorder)
    assert [type(event) for event in found.events] == [Call, Submit, Done]
    assert found.submits[0].stream_bytes == 4


def test_a_full_disk_is_told_once_and_the_program_goes_on(
    path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder = Recorder(TraceWriter(path, Header("test")))
    kernel = RecordedKernel(recorder)
    client = Client(kernel)  # type: ignore[arg-type]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with caplog.at_level(logging.ERROR, "hornito"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, before[1]))
        try:
            for _ in range(3):
                client.wait(client.submit((NOTHING,)).fence)
                time.sleep(0.05)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(caplog.records) == 1
    with pytest.raises(BadInput, match="File too large") as raised:
        recorder.close()
    monkeypatch.setattr(main, "_run", lambda words: recorder_fails(raised.value))
    assert main.main(["trace", "record"]) == 125
    assert capsys.readouterr().err == ""  # it was logged


def recorder_fails(error: Exception) -> int:
    raise error


@settings(max_examples=30, deadline=None)
@given(
    writes=st.lists(
        st.lists(st.tuples(st.integers(0, SIZE - 1), st.binary(max_size=40)), max_size=4), min_size=1, max_size=6
    )
)
def test_snapshots_are_what_memory_held(writes: list[list[tuple[int, bytes]]]) -> None:
    fd = os.memfd_create("memory")
    try:
        os.ftruncate(fd, 2 * SIZE)
        snapshots = Snapshots()
        taken: list[tuple[bytes, Snapshot]] = []
        for some in writes:
            for offset, content in some:
                os.pwrite(fd, content[: SIZE - offset], SIZE + offset)
            taken.append((os.pread(fd, SIZE, SIZE), snapshots.take(FileMemory(fd, SIZE, SIZE))))
        kept: dict[bytes, bytes] = {}

        class Keep(Keeper):
            def _keep(self, piece: bytes | memoryview) -> bytes:
                name = super()._keep(piece)
                kept[name] = bytes(piece)
                return name

        keeper = Keep(lambda frame: None)
        for expected, snapshot in reversed(taken):  # in any order: the writer may lag behind
            found = bytearray(SIZE)
            for extent in snapshot.extents(keeper):
                found[extent.offset : extent.offset + extent.length] = kept[extent.digest]
            assert bytes(found) == expected
    finally:
        os.close(fd)


def test_looking_at_many_buffers_leaves_descriptors_for_others() -> None:
    fd = os.memfd_create("memory")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * held + 60, before[1]))
    try:
        os.ftruncate(fd, 200 * 4096)
        snapshots = Snapshots()
        for number in range(200):
            snapshots.take(FileMemory(fd, number * 4096, 4096))
        assert len(os.listdir("/proc/self/fd")) <= 2 * held + 40
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        os.close(fd)


def test_memory_that_did_not_change_is_not_copied_again() -> None:
    fd = os.memfd_create("memory")
    try:
        os.ftruncate(fd, SIZE)
        os.pwrite(fd, b"x" * SIZE, 0)
        snapshots = Snapshots()
        assert snapshots.last(0) is None
        first = snapshots.take(FileMemory(fd, 0, SIZE))
        os.pwrite(fd, b"y", PIECE)
        second = snapshots.take(FileMemory(fd, 0, SIZE))
        assert [one is other for one, other in zip(first.pieces, second.pieces, strict=True)] == [True, False, True]
        assert snapshots.take(FileMemory(fd, 0, SIZE)) is snapshots.last(0) is second
    finally:
        os.close(fd)
