# SPDX-License-Identifier: MIT
"""Which virtual device never makes a caller wait for its jobs? One whose jobs run in a process of their own."""

import contextlib
import ctypes
import time
from collections.abc import Iterator

from hornito.hardware.chips import Chip
from hornito.uapi import etnaviv
from hornito.virtual.etnaviv.caller import Caller
from hornito.virtual.etnaviv.client import OpenFile
from hornito.virtual.etnaviv.device import VirtualDevice
from hornito.virtual.etnaviv.fences import Pending, Signal
from hornito.virtual.injection import FaultPlan
from hornito.virtual.workers.process import ProcessExecutor

_LOOK = 0.01  # seconds between two looks whether the process is ready
_WHICH = 0xFFFF  # the letter and the number of a request; Linux lets its size differ


class _StandaloneDevice(VirtualDevice):
    """Takes no submission before its process is ready: on a new machine that compiles for longer than the ten seconds
    that Mesa's driver waits for a job, before it takes what lies in memory for the result."""

    def __init__(self, chip: Chip, executor: ProcessExecutor, faults: FaultPlan | None) -> None:
        super().__init__(chip, executor, new_space=executor.new_space, faults=faults)
        self._process = executor

    def call(self, file: OpenFile, request: int, arg: ctypes.Structure | int, caller: Caller) -> None:
        if request & _WHICH == etnaviv.GEM_SUBMIT.number & _WHICH and not self._process.is_settled():
            raise Pending(Signal(), time.monotonic() + _LOOK)
        super().call(file, request, arg, caller)


@contextlib.contextmanager
def standalone_device(chip: Chip, faults: FaultPlan | None = None) -> Iterator[VirtualDevice]:
    """The device, until the block ends; what it runs then is killed. ``faults``: what is to go wrong. Raises
    Unsupported, DeviceError."""
    executor = ProcessExecutor(chip)
    try:
        device = _StandaloneDevice(chip, executor, faults)
        try:
            yield device
        finally:
            executor.close()  # first: the device would wait for what runs
            device.shutdown()
    finally:
        executor.close()
