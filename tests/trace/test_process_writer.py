# SPDX-License-Identifier: MIT
"""Does the process that writes a recording get everything, and is it told where it can't write?"""

import ctypes
import os
import random
import resource
import signal
import threading
import time
from pathlib import Path

import pytest

from hornito.errors import BadInput
from hornito.trace.assembly import Begun, Ended, Placed
from hornito.trace.process_writer import ProcessWriter
from hornito.trace.reader import open_trace
from hornito.trace.recorder import Recorder
from hornito.trace.records import Done, Header, Message, Submit
from hornito.trace.snapshots import PIECE, FileMemory, Snapshots
from hornito.uapi.etnaviv import GEM_SUBMIT, GemSubmit, SubmitBo
from tests.trace.recorded_kernel import Caller

SIZE = 5 * PIECE


def test_memory_of_many_jobs_arrives(tmp_path: Path) -> None:
    """Pieces that have not changed are sent once; those that nobody names any more are forgotten."""
    noise = random.Random(1)
    recorder = Recorder(ProcessWriter(str(tmp_path / "F.trace"), Header("test")))
    fd = os.memfd_create("memory")
    os.ftruncate(fd, 2 * SIZE)
    snapshots = Snapshots()
    table = (SubmitBo * 2)(SubmitBo(flags=1, handle=1, presumed=0), SubmitBo(flags=3, handle=2, presumed=SIZE))
    expected: list[list[bytes]] = []
    for fence in range(1, 30):
        argument = GemSubmit(nr_bos=2, bos=ctypes.addressof(table))
        call = recorder.enter(Caller(fence, 3), GEM_SUBMIT.number, argument)
        call.read(argument.bos, ctypes.sizeof(table))
        argument.fence = fence
        os.pwrite(fd, noise.randbytes(noise.randrange(PIECE)), noise.randrange(2 * SIZE - PIECE))
        before = [snapshots.take(FileMemory(fd, at, SIZE)) for at in (0, SIZE)]
        expected.append([os.pread(fd, SIZE, at) for at in (0, SIZE)])
        recorder.begun(fence, Begun(b"\1\2\3\4", tuple(Placed(0, SIZE, one) for one in before)))
        os.pwrite(fd, noise.randbytes(9), noise.randrange(SIZE, 2 * SIZE - 9))
        recorder.ended(fence, Ended(0, 1, {1: snapshots.take(FileMemory(fd, SIZE, SIZE))}))
        expected[-1].append(os.pread(fd, SIZE, SIZE))
        recorder.leave(call)
    recorder.close()
    os.close(fd)
    found = open_trace(tmp_path / "F.trace")
    memory: dict[int, list[bytes]] = {}
    for event in found.events():
        if isinstance(event, Submit):
            memory[event.number] = [found.bytes_of(entry.before) for entry in event.buffers]
        if isinstance(event, Done):
            memory[event.submit].append(found.bytes_of(event.written[0].after))
    assert found.problem == ""
    assert [[one.ljust(SIZE, b"\0") for one in memory[number]] for number in range(29)] == expected


def test_a_place_that_can_t_be_written_is_told_at_once() -> None:
    with pytest.raises(BadInput, match="/nowhere/F.trace: can't be written"):
        ProcessWriter("/nowhere/F.trace", Header("test"))


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    writer = ProcessWriter(str(tmp_path / "F.trace"), Header("test"))
    resource.prlimit(writer.pid, resource.RLIMIT_FSIZE, (1000, 1000))
    recorder = Recorder(writer)
    for number in range(100):
        recorder.message(f"message {number}")
    with pytest.raises(BadInput, match="File too large"):
        recorder.close()


def test_a_writer_that_dies_is_told(tmp_path: Path) -> None:
    writer = ProcessWriter(str(tmp_path / "F.trace"), Header("test"))
    os.kill(writer.pid, signal.SIGKILL)
    recorder = Recorder(writer)
    for _ in range(100):
        recorder.message("lost")
    with pytest.raises(BadInput, match="has died"):
        recorder.close()


def test_whoever_hands_over_too_much_waits_for_the_writer(tmp_path: Path) -> None:
    passed = threading.Event()
    writer = ProcessWriter(str(tmp_path / "F.trace"), Header("test"), waiting=1000)
    recorder = Recorder(writer)

    def fill() -> None:
        for number in range(200):
            recorder.message(f"message {number}")
            recorder.rest()
        passed.set()

    os.kill(writer.pid, signal.SIGSTOP)
    thread = threading.Thread(target=fill)
    thread.start()
    assert not passed.wait(0.1)
    os.kill(writer.pid, signal.SIGCONT)
    thread.join(60)
    assert passed.is_set()
    recorder.close()
    assert texts_of(tmp_path / "F.trace") == ([f"message {number}" for number in range(200)], "")


def texts_of(path: Path) -> tuple[list[str], str]:
    """What a recording's messages say, and what is wrong with it."""
    found = open_trace(path)
    return [event.text for event in found.events() if isinstance(event, Message)], found.problem


def test_what_was_handed_over_is_written_when_nobody_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "F.trace"
    child = os.fork()
    if child == 0:
        recorder = Recorder(ProcessWriter(str(path), Header("test")))
        for number in range(50):
            recorder.message(f"message {number}")
        recorder.rest()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        texts, problem = texts_of(path)
        if len(texts) == 50:
            break
        time.sleep(0.05)
    assert texts == [f"message {number}" for number in range(50)]
    assert "no end" in problem
