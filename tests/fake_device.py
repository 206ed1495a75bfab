# SPDX-License-Identifier: MIT
"""A device for tests of what lends it: it keeps state, refuses misuse, and computes output = input + 1."""

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hornito.errors import DeviceError
from hornito.hardware.chips import Chip, find_chip
from hornito.stream import Buffer, BufferKind, Port, Submission, TensorInfo

SHAPE = (1, 4, 4, 3)
MEMORY = 2 * 4096 + 16  # what ``incrementing`` takes: two buffers and its stream
KILLED = 0xEE  # an input that begins with it kills its job


def incrementing(size: int = 4096, shape: tuple[int, ...] = SHAPE, dtype: str = "uint8") -> Submission:
    """A submission with one input and one output."""
    tensors = [TensorInfo(number, f"t{number}", shape, dtype) for number in range(2)]
    return Submission(
        np.arange(4, dtype=np.uint32),
        (Buffer(BufferKind.TENSOR, 0x1000000, size), Buffer(BufferKind.TENSOR, 0x5000000, size)),
        (),
        (Port(tensors[0], 0, 0, tensors[0].bytes),),
        (Port(tensors[1], 1, 0, tensors[1].bytes),),
    )


def filled(value: int) -> NDArray[np.uint8]:
    """An input."""
    return np.full(SHAPE, value, np.uint8)


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a condition that some thread will make true."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


class FakeDevice:
    """Holds what is loaded, and remembers the first byte of each run's input. While ``steps`` is a semaphore, each run
    takes one of its permits first."""

    def __init__(self) -> None:
        self.name = "fake"
        self.chip: Chip = find_chip("a311d")
        self.loaded: set[FakeLoaded] = set()
        self.runs: list[int] = []
        self.steps: threading.Semaphore | None = None
        self.running = threading.Event()
        self.most_loaded = 0
        self.closed = False
        self._busy = threading.Lock()

    def load(self, submission: Submission) -> "FakeLoaded":
        self.enter()
        loaded = FakeLoaded(self, submission)
        self.loaded.add(loaded)
        self.most_loaded = max(self.most_loaded, len(self.loaded))
        self.leave()
        return loaded

    def enter(self) -> None:
        assert self._busy.acquire(blocking=False), "two threads use the device at once"
        assert not self.closed

    def leave(self) -> None:
        self._busy.release()

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class FakeLoaded:
    """What is loaded on a FakeDevice."""

    def __init__(self, device: FakeDevice, submission: Submission) -> None:
        self.device = device
        self.submission = submission

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        device = self.device
        device.enter()
        try:
            assert self in device.loaded, "run after close"
            first = int(inputs[0].flat[0]) if inputs and inputs[0].size else 0
            device.runs.append(first)
            device.running.set()
            if device.steps is not None:
                assert device.steps.acquire(timeout=60)
            if first == KILLED:
                text = "fake: job 3 was killed (Operation canceled); unit NN at 0x00001000: kernel_z = 9"
                raise DeviceError(text, unit="NN", address=0x1000, job=3, line="etnaviv-gpu gpu: recover hung GPU!")
            return [np.asarray(value + 1) for value in inputs]
        finally:
            device.leave()

    def close(self) -> None:
        self.device.enter()
        self.device.loaded.discard(self)
        self.device.leave()
