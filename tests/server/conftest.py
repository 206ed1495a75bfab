# SPDX-License-Identifier: MIT
"""A server that lends a fake device, over TCP and over a Unix socket."""

import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hornito.remote import Address, RemoteDevice
from hornito.server import Limits, Server
from tests.fake_device import FakeDevice, until

TOKEN = "a-token"
Open = Callable[[], RemoteDevice]


@pytest.fixture
def fake() -> FakeDevice:
    return FakeDevice()


@pytest.fixture(params=["tcp", "unix"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    return Address.to_listen(f"unix:{tmp_path / 's'}" if request.param == "unix" else "127.0.0.1:0")


@pytest.fixture
def unix(tmp_path: Path) -> Address:
    return Address(path=str(tmp_path / "s"))


def leaves_nothing(server: Callable[[], Server], fake: FakeDevice) -> Iterator[Server]:
    """A server that, once all clients have gone, holds nothing; and once closed, no thread and no descriptor."""
    gc.collect()
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with server() as running:
        yield running
        until(lambda: running.clients == 0)
        assert running.memory_used == 0 and fake.loaded == set()
    until(lambda: threading.active_count() <= threads)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors


@pytest.fixture
def server(fake: FakeDevice, address: Address) -> Iterator[Server]:
    yield from leaves_nothing(lambda: Server(fake, address, TOKEN), fake)


@pytest.fixture
def small(fake: FakeDevice, unix: Address) -> Iterator[Server]:
    """One with narrow limits."""
    limits = Limits(memory=20_000, message=8_000, connections=2)
    yield from leaves_nothing(lambda: Server(fake, unix, TOKEN, limits), fake)
