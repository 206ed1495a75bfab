# SPDX-License-Identifier: MIT
"""What becomes of a job that hangs, of its client, and of all others? Judge: Linux, as the databook tells."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hornito.cost import Work
from hornito.hardware.chips import find_chip
from hornito.hardware.registers import FrontEndState
from hornito.uapi import coredump
from hornito.uapi.coredump import SectionType
from hornito.uapi.etnaviv import GEM_NEW, GET_PARAM, WAIT_FENCE, SubmitFlag, WaitFence
from hornito.virtual.etnaviv.caller import OwnProcess
from hornito.virtual.etnaviv.fences import Pending
from hornito.virtual.faults import Died
from hornito.virtual.injection import FaultPlan
from hornito.virtual.kernel import VirtualKernel
from hornito.virtual.timeline import Counters, Timeline
from hornito.virtual.workers.process import ProcessExecutor
from tests.fake_executor import BLOCK, COPY, LAST, NOTHING, TOUCH, FakeExecutor, lasting
from tests.virtual.client import SOFTPIN, VA, WC, Client, after, fails
from tests.virtual.machine import as_bytes, tp_stream
from tests.virtual.machine import executor as real_executor
from tests.virtual.test_page_tables import walk
from tests.virtual.test_tp import descriptor

OUT = SOFTPIN | SubmitFlag.FENCE_FD_OUT
CANCELLED = -errno.ECANCELED
CHIP = find_chip("a311d")
Make = Callable[..., VirtualKernel]


@pytest.fixture
def executor() -> FakeExecutor:
    return FakeExecutor()


@pytest.fixture
def make(executor: FakeExecutor) -> Iterator[Make]:
    """Kernels with faults in them."""
    made: list[VirtualKernel] = []

    def kernel(*faults: str) -> VirtualKernel:
        made.append(VirtualKernel(CHIP, executor, faults=FaultPlan.parse(faults) if faults else None))
        return made[-1]

    yield kernel
    executor.release.set()
    for kernel_ in made:
        kernel_.shutdown()


# Time.


def test_slow_host_kills_nothing_and_long_modelled_time_does(make: Make) -> None:
    client = Client(make())
    assert client.status(client.submit((LAST, 1200, 1), flags=OUT)) == 1
    assert client.status(client.submit((LAST, 0, 1500), flags=OUT)) == CANCELLED
    assert "NN refused job 0" in client.messages()[-1]
    assert client.status(client.submit((LAST, 0, *[400] * 10), flags=OUT)) == 1


def test_a_look_outlives_its_submission_until_a_fence_completes(make: Make) -> None:
    """At 0.5 s the front end is where the last look saw it; what then counts is whether a job has ended well since."""
    client = Client(make())
    assert client.status(client.submit((LAST, 0, 600), flags=OUT)) == 1
    assert client.status(client.submit((LAST, 0, 600), flags=OUT)) == 1
    assert client.status(client.submit((LAST, 0, 1500), flags=OUT)) == CANCELLED
    assert client.status(client.submit((LAST, 0, 600), flags=OUT)) == CANCELLED


def test_counters_count_modelled_time_and_bytes(make: Make) -> None:
    kernel = make()
    client = Client(kernel)
    client.status(client.submit((LAST, 0, 100, 200), flags=OUT))
    assert kernel.device.counters == Counters(240_000_000, (lasting(100) + lasting(200)).read, 0)
    client.status(client.submit((LAST, 0, 100), flags=OUT))
    assert kernel.device.counters.cycles == 320_000_000


# Recovery.


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("hang@2", ["recover hung GPU!", "offending task: ", "submit 2: NN refused job 0: it never ends"]),
        ("hang@2.1", ["recover hung GPU!", "offending task: ", "submit 2: NN refused job 1: it never ends"]),
        ("irq@2", ["recover hung GPU!", "offending task: ", "its interrupt was lost"]),
        (
            "mmu@2",
            [
                "MMU fault status 0x00000002",
                "MMU 0 fault (page not present) addr 0x00200000",
                "recover hung GPU!",
                "offending task: ",
                "submit 2: MMU refused job 0 at 0x200000",
            ],
        ),
    ],
)
def test_an_injected_fault_kills_its_submission_alone(make: Make, fault: str, words: list[str]) -> None:
    logged: list[str] = []
    kernel = make(fault)
    kernel.device.tell(logged.append, None)
    client = Client(kernel)
    states = [client.status(client.submit((LAST, 0, 1, 1), flags=OUT)) for _ in range(3)]
    assert states == [1, CANCELLED, 1]
    lines = client.messages()
    assert lines == logged and len(lines) == len(words)
    for line, part in zip(lines, words, strict=True):
        assert line.startswith("etnaviv-gpu npu: ") and part in line


def test_a_killed_jobs_client_loses_what_the_core_already_had_and_others_nothing(
    make: Make, executor: FakeExecutor
) -> None:
    kernel = make("hang@2")
    clients = [Client(kernel) for _ in range(2)]
    clients[1].submit((BLOCK,))
    orders = [0, 0, 1, 0, 0, 1]  # whose; the first is killed, the next two and the fourth are in the ring
    submits = [(clients[who], clients[who].submit((NOTHING,), flags=OUT)) for who in orders]
    executor.release.set()
    assert [client.status(submit) for client, submit in submits] == [CANCELLED, CANCELLED, 1, CANCELLED, 1, 1]
    assert not clients[1].messages()


def test_what_a_doomed_job_was_to_map_is_mapped(make: Make, executor: FakeExecutor) -> None:
    kernel = make("hang@2")
    client = Client(kernel)
    client.submit((BLOCK,))
    handle = client.new()
    killed = client.submit((NOTHING,), flags=OUT)
    doomed = client.submit((NOTHING,), (handle, VA, 3), flags=OUT)
    executor.release.set()
    assert [client.status(killed), client.status(doomed)] == [CANCELLED, CANCELLED]
    assert client.status(client.submit((TOUCH, VA), (handle, VA, 3), flags=OUT)) == 1


def test_lost_interrupt_leaves_the_results(make: Make) -> None:
    client = Client(make("irq@1"))
    handle = client.new(8192)
    client.map(handle, 8192)[0] = 7
    assert client.status(client.submit((COPY, VA, VA + 4096, 1), (handle, VA, 3), flags=OUT)) == CANCELLED
    assert client.map(handle, 8192)[4096] == 7


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ({"out_image_base_address": 0x2000}, ["0x00000003", "(write violation) addr 0x00002000"]),
        ({"out_image_base_address": 0xA0000}, ["0x00000002", "(page not present) addr 0x000a0000"]),
        ({"in_image_base_address": 0xC0000000}, ["0x00000001", "(slave not present) addr 0xc0000000"]),
        ({"in_image_base_address": 0x2000}, []),  # the kernel's memory can be read; but not from here
    ],
)
def test_what_a_unit_does_wrong_with_memory_gets_the_mmus_code(places: dict[str, int], words: list[str]) -> None:
    kernel = VirtualKernel(CHIP, real_executor())
    client = Client(kernel)
    handle = client.new()
    fields = {"in_image_base_address": VA + 256, "out_image_base_address": VA + 512}
    client.map(handle)[:124] = as_bytes(descriptor(**fields | places)).tobytes()
    stream = tuple(tp_stream(VA).tolist())
    assert client.status(client.submit(stream, (handle, VA, 3), flags=OUT)) == CANCELLED
    lines = client.messages()
    assert len(lines) == len(words) + 3 and "MMU refused job 0 at 0x" in lines[-1]
    for line, part in zip(lines, words, strict=False):
        assert line.endswith(part)
    kernel.shutdown()


def test_dead_worker_process_is_a_hang(make: Make, executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise Died("the worker process died (signal 9)", job=3)

    kernel = make()
    client = Client(kernel)
    with monkeypatch.context() as patch:
        patch.setattr(executor, "run", die)
        assert client.status(client.submit((NOTHING,), flags=OUT)) == CANCELLED
    lines = client.messages()
    assert "recover hung GPU!" in lines[0] and "executor refused job 3: the worker process died" in lines[-1]
    assert client.status(client.submit((NOTHING,), flags=OUT)) == 1


def test_allocation_fails_once(make: Make) -> None:
    kernel = make("alloc@2")
    client = Client(kernel)
    client.new()
    fails(errno.ENOMEM, lambda: GEM_NEW(kernel, client.fd, size=4096, flags=WC))
    client.new()


def test_lost_device_says_so_to_all_who_call_and_wait(make: Make, executor: FakeExecutor) -> None:
    kernel = make("lost@2")
    client, other = Client(kernel), Client(kernel)
    first = client.submit((BLOCK,))
    codes: list[int | None] = []

    def wait() -> None:
        try:
            other.wait(first.fence)
        except OSError as error:
            codes.append(error.errno)

    waiter = threading.Thread(target=wait)
    waiter.start()
    executor.started.wait(20)
    fails(errno.ENODEV, lambda: client.submit((NOTHING,)))
    waiter.join(20)
    assert codes == [errno.ENODEV]
    fails(errno.ENODEV, lambda: GET_PARAM(kernel, other.fd, param=1))
    kernel.close(client.fd)


def test_a_lost_device_wakes_who_waits_for_a_fence(make: Make) -> None:
    device = (kernel := make("lost@2")).device
    client, other = Client(kernel), device.open()
    call = WaitFence(fence=client.submit((BLOCK,)).fence, timeout=after(1000))
    with pytest.raises(Pending) as waits:
        device.call(other, WAIT_FENCE.number, call, OwnProcess())
    woken = threading.Event()
    waits.value.signal.when_signalled(woken.set)
    fails(errno.ENODEV, lambda: client.submit((NOTHING,)))
    assert woken.is_set()
    os.close(other.client_fd)
    kernel.close(client.fd)


class Endless(FakeExecutor):
    """Runs jobs until somebody ends it."""

    def run(self, space: Any, stream: NDArray[np.uint32], timeline: Timeline) -> None:
        self.started.set()
        while True:
            timeline.begin(0, "NN", 10, Work())


def test_shutdown_ends_what_runs_at_its_next_job_and_calls_it_no_hang() -> None:
    logged: list[str] = []
    before = set(threading.enumerate())
    executor = Endless()
    kernel = VirtualKernel(CHIP, executor)
    kernel.device.tell(logged.append, None)
    client = Client(kernel)
    client.submit((NOTHING,))
    executor.started.wait(20)
    kernel.shutdown()
    assert not logged and not kernel.device.coredumps
    assert set(threading.enumerate()) <= before
    os.close(client.fd)


def test_shutdown_ends_a_worker_process_and_calls_it_no_hang() -> None:
    logged: list[str] = []
    executor = ProcessExecutor(CHIP)
    executor.wait_ready()
    kernel = VirtualKernel(CHIP, executor, new_space=executor.new_space)
    kernel.device.tell(logged.append, None)
    client = Client(kernel)
    handle = client.new(1 << 20)
    places = {"in_image_base_address": VA + 65536, "out_image_base_address": VA + 131072}
    client.map(handle, 1 << 20)[:124] = as_bytes(descriptor(**places)).tobytes()
    stream = tuple(np.tile(tp_stream(VA), 800).tolist())
    for _ in range(3):  # more than it can do before it is told to stop
        client.submit(stream, (handle, VA, 3))
    kernel.shutdown()
    assert executor.pid is None and not logged and not kernel.device.coredumps
    os.close(client.fd)


# Core dumps.


def test_the_core_dump_shows_one_machine(make: Make) -> None:
    kernel = make("hang@1.1")
    dumped: list[bytes] = []
    kernel.device.tell(None, dumped.append)
    client = Client(kernel)
    handles = client.new(8192), client.new(4096)
    client.map(handles[0], 8192)[:] = b"\x5a" * 8192
    bos = (handles[0], VA, 1), (handles[1], VA + 0x400000, 3)
    assert client.status(client.submit((LAST, 0, 1, 1), *bos, flags=OUT)) == CANCELLED
    assert len(dumped) == 1
    dump = coredump.decode(dumped[0])
    assert [section.kind for section in dump.sections] == [0, 1, 2, 3, 4, 5, 5]
    (ring,), (commands,) = dump.of(SectionType.RING), dump.of(SectionType.COMMANDS)
    assert (ring.address, len(ring.data), commands.address) == (0x1000, 4096, 0x2000)
    assert ring.data[4:8] == (0x2000).to_bytes(4, "little")  # the ring links to the stream
    assert commands.data[:16] == b"".join(word.to_bytes(4, "little") for word in (LAST, 0, 1, 1))
    registers = dump.registers
    assert len(registers) == 37 and list(registers)[:2] == [0x00C, 0x000]
    assert (registers[0x020], registers[0x024]) == (0x8000, 0x7120)
    assert registers[0x664] == 0x2000 + 20 * 4
    assert registers[0x660] & 31 == 0x11
    assert registers[0x004] == 0x7FFFFFFF & ~(1 << 17 | 1)
    tables = dump.of(SectionType.MMU)[0].data
    first, second = dump.of(SectionType.BUFFER)
    assert first.data == b"\x5a" * 8192 and (first.address, second.address) == (VA, VA + 0x400000)
    for buffer in (first, second):
        for number, page in enumerate(dump.pages_of(buffer)):
            assert walk(tables, buffer.address + number * 4096) == (None, page, True)
    assert walk(tables, 0x2000)[0] is None


def test_the_core_dump_of_a_lost_interrupt_shows_a_front_end_that_waits_in_the_ring(make: Make) -> None:
    kernel = make("irq@1")
    client = Client(kernel)
    assert client.status(client.submit((LAST, 0, 1), flags=OUT)) == CANCELLED
    (dump,) = kernel.device.coredumps
    registers = coredump.decode(dump).registers
    assert registers[0x664] == 0x1000
    assert registers[0x660] & 31 == FrontEndState.WAIT
    assert registers[0x004] == 0x7FFFFFFF & ~1  # all else is idle


def test_one_core_dump_until_it_is_armed_again(make: Make) -> None:
    kernel = make("hang@1,hang@2,hang@3")
    client = Client(kernel)
    for _ in range(2):
        assert client.status(client.submit((NOTHING,), flags=OUT)) == CANCELLED
    assert len(kernel.device.coredumps) == 1
    kernel.device.rearm()
    client.status(client.submit((NOTHING,), flags=OUT))
    assert len(kernel.device.coredumps) == 2


def test_a_core_dump_that_somebody_takes_is_kept_no_second_time(make: Make) -> None:
    kernel = make("hang@1,hang@2")
    dumped: list[bytes] = []
    kernel.device.tell(None, dumped.append)
    client = Client(kernel)
    client.status(client.submit((NOTHING,), flags=OUT))
    kernel.device.rearm()
    client.status(client.submit((NOTHING,), flags=OUT))
    assert len(dumped) == 2 and not kernel.device.coredumps


def test_a_watcher_that_fails_hangs_no_job(make: Make) -> None:
    class Blind:
        def fail(self, *what: object) -> None:
            raise OSError("nothing to see")

        keep_to = begins = runs = ended = freed = fail

    kernel = make("hang@1")
    kernel.device.watch(Blind())
    client = Client(kernel)
    statuses = [client.status(client.submit((NOTHING,), flags=OUT)) for _ in range(2)]
    assert statuses == [CANCELLED, 1]


def test_a_log_or_core_dump_that_nobody_can_take_does_not_matter(make: Make, tmp_path: Path) -> None:
    def fail(what: str | bytes) -> None:
        raise OSError(what)

    kernel = make("hang@1")
    kernel.device.tell(fail, fail)
    client = Client(kernel)
    assert client.status(client.submit((NOTHING,), flags=OUT)) == CANCELLED
    assert client.status(client.submit((NOTHING,), flags=OUT)) == 1
    os.close(client.fd)
