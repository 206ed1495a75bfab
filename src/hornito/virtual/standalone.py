# SPDX-License-Identifier: MIT
"""Which virtual device never makes a caller wait for its jobs? One whose jobs run in a process of their own."""

import contextlib
from collections.abc import Iterator

from hornito.hardware.chips import Chip
from hornito.virtual.device import VirtualDevice
from hornito.virtual.injection import FaultPlan
from hornito.virtual.process import ProcessExecutor


@contextlib.contextmanager
def standalone_device(chip: Chip, faults: FaultPlan | None = None) -> Iterator[VirtualDevice]:
    """The device, until the block ends; what it runs then is killed. ``faults``: what is to go wrong. Raises
    Unsupported, DeviceError."""
    executor = ProcessExecutor(chip)
    try:
        device = VirtualDevice(chip, executor, new_space=executor.new_space, faults=faults)
        try:
            yield device
        finally:
            executor.close()  # first: the device would wait for what runs
            device.shutdown()
    finally:
        executor.close()
