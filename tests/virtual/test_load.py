# SPDX-License-Identifier: MIT
"""Four clients work at once while something goes wrong for one: do the others lose a job or a byte?"""

import contextlib
import errno
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from hornito.errors import DeviceError
from hornito.uapi import drm
from hornito.uapi.etnaviv import SubmitFlag
from hornito.virtual.injection import FaultPlan
from hornito.virtual.kernel import VirtualKernel
from hornito.virtual.npu.executor import Executor
from hornito.virtual.workers.process import ProcessExecutor
from tests.virtual.client import SOFTPIN, Client
from tests.virtual.machine import CHIP, CODE, as_bytes, tp_stream
from tests.virtual.test_process import INPUT, OUTPUT, SIZE, copy_of_all

CLIENTS, ROUNDS, JOBS = 4, 8, 3
STREAM = tuple(np.tile(tp_stream(CODE), JOBS).tolist())


@dataclass
class Tally:
    """What became of a client's submissions: fence numbers that were right, and killed; allocations that failed."""

    right: list[int] = field(default_factory=list)
    killed: list[int] = field(default_factory=list)
    refused: int = 0
    error: BaseException | None = None


class Worker(threading.Thread):
    """A client that copies random bytes, with two submissions on their way at a time, each to an output of its own."""

    def __init__(self, kernel: VirtualKernel, seed: int, rounds: int) -> None:
        super().__init__()
        self.tally = Tally()
        self._rounds = rounds
        self._random = np.random.default_rng(seed)
        self._client = Client(kernel)

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.tally.error = error

    def _allocate(self, size: int) -> int:
        while True:
            try:
                return self._client.new(size)
            except OSError as error:
                if error.errno != errno.ENOMEM:
                    raise
                self.tally.refused += 1

    def _work(self) -> None:
        client = self._client
        code = self._allocate(4096)
        client.map(code)[:124] = as_bytes(copy_of_all()).tobytes()
        for _ in range(self._rounds):
            content = self._random.integers(0, 256, SIZE, np.uint8).tobytes()
            source, outputs = self._allocate(SIZE), [self._allocate(SIZE) for _ in range(2)]
            client.map(source, SIZE)[:] = content
            submits = []
            for output in outputs:
                bos = (code, CODE, 1), (source, INPUT, 1), (output, OUTPUT, 2)
                while True:
                    try:
                        submits.append(client.submit(STREAM, *bos, flags=SOFTPIN | SubmitFlag.FENCE_FD_OUT))
                        break
                    except OSError as error:  # the first submission still has these addresses
                        assert error.errno == errno.ENOSPC
                        client.wait(submits[-1].fence)
            for submit, output in zip(submits, outputs, strict=True):
                if client.status(submit) == 1:
                    assert client.map(output, SIZE)[:] == content
                    self.tally.right.append(submit.fence)
                else:
                    self.tally.killed.append(submit.fence)
            for handle in (source, *outputs):
                drm.GEM_CLOSE(client.kernel, client.fd, handle=handle)


def load(kernel: VirtualKernel, rounds: int = ROUNDS, meanwhile: Callable[[], None] = lambda: None) -> list[Tally]:
    """Let four clients work to their end; what became of each."""
    workers = [Worker(kernel, seed, rounds) for seed in range(CLIENTS)]
    for worker in workers:
        worker.start()
    meanwhile()
    for worker in workers:
        worker.join(100)
        assert not worker.is_alive()
        if worker.tally.error is not None:
            raise worker.tally.error
    return [worker.tally for worker in workers]


@pytest.mark.parametrize("fault", ["hang@30", "hang@30.1", "mmu@30.2", "irq@30", "alloc@40"])
def test_a_fault_costs_its_client_at_most_what_was_in_the_ring_and_the_others_nothing(fault: str) -> None:
    kernel = VirtualKernel(CHIP, Executor(CHIP), faults=FaultPlan.parse([fault]))
    tallies = load(kernel)
    kernel.shutdown()
    allocation = fault.startswith("alloc")
    assert sum(tally.refused for tally in tallies) == allocation
    hit = [tally for tally in tallies if tally.killed]
    assert len(hit) == (not allocation)
    for tally in tallies:
        assert len(tally.right) + len(tally.killed) == 2 * ROUNDS
    for tally in hit:
        assert tally.killed[0] == 30 and len(tally.killed) <= 2


def test_faults_and_kills_of_the_worker_process_cost_only_the_jobs_they_meet() -> None:
    executor = ProcessExecutor(CHIP)
    executor.wait_ready()
    plan = FaultPlan.parse(["hang@20,mmu@50.1,irq@80,alloc@30"])
    kernel = VirtualKernel(CHIP, executor, new_space=executor.new_space, faults=plan)
    random = np.random.default_rng(3)
    kills = 0

    def kill() -> None:
        nonlocal kills
        for _ in range(3):
            time.sleep(float(random.uniform(0.01, 0.2)))
            if (pid := executor.pid) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    kills += 1

    tallies = load(kernel, 16, kill)
    dumps = kernel.device.coredumps
    kernel.shutdown()
    killed = [number for tally in tallies for number in tally.killed]
    assert all(len(tally.right) + len(tally.killed) == 32 for tally in tallies)
    assert {20, 50, 80} <= set(killed)
    assert len(killed) <= 2 * (3 + kills) and sum(tally.refused for tally in tallies) == 1
    assert len(dumps) == 1
    with contextlib.suppress(DeviceError):
        executor.close()
    assert executor.pid is None
