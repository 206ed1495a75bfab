# SPDX-License-Identifier: MIT
"""What becomes of the server when messages, frames or connections are broken anywhere? It answers or closes, frees what
was held, and goes on with the others."""

import contextlib
import random
import select
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.errors import DeviceError, HornitoError
from hornito.remote import Address, RemoteDevice, protocol
from hornito.server import Server
from hornito.server.desk import Desk, Lent
from hornito.server.memory import Memory
from hornito.server.turns import Turns
from tests.fake_device import FakeDevice, filled, incrementing, until
from tests.server.conftest import TOKEN
from tests.server.test_service import handshake

CONVERSATION = [
    protocol.encode({"op": "load"}, [protocol.pack_submission(incrementing(), "a311d")]),
    protocol.encode({"op": "run", "id": 1}, [protocol.raw(filled(1))]),
    protocol.encode({"op": "status"}),
    protocol.encode({"op": "close", "id": 1}),
]
MESSAGES = [b"".join(message) for message in CONVERSATION]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A message with some bytes changed, cut or put in."""
    message = bytearray(draw(st.sampled_from(MESSAGES)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(message)))
        message[start : start + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(message)


@contextlib.contextmanager
def desk() -> Iterator[tuple[Desk, FakeDevice, Lent]]:
    fake = FakeDevice()
    lent = Lent(fake, Turns(), Memory(1 << 20), 1 << 20)
    made = Desk(lent, "client", lambda: True)
    yield made, fake, lent
    made.close()
    assert fake.loaded == set() and lent.memory.used == 0
    assert lent.turns.stop(10)


def check(answer: list[bytes | memoryview]) -> None:
    """It is a message, and not one that says a mistake of the server's."""
    head, _ = protocol.decode(b"".join(answer))
    error = head.get("error")
    assert error is None or "internal" not in error["text"]
    assert error is None or "\n" not in error["text"]


@settings(max_examples=150, deadline=None)
@given(st.lists(mutated() | st.binary(max_size=60) | st.text(max_size=20) | st.sampled_from(MESSAGES), max_size=8))
def test_every_message_has_an_answer(messages: list[bytes | str]) -> None:
    with desk() as (made, _, lent):
        for message in messages:
            check(made.answer(message))
            assert lent.memory.used <= lent.memory.limit


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["op", "id", "sizes", "other"]), json_values), st.binary(max_size=20))
def test_every_head_has_an_answer(head: protocol.Head, rest: bytes) -> None:
    with desk() as (made, _, _):
        for op in ("run", "load", "close", "status"):
            check(made.answer(b"".join(protocol.encode({**head, "op": op}, [memoryview(rest)]))))
        check(made.answer(b"".join(protocol.encode(head))))


def test_a_conversation_without_mistakes_is_answered_well() -> None:
    with desk() as (made, fake, lent):
        for message in MESSAGES:
            head, _ = protocol.decode(b"".join(made.answer(message)))
            assert "error" not in head
        assert fake.runs == [1] and lent.memory.used == 0


def frame(payload: bytes, first: int = 0x82) -> bytes:
    """A WebSocket frame of a client, with the mask that changes nothing."""
    assert len(payload) < 1 << 16
    return bytes([first, 0x80 | 126]) + len(payload).to_bytes(2, "big") + bytes(4) + payload


GOOD = handshake(TOKEN) + b"".join(frame(message) for message in MESSAGES)


def still_serves(server: Server) -> None:
    with RemoteDevice(str(server.address), TOKEN) as device:
        assert np.array_equal(device.load(incrementing()).run([filled(1)])[0], filled(2))


def throw(address: Address, content: bytes, wait: float = 0.0) -> None:
    """Send bytes, hear what there is to hear, and hang up."""
    with contextlib.suppress(ConnectionError), address.connect(20) as peer:
        peer.sendall(content)
        while select.select([peer], [], [], wait)[0] and peer.recv(65536):
            pass


def test_every_kind_of_broken_bytes_leaves_a_server_that_serves(server: Server) -> None:
    dice = random.Random(4)
    for number in range(120):
        broken = bytearray(GOOD)
        for _ in range(dice.randrange(1, 6)):
            # Half of them behind the handshake, which is a small part of all.
            place = dice.randrange(len(handshake(TOKEN)) if number % 2 else 0, len(broken))
            broken[place : place + dice.randrange(5)] = dice.randbytes(dice.randrange(5))
        throw(server.address, bytes(broken[: dice.randrange(len(broken))] if number % 3 == 0 else broken), 0.01)
    for content in (b"", b"\0" * 5000, b"GET / HTTP/1.1\r\n\r\n", dice.randbytes(5000), b"A: " + b"x" * 100_000):
        throw(server.address, content)
    still_serves(server)


def test_frames_that_websocket_forbids_close_the_connection_alone(server: Server) -> None:
    hello = handshake(TOKEN)
    huge = bytes([0x82, 0xFF]) + (1 << 40).to_bytes(8, "big") + bytes(4)
    with RemoteDevice(str(server.address), TOKEN) as device:
        loaded = device.load(incrementing())
        for wrong in (
            b"\x82\x05hello",
            frame(b"x", 0xF2),
            frame(b"x", 0x83),
            frame(b"x", 0x80),
            huge,
            frame(b"\xff", 0x81),
        ):
            throw(server.address, hello + wrong, 5.0)
        assert np.array_equal(loaded.run([filled(1)])[0], filled(2))


def test_flood_without_waiting_for_answers_is_answered_or_dropped(server: Server) -> None:
    run = frame(MESSAGES[1])
    throw(server.address, handshake(TOKEN) + frame(MESSAGES[0]) + 500 * run)
    still_serves(server)


class Cutter:
    """Stands between a client and the server, and cuts the connection after so many bytes of one direction."""

    def __init__(self, server: Server, to_server: int, to_client: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"hornito://127.0.0.1:{self._listener.getsockname()[1]}"
        self._server = server
        self._left = {True: to_server, False: to_client}
        self._thread = threading.Thread(target=self._relay)
        self._thread.start()

    def _relay(self) -> None:
        client, _ = self._listener.accept()
        with client, self._server.address.connect(20) as server:
            while True:
                for end in select.select([client, server], [], [], 20)[0]:
                    forth = end is client
                    content = end.recv(min(65536, self._left[forth] + 1))
                    with contextlib.suppress(OSError):
                        (server if forth else client).sendall(content[: self._left[forth]])
                    self._left[forth] -= len(content)
                    if not content or self._left[forth] < 0:
                        return

    def close(self) -> tuple[int, int]:
        """How many bytes more would have been let through."""
        self._thread.join(20)
        self._listener.close()
        return self._left[True], self._left[False]


def converse(address: str) -> None:
    with RemoteDevice(address, TOKEN) as device:
        loaded = device.load(incrementing())
        assert np.array_equal(loaded.run([filled(1)])[0], filled(2))
        loaded.close()
        device.status()


MANY = 1 << 30


def test_connection_cut_anywhere_is_one_line_for_the_client_and_frees_what_it_held(
    server: Server, fake: FakeDevice
) -> None:
    whole = Cutter(server, MANY, MANY)
    converse(whole.address)
    lengths = [MANY - left for left in whole.close()]
    cuts = [(place, MANY) for place in range(0, lengths[0] - 8, lengths[0] // 25)]
    cuts += [(MANY, place) for place in range(0, lengths[1] - 8, lengths[1] // 25)]
    for cut in cuts:
        cutter = Cutter(server, *cut)
        with pytest.raises(HornitoError) as caught:
            converse(cutter.address)
        cutter.close()
        assert isinstance(caught.value, DeviceError), cut
        assert "\n" not in str(caught.value)
    until(lambda: server.clients == 0 and not fake.loaded)
    still_serves(server)
