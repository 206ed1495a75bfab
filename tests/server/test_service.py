# SPDX-License-Identifier: MIT
"""A lent device from a client's side: results, errors, limits, turns, and connections that end in the middle."""

import dataclasses
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from hornito.driver import Device, Loaded
from hornito.errors import BadInput, DeviceError, Unsupported
from hornito.remote import Address, RemoteDevice, protocol
from hornito.remote.protocol import Keepalive
from hornito.server import Server
from tests.fake_device import KILLED, MEMORY, FakeDevice, filled, incrementing, until
from tests.server.conftest import TOKEN


def connect(server: Server) -> RemoteDevice:
    return RemoteDevice(str(server.address), TOKEN)


def test_remote_device_is_a_device(server: Server, fake: FakeDevice) -> None:
    with connect(server) as device:
        seam: Device = device
        loaded: Loaded = seam.load(incrementing())
        assert seam.name == f"fake at {server.address}" and seam.chip == fake.chip
        for value in (1, 7):
            (found,) = loaded.run([filled(value)])
            assert np.array_equal(found, filled(value + 1)) and found.dtype == np.uint8
            found += 1  # it is the caller's own
        loaded.close()
        loaded.close()
        with pytest.raises(DeviceError, match="closed"):
            loaded.run([filled(1)])


@pytest.mark.parametrize(
    ("dtype", "shape"), [("int16", (3, 5)), ("int8", (1, 7)), ("float32", (2, 2)), ("uint8", (0, 4)), ("int32", ())]
)
def test_arrays_of_any_type_and_shape_travel(
    server: Server, fake: FakeDevice, dtype: str, shape: tuple[int, ...]
) -> None:
    given = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
    with connect(server) as device:
        (found,) = device.load(incrementing(shape=shape, dtype=dtype)).run([given])
    assert np.array_equal(found, given + 1) and (found.dtype, found.shape) == (given.dtype, shape)
    assert found.flags.aligned and found.flags.writeable


def test_arrays_that_do_not_lie_in_order_travel(server: Server) -> None:
    given = np.arange(48, dtype=np.uint8).reshape(3, 4, 4, 1).transpose(3, 1, 2, 0)
    with connect(server) as device:
        (found,) = device.load(incrementing()).run([given])
    assert np.array_equal(found, given + 1)


def test_arrays_that_do_not_fit_are_refused_before_they_travel(server: Server, fake: FakeDevice) -> None:
    with connect(server) as device:
        loaded = device.load(incrementing())
        for wrong in ([], [filled(1), filled(1)], [filled(1).astype(np.int8)], [filled(1)[0]]):
            with pytest.raises(BadInput):
                loaded.run(wrong)
    assert fake.runs == []


def test_device_errors_travel_with_their_facts_and_the_connection_goes_on(server: Server) -> None:
    with connect(server) as device:
        loaded = device.load(incrementing())
        with pytest.raises(DeviceError) as caught:
            loaded.run([filled(KILLED)])
        error = caught.value
        assert (error.unit, error.address, error.job) == ("NN", 0x1000, 3)
        assert error.line == "etnaviv-gpu gpu: recover hung GPU!"
        assert str(error).startswith(f"fake at {server.address}: job 3 was killed")
        assert np.array_equal(loaded.run([filled(1)])[0], filled(2))


def test_another_client_goes_on_while_one_s_job_is_killed(server: Server) -> None:
    with connect(server) as device, connect(server) as other:
        loaded, theirs = device.load(incrementing()), other.load(incrementing())
        with pytest.raises(DeviceError):
            loaded.run([filled(KILLED)])
        assert np.array_equal(theirs.run([filled(3)])[0], filled(4))


def test_each_load_is_counted_and_closing_frees_it(server: Server, fake: FakeDevice) -> None:
    with connect(server) as device:
        first, second = device.load(incrementing()), device.load(incrementing())
        assert server.memory_used == 2 * MEMORY == device.status()["memory_used"]
        first.close()
        assert server.memory_used == MEMORY and len(fake.loaded) == 1
        assert np.array_equal(second.run([filled(0)])[0], filled(1))
    until(lambda: server.memory_used == 0 and not fake.loaded)


def test_load_beyond_the_limit_is_refused_and_frees_nothing_of_others(small: Server, fake: FakeDevice) -> None:
    with connect(small) as device, connect(small) as other:
        loaded, theirs = device.load(incrementing()), other.load(incrementing())
        with pytest.raises(DeviceError, match=r"the server lends 0\.0 MiB.*--memory"):
            device.load(incrementing())
        theirs.close()
        device.load(incrementing())
        assert np.array_equal(loaded.run([filled(0)])[0], filled(1))


def test_message_beyond_the_limit_is_refused_before_it_travels(small: Server) -> None:
    with connect(small) as device:
        plain = incrementing()
        large = dataclasses.replace(plain.buffers[0], data=np.zeros(4096, np.uint8))
        with pytest.raises(BadInput, match="a message of .* bytes; the server takes 8000"):
            device.load(dataclasses.replace(plain, buffers=(large, dataclasses.replace(large, address=0x5000000))))
        with pytest.raises(BadInput, match="outputs of 8100 bytes"):
            device.load(incrementing(8192, (1, 90, 90)))
        assert np.array_equal(device.load(incrementing()).run([filled(0)])[0], filled(1))


def test_more_connections_than_the_limit_are_refused(small: Server, caplog: pytest.LogCaptureFixture) -> None:
    with connect(small), connect(small), pytest.raises(DeviceError, match="as many clients as it takes"):
        connect(small)
    until(lambda: small.clients == 0)
    connect(small).close()


# Who is let in.


def test_wrong_token_is_refused_at_both_ends(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    for wrong in ("", "x", TOKEN + "x", TOKEN.upper()):
        with pytest.raises(BadInput, match="refuses the token"):
            RemoteDevice(str(server.address), wrong)
    assert len(caplog.messages) == 4 and all("wrong token" in line for line in caplog.messages)


def test_client_of_another_version_is_refused_at_both_ends(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(protocol, "VERSION", 7)
        request = handshake(TOKEN)
    answer = talk(server.address, request)
    assert answer.startswith(b"HTTP/1.1 426 ") and b"Hornito-Protocol: 1\r\n" in answer
    (line,) = caplog.messages
    assert "version 7 " in line and "version 1" in line


@pytest.mark.parametrize(("status", "version"), [("101 Switching Protocols", "7"), ("426 Upgrade Required", "7")])
def test_server_of_another_version_is_refused_naming_both(status: str, version: str) -> None:
    with pytest.raises(Unsupported, match="version 7 .* version 1;"):
        against(f"HTTP/1.1 {status}\r\nHornito-Protocol: {version}\r\n")


@pytest.mark.parametrize(
    "answer", ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 101 Switching Protocols\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "", "\0" * 99]
)
def test_what_is_no_hornito_server_is_one_line(answer: str) -> None:
    with pytest.raises(DeviceError, match="no Hornito server") as caught:
        against(answer)
    assert "\n" not in str(caught.value)


def handshake(token: str) -> bytes:
    """The request of a client, as bytes."""
    fields = {
        "Host": "hornito",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        protocol.VERSION_HEADER: str(protocol.VERSION),
        protocol.CLIENT_HEADER: "raw",
        protocol.TOKEN_HEADER: protocol.bearer(token),
    }
    return ("GET / HTTP/1.1\r\n" + "".join(f"{key}: {text}\r\n" for key, text in fields.items()) + "\r\n").encode()


def talk(address: Address, request: bytes) -> bytes:
    """Send bytes, and hear what comes back until the other end closes."""
    with address.connect(20) as peer:
        peer.sendall(request)
        found = b""
        while part := peer.recv(65536):
            found += part
        return found


def against(answer: str) -> None:
    """Open a device at a server that answers so, with a right key, and then closes."""
    import base64
    import hashlib

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                request = peer.recv(65536).decode()
                key = request.split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
                magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
                accept = base64.b64encode(hashlib.sha1((key + magic).encode()).digest()).decode()
                fields = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
                peer.sendall((answer + (fields + "\r\n" if answer.startswith("HTTP") else "")).encode())

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            RemoteDevice(f"hornito://127.0.0.1:{listener.getsockname()[1]}", TOKEN)
        finally:
            thread.join(20)


# Turns.


def test_a_flood_of_connections_delays_another_client_by_one_job(
    server: Server, fake: FakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    flood, calm, rounds = 5, 6, 8

    def stream(device: RemoteDevice, value: int, count: int) -> None:
        with device:
            loaded = device.load(incrementing())
            for _ in range(count):
                loaded.run([filled(value)])

    threads = []
    monkeypatch.setattr(protocol, "client_name", lambda: "flood")
    for _ in range(flood):
        threads.append(threading.Thread(target=stream, args=(connect(server), 1, rounds)))
    monkeypatch.setattr(protocol, "client_name", lambda: "calm")
    device = connect(server)
    threads.append(threading.Thread(target=stream, args=(device, 2, calm)))
    fake.steps = threading.Semaphore(0)
    for thread in threads:
        thread.start()
    until(lambda: server.waiting == flood)  # one runs
    for done in range(2 * calm):
        before = len(fake.runs)
        fake.steps.release()
        until(lambda: len(fake.runs) == before + 1)  # noqa: B023
        if done < 2 * calm - 2:
            until(lambda: server.waiting == flood)  # who was served asks again
    for _ in range(flood * rounds):
        fake.steps.release()
    for thread in threads:
        thread.join(30)
    first = fake.runs.index(2)
    assert fake.runs[first : first + 2 * calm - 1] == [2, 1] * (calm - 1) + [2]
    assert fake.runs.count(1) == flood * rounds and fake.runs.count(2) == calm


def test_threads_may_share_a_device(server: Server) -> None:
    with connect(server) as device:
        wrong = []

        def use(value: int) -> None:
            loaded = device.load(incrementing())
            for _ in range(10):
                if not np.array_equal(loaded.run([filled(value)])[0], filled(value + 1)):
                    wrong.append(value)
            loaded.close()

        threads = [threading.Thread(target=use, args=(value,)) for value in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert wrong == []


# Ends.


def test_closing_the_server_ends_its_clients_in_one_line(fake: FakeDevice, unix: Address) -> None:
    with Server(fake, unix, TOKEN) as server:
        device = connect(server)
        loaded = device.load(incrementing())
        assert server.close()
        with pytest.raises(DeviceError, match="the server was ended") as caught:
            loaded.run([filled(1)])
        assert "\n" not in str(caught.value)
        with pytest.raises(DeviceError, match="the connection is broken"):
            device.load(incrementing())
        loaded.close()
        device.close()


def test_closing_the_server_does_not_wait_for_a_job_without_end(
    fake: FakeDevice, unix: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hornito.server.service._ENDING_SECONDS", 0.5)
    fake.steps = threading.Semaphore(0)
    errors = []

    def run(loaded: Loaded) -> None:
        with pytest.raises(DeviceError) as caught:
            loaded.run([filled(1)])
        errors.append(str(caught.value))

    with Server(fake, unix, TOKEN) as server, connect(server) as device:
        thread = threading.Thread(target=run, args=(device.load(incrementing()),))
        thread.start()
        assert fake.running.wait(20)
        assert not server.close()
        thread.join(20)
        assert len(errors) == 1 and "end" in errors[0]
        fake.steps.release()


def test_client_that_vanishes_while_its_jobs_wait_leaves_nothing_behind(server: Server, fake: FakeDevice) -> None:
    fake.steps = threading.Semaphore(0)
    with connect(server) as device:
        loaded = device.load(incrementing())
        busy = threading.Thread(target=loaded.run, args=([filled(1)],))
        busy.start()
        assert fake.running.wait(20)
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(server.address), TOKEN], stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline() == b"loads\n"
        until(lambda: server.waiting == 1)
        child.kill()
        child.wait()
        child.stdout.close()
        until(lambda: len(server._server.connections) == 1)  # it has noticed
        fake.steps.release()
        busy.join(20)
        until(lambda: server.clients == 1 and server.waiting == 0)
        assert fake.most_loaded == 1  # its load was never done
        fake.steps = None
        assert np.array_equal(loaded.run([filled(8)])[0], filled(9))


CHILD = """
import sys
from hornito.remote import RemoteDevice
from tests.fake_device import incrementing
device = RemoteDevice(sys.argv[1], sys.argv[2])
print("loads", flush=True)
device.load(incrementing())
"""


def test_server_that_is_killed_during_a_run_is_one_line_not_a_hang(tmp_path: Path) -> None:
    path = tmp_path / "s"
    child = subprocess.Popen([sys.executable, "-c", KILLED_SERVER, str(path), TOKEN], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"listens\n"
    errors = []

    def run(loaded: Loaded) -> None:
        with pytest.raises(DeviceError) as caught:
            loaded.run([filled(1)])
        errors.append(str(caught.value))

    with RemoteDevice(f"hornito+unix:{path}", TOKEN) as device:
        thread = threading.Thread(target=run, args=(device.load(incrementing()),))
        thread.start()
        assert child.stdout.readline() == b"runs\n"
        child.kill()
        thread.join(20)
        assert errors == [f"fake at hornito+unix:{path}: the server hung up; is it still running?"]
    child.wait()
    child.stdout.close()


KILLED_SERVER = """
import sys, threading
from hornito.remote import Address
from hornito.server import Server
from tests.fake_device import FakeDevice
fake = FakeDevice()
fake.steps = threading.Semaphore(0)
Server(fake, Address(path=sys.argv[1]), sys.argv[2])
print("listens", flush=True)
fake.running.wait()
print("runs", flush=True)
threading.Event().wait()
"""


def test_server_that_stops_answering_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    child = subprocess.Popen([sys.executable, "-c", KILLED_SERVER, str(path), TOKEN], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"listens\n"
    with RemoteDevice(f"hornito+unix:{path}", TOKEN, keepalive=Keepalive(0.1, 0.5)) as device:
        loaded = device.load(incrementing())
        child.send_signal(signal.SIGSTOP)
        with pytest.raises(DeviceError, match="no longer answers"):
            loaded.run([filled(1)])
    child.kill()
    child.wait()
    child.stdout.close()


def test_client_that_stops_answering_is_let_go(fake: FakeDevice, unix: Address) -> None:
    with Server(fake, unix, TOKEN, keepalive=Keepalive(0.1, 0.5)) as server:
        child = subprocess.Popen([sys.executable, "-c", STOPPED, str(server.address), TOKEN], stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline() == b"loaded\n"
        assert server.memory_used == MEMORY
        child.send_signal(signal.SIGSTOP)
        until(lambda: server.clients == 0 and server.memory_used == 0)
        child.kill()
        child.wait()
        child.stdout.close()


STOPPED = CHILD.replace('print("loads", flush=True)', "") + 'print("loaded", flush=True)\ninput()\n'


def test_slow_job_outlives_every_time_out(fake: FakeDevice, unix: Address) -> None:
    keepalive = Keepalive(0.05, 1.0)
    fake.steps = threading.Semaphore(0)
    with (
        Server(fake, unix, TOKEN, keepalive=keepalive) as server,
        RemoteDevice(str(server.address), TOKEN, keepalive=keepalive) as device,
    ):
        loaded = device.load(incrementing())
        timer = threading.Timer(2.0, fake.steps.release)
        timer.start()
        assert np.array_equal(loaded.run([filled(1)])[0], filled(2))
        timer.join()


def test_interrupted_run_leaves_a_device_that_says_so(
    server: Server, fake: FakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.steps = threading.Semaphore(0)
    with connect(server) as device:
        loaded = device.load(incrementing())
        main = threading.main_thread().ident
        assert main is not None

        def interrupt() -> None:
            fake.running.wait(20)
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            loaded.run([filled(1)])
        thread.join()
        with pytest.raises(DeviceError, match="was interrupted"):
            loaded.run([filled(1)])
        fake.steps.release()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_is_told_and_does_no_harm(server: Server) -> None:
    with connect(server) as device:
        loaded = device.load(incrementing())
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                loaded.run([filled(1)])
            except DeviceError as error:
                os.write(write, str(error).encode())
            device.close()
            os._exit(0)
        os.close(write)
        assert b"was opened before a fork" in os.read(read, 4096)
        os.close(read)
        os.waitpid(child, 0)
        assert np.array_equal(loaded.run([filled(1)])[0], filled(2))


def test_device_that_nobody_closes_goes_with_its_last_name(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    device = connect(server)
    device.load(incrementing())
    del device
    until(lambda: server.clients == 0 and server.memory_used == 0)
    assert caplog.messages == []
