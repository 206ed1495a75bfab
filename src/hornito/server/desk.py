# SPDX-License-Identifier: MIT
"""What may one client ask, and what does it hold? Requests become jobs of the device; all ends with the connection."""

import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hornito.driver import Device, Loaded
from hornito.errors import BadInput, DeviceError, HornitoError
from hornito.remote.protocol import Head, decode, encode, error_head, raw, unpack_submission
from hornito.server.memory import Memory, footprint
from hornito.server.turns import Turns
from hornito.stream import Port

log = logging.getLogger("hornito")
T = TypeVar("T")


@dataclass(frozen=True)
class Lent:
    """What all clients share: the device, its turns, its memory, and how large a message may be in bytes."""

    device: Device
    turns: Turns
    memory: Memory
    max_message: int

    def greeting(self) -> Head:
        """What a client hears first."""
        return {"device": self.device.name, "chip": self.device.chip.name, "limit": self.max_message}


@dataclass(frozen=True)
class _Held:
    """A submission in the device's memory."""

    loaded: Loaded
    inputs: tuple[Port, ...]
    size: int


class Desk:
    """One connection's requests. ``client`` is whose turn they take, ``alive`` whether the connection still is."""

    def __init__(self, lent: Lent, client: str, alive: Callable[[], bool]) -> None:
        self._lent = lent
        self._client = client
        self._alive = alive
        self._held: dict[int, _Held] = {}
        self._last = 0
        lent.turns.join(client)

    def answer(self, content: bytes | str) -> list[bytes | memoryview]:
        """The answer to a message, whatever it is."""
        try:
            try:
                head, views = decode(content)
            except ValueError as error:
                raise BadInput(f"the server does not understand the message: {error}") from error
            match head.get("op"):
                case "run":
                    return self._run(head, views)
                case "load":
                    return self._load(views)
                case "close":
                    self._give_back(self._held.pop(self._number(head)))
                    return encode({})
                case "status":
                    return encode(self._status())
                case other:
                    raise BadInput(f"the server does not know the request {str(other)[:40]!r}")
        except HornitoError as error:
            return encode(error_head(error))
        except MemoryError:
            return encode(error_head(DeviceError("the server's machine is out of memory")))
        except Exception as error:
            what = f"internal error of the server: {' '.join(f'{type(error).__name__}: {error}'.split())}"
            log.error("%s; please report it with HORNITO_DEBUG=1 set", what, exc_info="HORNITO_DEBUG" in os.environ)
            return encode(error_head(DeviceError(what)))

    def close(self) -> None:
        """The connection has ended: what it held is free again."""
        with contextlib.suppress(HornitoError):  # a device that is gone, or being closed, took it along
            for number in list(self._held):
                self._give_back(self._held.pop(number))
        self._lent.turns.leave(self._client)

    def _status(self) -> Head:
        lent = self._lent
        return {
            "device": lent.device.name,
            "chip": lent.device.chip.name,
            "clients": lent.turns.clients,
            "waiting": lent.turns.waiting,
            "memory_used": lent.memory.used,
            "memory_limit": lent.memory.limit,
        }

    def _load(self, views: list[memoryview]) -> list[bytes | memoryview]:
        if len(views) != 1:
            raise BadInput(f"a request to load with {len(views)} arrays instead of one")
        submission = unpack_submission(views[0])
        results = sum(port.bytes for port in submission.outputs)
        if results > self._lent.max_message // 2:
            raise BadInput(f"outputs of {results} bytes; the server sends {self._lent.max_message // 2} at most")
        size = footprint(submission)
        self._lent.memory.take(size)
        try:
            loaded = self._do(lambda: self._lent.device.load(submission))
        except BaseException:
            self._lent.memory.give_back(size)
            raise
        self._last += 1
        self._held[self._last] = _Held(loaded, submission.inputs, size)
        return encode({"id": self._last})

    def _run(self, head: Head, views: list[memoryview]) -> list[bytes | memoryview]:
        held = self._held[self._number(head)]
        if [len(view) for view in views] != [port.bytes for port in held.inputs]:
            raise BadInput(
                f"inputs of {[len(view) for view in views]} bytes; "
                f"the submission takes {[port.bytes for port in held.inputs]}"
            )
        inputs = [
            np.frombuffer(view, port.tensor.dtype).reshape(port.tensor.shape)
            for view, port in zip(views, held.inputs, strict=True)
        ]
        outputs = self._do(lambda: held.loaded.run(inputs))
        return encode({}, [raw(output) for output in outputs])

    def _give_back(self, held: _Held) -> None:
        try:
            self._lent.turns.do(self._client, held.loaded.close)  # no matter who still listens
        finally:
            self._lent.memory.give_back(held.size)

    def _do(self, work: Callable[[], T]) -> T:
        return self._lent.turns.do(self._client, work, self._alive)

    def _number(self, head: Head) -> int:
        number = head.get("id")
        if type(number) is not int or number not in self._held:
            raise BadInput(f"no submission {str(number)[:40]} is loaded")
        return number
