# SPDX-License-Identifier: MIT
"""How is a device lent? One thread a connection takes requests, one thread runs jobs, until the server is closed."""

import contextlib
import hmac
import logging
import os
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from hornito.driver import Device
from hornito.remote import protocol
from hornito.remote.address import Address
from hornito.remote.protocol import Keepalive
from hornito.server.desk import Desk, Lent
from hornito.server.listening import listen
from hornito.server.memory import Memory
from hornito.server.turns import Turns

if TYPE_CHECKING:
    from websockets.http11 import Request, Response
    from websockets.sync.server import ServerConnection

log = logging.getLogger("hornito")
_QUEUED_FRAMES = 2  # per connection, beyond the one that is answered
_ENDING_SECONDS = 5.0
_NAME_LENGTH = 100


@dataclass(frozen=True)
class Limits:
    """How much a server takes: bytes of device memory for all clients, bytes of a message, connections."""

    memory: int = 1 << 30
    message: int = protocol.MAX_MESSAGE
    connections: int = 64


class Server:
    """Lends ``device``, which it does not close, at ``address`` to clients that know ``token``, from now on.

    Raises BadInput for a place that can't be listened on. Leaving a ``with`` block closes it.
    """

    def __init__(
        self,
        device: Device,
        address: Address,
        token: str,
        limits: Limits | None = None,
        *,
        keepalive: Keepalive | None = None,
    ) -> None:
        from websockets.sync.server import serve

        limits, keepalive = limits or Limits(), keepalive or Keepalive()
        self._limits = limits
        self._authorization = protocol.bearer(token).encode()
        listener, self.address = listen(address)
        self._lent = Lent(device, Turns(), Memory(limits.memory), limits.message)
        self._connections = 0
        self._lock = threading.Lock()
        self._closed = False
        self._server = serve(
            self._attend,
            sock=listener,
            compression=None,
            process_request=self._judge,
            process_response=_say_version,
            open_timeout=protocol.HANDSHAKE_SECONDS,
            close_timeout=protocol.CLOSING_SECONDS,
            ping_interval=keepalive.interval,
            ping_timeout=keepalive.patience,
            max_size=limits.message,
            max_queue=_QUEUED_FRAMES,
            logger=protocol.quiet_logger(),
        )
        # A daemon, and so are the threads that it starts: no client can keep the process from ending.
        self._thread = threading.Thread(target=self._server.serve_forever, name="hornito serve", daemon=True)
        self._thread.start()

    @property
    def memory_used(self) -> int:
        """Bytes of device memory that clients hold."""
        return self._lent.memory.used

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return self._lent.turns.clients

    @property
    def waiting(self) -> int:
        """How many jobs wait for their turn."""
        return self._lent.turns.waiting

    def close(self) -> bool:
        """End all connections. Whether the job that ran, if one did, has ended too. A second time does nothing."""
        with self._lock:
            first, self._closed = not self._closed, True
        if not first:
            return True
        ended = self._lent.turns.stop(_ENDING_SECONDS)
        ending = threading.Thread(target=self._server.shutdown, daemon=True)
        ending.start()
        ending.join(_ENDING_SECONDS)
        self._thread.join(_ENDING_SECONDS)
        if self.address.path:
            with contextlib.suppress(OSError):
                os.unlink(self.address.path)
        return ended

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # In the connection's thread.

    def _judge(self, connection: "ServerConnection", request: "Request") -> "Response | None":
        """Let a client in, or say why not."""
        headers = request.headers
        version = (headers.get_all(protocol.VERSION_HEADER) or [""])[0]
        given = (headers.get_all(protocol.TOKEN_HEADER) or [""])[0]
        peer = _peer(connection)
        if version != str(protocol.VERSION):
            if version:
                log.warning(
                    "refused a client%s: it speaks version %.20s of the protocol, this server version %d",
                    *(peer, version, protocol.VERSION),
                )
            text = f"This server lends a device to Hornito; it speaks version {protocol.VERSION} of the protocol.\n"
            return connection.respond(426, text)
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._authorization):
            log.warning("refused a client%s: wrong token", peer)
            return connection.respond(401, "wrong token\n")
        with self._lock:
            full = self._connections >= self._limits.connections
        if full:
            log.warning("refused a client%s: there are %d connections already", peer, self._limits.connections)
            return connection.respond(503, "too many connections\n")
        return None

    def _attend(self, connection: "ServerConnection") -> None:
        """Answer one connection's requests until it ends."""
        from websockets.exceptions import ConnectionClosed
        from websockets.protocol import State

        assert connection.request is not None
        protocol.limit_sending(connection.socket)
        client = (connection.request.headers.get_all(protocol.CLIENT_HEADER) or ["unknown"])[0][:_NAME_LENGTH]
        desk = Desk(self._lent, client, lambda: connection.state is State.OPEN)
        with self._lock:
            self._connections += 1
        try:
            connection.send(protocol.encode(self._lent.greeting()))
            while True:
                connection.send(desk.answer(connection.recv()))
        except ConnectionClosed:
            pass
        finally:
            desk.close()
            with self._lock:
                self._connections -= 1


def _say_version(connection: "ServerConnection", request: "Request", response: "Response") -> None:
    """Every answer names our version, so that a client can tell whom it talks to."""
    response.headers[protocol.VERSION_HEADER] = str(protocol.VERSION)


def _peer(connection: "ServerConnection") -> str:
    place = connection.remote_address
    return f" from {place[0]}" if isinstance(place, tuple) else ""
