# SPDX-License-Identifier: MIT
"""How is a device of another machine used? By one connection to ``hornito serve``, and one round trip per run."""

import contextlib
import os
import socket
import threading
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from hornito.driver import Chip, check_inputs, find_chip
from hornito.errors import BadInput, DeviceError, HornitoError, Unsupported
from hornito.remote import protocol
from hornito.remote.address import Address
from hornito.remote.protocol import Head, Keepalive
from hornito.stream import Port, Submission

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

_REFUSED_TOKEN, _OTHER_VERSION, _FULL = 401, 426, 503  # statuses of HTTP
_GOING_AWAY, _TOO_BIG = 1001, 1009  # codes of WebSocket


class RemoteDevice:
    """A ``Device`` that ``hornito serve`` lends. ``address`` is a name for ``--device``, ``token`` what the server
    printed (None: $HORNITO_TOKEN).

    Threads may share it; their runs take turns. A connection that broke stays broken: open another device. Raises
    BadInput for a wrong address or token, Unsupported for a server of another version, DeviceError.
    """

    def __init__(self, address: str, token: str | None = None, *, keepalive: Keepalive | None = None) -> None:
        place = Address.of_device(address)
        if token is None:
            token = os.environ.get(protocol.TOKEN_VARIABLE)
            if token is None:
                raise BadInput(f"{place}: needs a token; set {protocol.TOKEN_VARIABLE} to what 'hornito serve' printed")
            protocol.check_token(token, f"${protocol.TOKEN_VARIABLE}")
        self._name = str(place)
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._why = "the device is closed; open it again"
        self._connection: ClientConnection | None = _connect(place, token, keepalive or Keepalive())
        self._end = weakref.finalize(self, _hang_up, self._connection, self._process)  # for those who forget to close
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    def _greet(self) -> None:
        """Hear what the server lends, which it says first."""
        assert self._connection is not None
        try:
            head, _ = protocol.decode(self._connection.recv(timeout=protocol.HANDSHAKE_SECONDS))
            self._remote, chip, self._limit = str(head["device"]), str(head["chip"]), int(head["limit"])
        except HornitoError:
            raise
        except Exception as error:
            raise DeviceError(f"{self._name}: {_reason(error)}") from error
        try:
            self._chip = find_chip(chip)
        except BadInput as error:
            raise Unsupported(f"{self._name}: it lends a {chip!r}, which this Hornito does not know; update") from error
        self._name = f"{self._remote} at {self._name}"

    @property
    def name(self) -> str:
        return self._name

    @property
    def chip(self) -> Chip:
        return self._chip

    def load(self, submission: Submission) -> "RemoteLoaded":
        content = protocol.pack_submission(submission, self._chip.name)
        reply, _ = self.exchange({"op": "load"}, [content])
        return RemoteLoaded(self, submission, self.number(reply, "id"))

    def status(self) -> Head:
        """What the server says of itself: device, chip, clients, bytes of device memory in use and at most."""
        return self.exchange({"op": "status"})[0]

    def close(self) -> None:
        if os.getpid() == self._process:
            with self._lock:
                self._connection = None
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # For what is loaded.

    def exchange(self, head: Head, parts: Sequence[memoryview] = ()) -> tuple[Head, list[memoryview]]:
        """Ask, and wait for the answer as long as the connection lives. Raises what the server raised, DeviceError."""
        if os.getpid() != self._process:
            raise DeviceError(f"{self._name}: was opened before a fork; open it again")
        message = protocol.encode(head, parts)
        if (size := sum(len(part) for part in message)) > self._limit:
            raise BadInput(
                f"{self._name}: a message of {size} bytes; the server takes {self._limit}: use a smaller model"
            )
        with self._lock:
            connection = self._connection
            if connection is None:
                raise DeviceError(f"{self._name}: {self._why}")
            try:
                connection.send(message)
                reply, views = protocol.decode(connection.recv())
            except BaseException as error:
                # Whatever came between, an answer may be under way that nobody waits for.
                self._connection = None
                self._why = f"the connection is broken ({_reason(error)}); open it again"
                self._end()
                if isinstance(error, Exception):
                    raise DeviceError(f"{self._name}: {_reason(error)}") from error
                raise
        if "error" in reply:
            raise protocol.error_of(reply["error"], self._remote, self._name)
        return reply, views

    def number(self, reply: Head, field: str) -> int:
        """A number out of an answer. Raises DeviceError."""
        value = reply.get(field)
        if type(value) is not int:
            self.nonsense(f"{field} = {value!r}")
        return value

    def nonsense(self, what: str) -> NoReturn:
        """Raises DeviceError: the server answered something that it can't mean."""
        raise DeviceError(f"{self._name}: the server's answer makes no sense ({what}); update it")


class RemoteLoaded:
    """A ``Loaded``; made by ``RemoteDevice.load``."""

    def __init__(self, device: RemoteDevice, submission: Submission, number: int) -> None:
        self._device = device
        self._number = number
        self._inputs = submission.inputs
        self._outputs = submission.outputs
        self._closed = False

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        if self._closed:
            raise DeviceError(f"{self._device.name}: the submission is closed; load it again")
        check_inputs(self._inputs, inputs)
        _, views = self._device.exchange({"op": "run", "id": self._number}, [protocol.raw(array) for array in inputs])
        if [len(view) for view in views] != [port.bytes for port in self._outputs]:
            self._device.nonsense(f"{len(views)} outputs of {sum(len(view) for view in views)} bytes")
        return [_array(view, port) for view, port in zip(views, self._outputs, strict=True)]

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(DeviceError):  # a connection that broke took it along
            self._device.exchange({"op": "close", "id": self._number})


def _array(view: memoryview, port: Port) -> NDArray[Any]:
    """An output of its own: aligned, writable, and without the message that it came in."""
    return np.frombuffer(view, port.tensor.dtype).reshape(port.tensor.shape).copy()


def _connect(address: Address, token: str, keepalive: Keepalive) -> "ClientConnection":
    """A connection whose handshake is done. Raises BadInput, Unsupported, DeviceError."""
    from websockets.exceptions import InvalidStatus, WebSocketException
    from websockets.sync.client import connect

    try:
        connected = address.connect(protocol.HANDSHAKE_SECONDS)
    except OSError as error:
        raise DeviceError(f"{address}: {error.strerror or error}; is 'hornito serve' running there?") from error
    headers = {
        protocol.VERSION_HEADER: str(protocol.VERSION),
        protocol.CLIENT_HEADER: protocol.client_name(),
        protocol.TOKEN_HEADER: protocol.bearer(token),
    }
    try:
        connected.settimeout(None)
        protocol.limit_sending(connected)
        # The socket is ours: no proxy that the environment names, no redirection elsewhere gets to see the token.
        connection = connect(
            "ws://hornito/",
            sock=connected,
            compression=None,
            additional_headers=headers,
            proxy=None,
            open_timeout=protocol.HANDSHAKE_SECONDS,
            close_timeout=protocol.CLOSING_SECONDS,
            ping_interval=keepalive.interval,
            ping_timeout=keepalive.patience,
            max_size=protocol.MAX_MESSAGE,
            logger=protocol.quiet_logger(),
        ).__enter__()
    except InvalidStatus as error:
        connected.close()
        found = error.response.headers.get(protocol.VERSION_HEADER)
        raise _refused(str(address), error.response.status_code, found) from error
    except (OSError, WebSocketException, EOFError) as error:
        connected.close()
        raise DeviceError(f"{address}: no Hornito server answers there ({_reason(error)})") from error
    except BaseException:
        connected.close()
        raise
    assert connection.response is not None
    if connection.response.headers.get(protocol.VERSION_HEADER) != str(protocol.VERSION):
        found = connection.response.headers.get(protocol.VERSION_HEADER)
        connection.close()
        raise _refused(str(address), _OTHER_VERSION, found)
    return connection


def _refused(address: str, status: int, version: str | None) -> HornitoError:
    """Why the server did not want us."""
    if version is None:
        return DeviceError(f"{address}: what answers there is no Hornito server (HTTP status {status})")
    if status == _REFUSED_TOKEN:
        variable = protocol.TOKEN_VARIABLE
        return BadInput(f"{address}: the server refuses the token; set {variable} to what 'hornito serve' printed")
    if status == _OTHER_VERSION or version != str(protocol.VERSION):
        return Unsupported(
            f"{address}: the server speaks version {version[:20]} of the protocol and this Hornito version "
            f"{protocol.VERSION}; install the same Hornito at both ends"
        )
    if status == _FULL:
        return DeviceError(f"{address}: the server has as many clients as it takes; try again later")
    return DeviceError(f"{address}: the server refuses the connection (HTTP status {status})")


def _reason(error: BaseException) -> str:
    """In words of ours, why a connection is of no use."""
    from websockets.exceptions import ConnectionClosed

    if isinstance(error, ConnectionClosed):
        if error.rcvd is not None and error.rcvd.code == _GOING_AWAY:
            return "the server was ended"
        if error.rcvd is not None and error.rcvd.code == _TOO_BIG:
            return "the server takes no message as big as that"
        if error.sent is not None and "timeout" in error.sent.reason:
            return "the server no longer answers; is its machine still up?"
        return "the server hung up; is it still running?"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, KeyboardInterrupt):
        return "a run was interrupted"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) or type(error).__name__


def _hang_up(connection: "ClientConnection", process: int) -> None:
    """The connection's end; a forked child gives up no more than its copy of the socket."""
    if os.getpid() != process:
        socket.close(connection.socket.detach())
    else:
        connection.close()
