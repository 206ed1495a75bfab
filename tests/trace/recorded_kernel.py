# SPDX-License-Identifier: MIT
"""A recorded virtual device of this process whose jobs a fake executor runs."""

from hornito.hardware.chips import find_chip
from hornito.trace import own_process
from hornito.trace.recorder import Recorder
from hornito.virtual.etnaviv.device import VirtualDevice
from tests.fake_executor import FakeExecutor

Caller = own_process.OwnCall


class RecordedKernel(own_process.RecordedKernel):
    """Its one node is a virtual NPU, with a fake executor unless ``real``; ``recorder`` sees all."""

    def __init__(self, recorder: Recorder, real: bool = False) -> None:
        self.executor = FakeExecutor()
        self.inner = VirtualDevice(find_chip("a311d"), None if real else self.executor)
        super().__init__(self.inner, recorder)
