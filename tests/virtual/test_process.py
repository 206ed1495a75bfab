# SPDX-License-Identifier: MIT
"""Does a worker process do what the executor in this process does, and is its death nobody else's concern?"""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hornito.errors import DeviceError
from hornito.hardware.tp import TPDescriptor
from hornito.virtual.faults import Died, Fault, Hang, MMUFault, Stopped
from hornito.virtual.injection import Injection, Kind
from hornito.virtual.memory import AddressSpace
from hornito.virtual.npu.executor import Executor
from hornito.virtual.timeline import Start, Timeline
from hornito.virtual.workers import wire
from hornito.virtual.workers.process import ProcessExecutor
from tests.virtual.machine import CHIP, CODE, as_bytes, nn_stream, tp_stream
from tests.virtual.test_tp import descriptor as tp_descriptor

INPUT, OUTPUT = 0xF0100000, 0xF0200000
SIZE = 1 << 16


@pytest.fixture(scope="module")
def shared_executor() -> Iterator[ProcessExecutor]:
    """One for all tests: starting a process takes a second."""
    executor = ProcessExecutor(CHIP)
    executor.wait_ready()
    yield executor
    executor.close()


def copy_of_all() -> TPDescriptor:
    """256x256 bytes."""
    sizes = {"in_image_x_size": 256, "in_image_y_size": 256, "in_image_stride": 256, "in_image_slice": SIZE}
    tile = {"in_tile_x_size": 256, "in_tile_y_size": 256, "in_tile_x_inc": 256, "in_tile_y_inc": 256}
    window = {"in_window_x_end": 255, "in_window_y_end": 255}
    places = {"in_image_base_address": INPUT, "out_image_base_address": OUTPUT}
    return tp_descriptor(**sizes, **tile, **window, **places)


class Client:
    """A space with a descriptor, an input and an output; its job copies the input."""

    def __init__(self, space: Any, seed: int) -> None:
        self.space = space
        self.fd = os.memfd_create("test")
        os.ftruncate(self.fd, 3 * SIZE)
        descriptor = as_bytes(copy_of_all())
        os.pwrite(self.fd, descriptor.tobytes(), 0)
        self.input = np.random.default_rng(seed).integers(0, 256, SIZE, np.uint8).tobytes()
        os.pwrite(self.fd, self.input, SIZE)
        for number, address in enumerate((CODE, INPUT, OUTPUT)):
            space.map(address, SIZE, self.fd, number * SIZE)

    def output(self) -> bytes:
        return os.pread(self.fd, SIZE, 2 * SIZE)

    def clear(self) -> None:
        os.pwrite(self.fd, bytes(SIZE), 2 * SIZE)

    def close(self) -> None:
        self.space.close()
        os.close(self.fd)


@pytest.fixture
def client(shared_executor: ProcessExecutor) -> Iterator[Client]:
    client = Client(shared_executor.new_space(), 1)
    yield client
    client.close()


def test_a_job_gives_the_same_bytes_and_the_same_times(shared_executor: ProcessExecutor, client: Client) -> None:
    there, here = Timeline(CHIP), Timeline(CHIP)
    shared_executor.run(client.space, tp_stream(CODE), there)
    assert client.output() == client.input
    other = Client(AddressSpace(), 1)
    Executor(CHIP).run(other.space, tp_stream(CODE), here)
    other.close()
    assert there.progress == here.progress and here.progress.jobs == 1


def test_which_buffers_were_written_is_told_once(shared_executor: ProcessExecutor, client: Client) -> None:
    assert client.space.written() == set()
    done: list[str] = []
    shared_executor.run_beside(client.space, tp_stream(CODE), None, lambda hurry: done.append("beside"))
    assert (client.space.written(), client.space.written(), done) == ({OUTPUT}, set(), ["beside"])


def test_who_works_beside_jobs_has_other_processors(client: Client, shared_executor: ProcessExecutor) -> None:
    mine = os.sched_getaffinity(0)
    found: list[set[int]] = []

    def work() -> None:
        shared_executor.keep_apart()
        for kill in (False, True):  # the next process too
            assert shared_executor.pid is not None
            if kill:
                os.kill(shared_executor.pid, signal.SIGKILL)
                shared_executor.run(client.space, tp_stream(CODE))
            found.extend((os.sched_getaffinity(0), os.sched_getaffinity(shared_executor.pid)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert os.sched_getaffinity(0) == mine
    assert found[:2] == found[2:]
    assert found[0] | found[1] == mine
    assert len(mine) == 1 or not found[0] & found[1]


def test_nobody_knows_what_a_process_wrote_that_died(shared_executor: ProcessExecutor, client: Client) -> None:
    def kill(hurry: object) -> None:
        while int(shared_executor._state[wire.STARTED]) != shared_executor._runs:
            time.sleep(0.0001)
        assert shared_executor.pid is not None
        os.kill(shared_executor.pid, signal.SIGKILL)

    with pytest.raises(Died):
        shared_executor.run_beside(client.space, np.tile(tp_stream(CODE), 20_000), None, kill)
    assert client.space.written() is None
    shared_executor.run(client.space, tp_stream(CODE))
    assert client.space.written() == {OUTPUT}


def test_faults_come_back_whole(shared_executor: ProcessExecutor, client: Client) -> None:
    space = shared_executor.new_space()
    with pytest.raises(MMUFault) as caught:
        shared_executor.run(space, nn_stream(0xE0000000))
    assert (caught.value.unit, caught.value.job, caught.value.address) == ("MMU", 0, 0xE0000000)
    with pytest.raises(Fault) as refused:
        shared_executor.run(space, np.array([0x70000000, 0], np.uint32))
    assert refused.value.unit == "FE" and "opcode 0x0e" in refused.value.text
    timeline = Timeline(CHIP, Start(0x2000, 5, injection=Injection(Kind.HANG, 6)))
    with pytest.raises(Hang):
        shared_executor.run(client.space, tp_stream(CODE), timeline)
    assert not any(client.output())
    assert (timeline.progress.unit, timeline.progress.job, timeline.progress.seconds) == ("TP", 0, 1.0)
    space.close()


def test_a_bad_mapping_is_refused_and_not_kept(shared_executor: ProcessExecutor, client: Client) -> None:
    with pytest.raises(DeviceError, match="overlap"):
        client.space.map(OUTPUT, SIZE, client.fd, 0)
    client.space.unmap(OUTPUT)
    with pytest.raises(MMUFault):
        shared_executor.run(client.space, tp_stream(CODE))
    client.space.map(OUTPUT, SIZE, client.fd, 2 * SIZE)


def test_after_a_kill_between_jobs_another_process_goes_on(shared_executor: ProcessExecutor, client: Client) -> None:
    first = shared_executor.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    shared_executor.run(client.space, tp_stream(CODE))
    assert shared_executor.pid not in (first, None)
    assert client.output() == client.input


def test_a_process_that_is_killed_before_it_is_ready_is_replaced() -> None:
    executor = ProcessExecutor(CHIP)
    first = executor.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    executor.wait_ready()
    assert executor.pid not in (first, None)
    executor.close()


def test_another_process_gets_the_mappings_that_are_left(shared_executor: ProcessExecutor, client: Client) -> None:
    client.space.unmap(OUTPUT)
    assert shared_executor.pid is not None
    os.kill(shared_executor.pid, signal.SIGKILL)
    client.space.map(OUTPUT, SIZE, client.fd, 2 * SIZE)
    shared_executor.run(client.space, tp_stream(CODE))
    assert client.output() == client.input


def test_mappings_leave_no_descriptor_in_the_process(shared_executor: ProcessExecutor, client: Client) -> None:
    shared_executor.wait_ready()
    folder = Path(f"/proc/{shared_executor.pid}/fd")
    before = len(list(folder.iterdir()))
    for _ in range(10):
        client.space.unmap(OUTPUT)
        client.space.map(OUTPUT, SIZE, client.fd, 2 * SIZE)
    assert len(list(folder.iterdir())) == before


def test_a_forked_child_leaves_the_process_alone(shared_executor: ProcessExecutor, client: Client) -> None:
    shared_executor.wait_ready()
    worker, child = shared_executor.pid, os.fork()
    if not child:
        shared_executor.close()
        os._exit(0)
    os.waitpid(child, 0)
    shared_executor.run(client.space, tp_stream(CODE))
    assert shared_executor.pid == worker


def test_kill_during_a_load_costs_at_most_the_job_that_runs(shared_executor: ProcessExecutor) -> None:
    clients = [Client(shared_executor.new_space(), seed) for seed in range(3)]
    stream = np.tile(tp_stream(CODE), 200)  # so that kills meet jobs that run
    random = np.random.default_rng(5)
    over = threading.Event()
    kills = 0

    def kill() -> None:
        nonlocal kills
        while kills < 3 and not over.wait(float(random.uniform(0.001, 0.1))):
            pid = shared_executor.pid
            if pid is not None and shared_executor._ready:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                kills += 1

    killer = threading.Thread(target=kill)
    killer.start()
    died = 0
    deadline = time.monotonic() + 60
    while kills < 3 and time.monotonic() < deadline:
        for client in clients:
            client.clear()
            try:
                shared_executor.run(client.space, stream)
            except Died:
                died += 1
            else:
                assert client.output() == client.input
    over.set()
    killer.join()
    assert died <= kills == 3
    for client in clients:
        client.clear()
        shared_executor.run(client.space, stream)
        assert client.output() == client.input
        client.close()


def test_closing_leaves_no_process_and_no_descriptor() -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    executor = ProcessExecutor(CHIP)
    client = Client(executor.new_space(), 1)
    pid = executor.pid
    assert pid is not None
    executor.close()
    executor.close()
    with pytest.raises(Stopped):
        executor.run(client.space, tp_stream(CODE))
    client.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    del executor, client
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_the_worker_dies_with_its_parent() -> None:
    script = (
        "import os, signal\n"
        "from hornito.hardware.chips import find_chip\n"
        "from hornito.virtual.workers.process import ProcessExecutor\n"
        "executor = ProcessExecutor(find_chip('a311d'))\n"
        "executor.wait_ready()\n"
        "print(executor.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == -signal.SIGKILL
    pid = int(result.stdout)
    deadline = time.monotonic() + 20
    while _state(pid) not in ("", "Z"):  # nobody may be there to bury it
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_messages_travel_whole_with_their_descriptor() -> None:
    import socket

    left, right = socket.socketpair()
    tail = bytes(range(256)) * 4000
    read, write = os.pipe()
    sender = threading.Thread(target=wire.send, args=(left, wire.Message({"a": [1, None]}, tail, write)))
    sender.start()
    message = wire.receive(right)
    sender.join()
    assert (message.values, message.tail) == ({"a": [1, None]}, tail)
    assert message.fd is not None
    os.write(message.fd, b"x")
    assert os.read(read, 1) == b"x"
    left.close()
    with pytest.raises(wire.Closed):
        wire.receive(right)
    right.close()
    for fd in (read, write, message.fd):
        os.close(fd)
