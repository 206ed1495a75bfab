# SPDX-License-Identifier: MIT
"""Does the process that writes a recording get everything, and is it told where it can't write?"""

import contextlib
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
from hornito.trace.copies import Arena, Block
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


def test_more_events_than_a_pipe_has_room_to_count_are_written(tmp_path: Path) -> None:
    writer = ProcessWriter(str(tmp_path / "F.trace"), Header("test"))
    recorder = Recorder(writer)
    os.kill(writer.pid, signal.SIGSTOP)
    for number in range(20000):
        recorder.message(f"message {number}")
    threading.Timer(0.2, os.kill, (writer.pid, signal.SIGCONT)).start()
    recorder.close()
    texts, problem = texts_of(tmp_path / "F.trace")
    assert (len(texts), texts[-1], problem) == (20000, "message 19999", "")


def test_a_recording_without_room_ends_with_a_remark_and_nobody_is_harmed(tmp_path: Path) -> None:
    writer = ProcessWriter(str(tmp_path / "F.trace"), Header("test"))
    recorder = Recorder(writer)
    recorder.message("first")
    recorder.rest()
    held = fill(writer.copies)
    recorder.message("no room")
    recorder.rest()
    held.clear()
    recorder.message("room again, but something is missing")
    with pytest.raises(BadInput, match="the recording ends here: what waits to be written has no room"):
        recorder.close()
    (first, remark), problem = texts_of(tmp_path / "F.trace")
    assert (first, problem) == ("first", "")
    assert remark.startswith("the recording ends here")


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


def fill(arena: Arena) -> list[Block]:
    """Whatever room there is, taken."""
    held: list[Block] = []
    for kind in range(28, 8, -1):
        with contextlib.suppress(OSError):
            while True:
                held.append(arena.new(1 << kind))
    return held


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


def test_room_is_used_again_whatever_sizes_it_had() -> None:
    arena = Arena(64 << 20)
    for kind in (*range(20, 10, -1), *range(10, 21)):
        held = [arena.new(1 << kind) for _ in range((16 << 20) >> kind)]
        assert len({block.offset for block in held}) == len(held)
        del held
    assert len([arena.new(1 << 19) for _ in range(64)]) == 64
    arena.close()


def test_blocks_of_an_arena_never_overlap() -> None:
    chance, arena = random.Random(1), Arena(8 << 20)
    held: list[tuple[Block, bytes]] = []
    full = 0
    for _ in range(20000):
        if held and chance.random() < 0.48:
            block, content = held.pop(chance.randrange(len(held)))
            assert block.view() == content
            continue
        content = chance.randbytes(8) * chance.choice((1, 70, 1000, 20000))
        try:
            held.append((arena.put(content), content))
        except OSError:
            full += 1
            held = held[::2]
    assert full
    assert all(block.view() == content for block, content in held)
    held.clear()
    del block
    assert sum(block.length for block in fill(arena)) == 8 << 20
    arena.close()
