# SPDX-License-Identifier: MIT
"""A virtual kernel whose jobs are a fake executor's, and a client of it."""

from collections.abc import Iterator

import pytest

from hornito.hardware.chips import find_chip
from hornito.virtual.kernel import VirtualKernel
from tests.fake_executor import FakeExecutor
from tests.virtual.client import Client


@pytest.fixture
def executor() -> FakeExecutor:
    return FakeExecutor()


@pytest.fixture
def kernel(executor: FakeExecutor) -> Iterator[VirtualKernel]:
    kernel = VirtualKernel(find_chip("a311d"), executor)
    yield kernel
    executor.release.set()
    kernel.shutdown()


@pytest.fixture
def client(kernel: VirtualKernel) -> Iterator[Client]:
    client = Client(kernel)
    yield client
    if client.fd >= 0:
        kernel.close(client.fd)
