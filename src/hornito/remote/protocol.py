# SPDX-License-Identifier: MIT
"""What travels between a client and the server that lends a device? docs/remote.md has the protocol in full.

WebSocket frames it. Version, token and the client's name are headers of the handshake. A message is binary: one line
of JSON, then the bytes of the arrays that its "sizes" counts. The client asks, the server answers, in turn.
"""

import io
import json
import logging
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.errors import BadInput, BadStream, DeviceError, HornitoError, Unsupported
from hornito.stream import Archive, NpuSegment, Submission, pack_archive, unpack_archive

VERSION = 1  # of the protocol; both ends must have the same
VERSION_HEADER = "Hornito-Protocol"
CLIENT_HEADER = "Hornito-Client"
TOKEN_HEADER = "Authorization"
TOKEN_VARIABLE = "HORNITO_TOKEN"
MAX_MESSAGE = 256 << 20  # bytes
HANDSHAKE_SECONDS = 10.0
CLOSING_SECONDS = 2.0
_JOINED = 16 << 10  # bytes; copying so few costs less than waking the peer twice
_STUCK_SECONDS = 30  # how long sending may make no progress
_TIMEVAL = struct.Struct("@ll")
_ERRORS: dict[str, type[HornitoError]] = {
    kind.__name__: kind for kind in (BadInput, Unsupported, DeviceError, BadStream)
}

Head = dict[str, Any]


@dataclass(frozen=True)
class Keepalive:
    """How a broken connection is noticed while nothing is sent: a ping each ``interval`` seconds, whose answer must
    come within ``patience`` seconds. A slow job is no reason: its connection answers all the same."""

    interval: float = 10.0
    patience: float = 20.0


def quiet_logger() -> logging.Logger:
    """A logger for the library underneath that says nothing: what matters reaches the user as an error of ours."""
    logger = logging.getLogger("hornito.websockets")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger


def limit_sending(connected: socket.socket) -> None:
    """A peer that reads nothing must not hold us for ever: sending fails after a while without progress."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(_STUCK_SECONDS, 0))


def bearer(token: str) -> str:
    """What TOKEN_HEADER holds."""
    return f"Bearer {token}"


def check_token(token: str, source: str) -> str:
    """The token itself. Raises BadInput for one that no header can hold."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise BadInput(f"{source} is no token: one has printable ASCII characters and no spaces")
    return token


def client_name() -> str:
    """What the server calls this process: its jobs take one turn, however many connections they come by."""
    host = socket.gethostname().encode("ascii", "replace").decode()
    return f"{host}[{os.getpid()}]"


# Messages.


def encode(head: Head, parts: Sequence[memoryview] = ()) -> list[bytes | memoryview]:
    """The fragments of a message; the bytes of arrays of any length are not copied."""
    sizes = [part.nbytes for part in parts]
    line = json.dumps({**head, "sizes": sizes}).encode() + b"\n"
    return [b"".join((line, *parts))] if sum(sizes) <= _JOINED else [line, *parts]


def decode(content: bytes | str) -> tuple[Head, list[memoryview]]:
    """A message and its arrays' bytes, which are views of ``content``. Raises ValueError for what is no message."""
    if isinstance(content, str):
        raise ValueError("a message of text")
    length = content.find(b"\n") + 1
    if length == 0:
        raise ValueError("a message without a line of JSON")
    try:
        head = json.loads(content[:length])
    except RecursionError as error:
        raise ValueError("a message of JSON in too many levels") from error
    if not isinstance(head, dict):
        raise ValueError("a message whose JSON is no object")
    sizes = head.pop("sizes", None)
    if not isinstance(sizes, list) or not all(type(size) is int and size >= 0 for size in sizes):
        raise ValueError("a message without the sizes of its arrays")
    if length + sum(sizes) != len(content):
        raise ValueError(f"a message of {len(content)} bytes that says {length} + {sum(sizes)}")
    views, start = [], length
    for size in sizes:
        views.append(memoryview(content)[start : start + size])
        start += size
    return head, views


def raw(array: NDArray[Any]) -> memoryview:
    """An array's bytes, in C order; copied only if they do not lie so."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


# Submissions: as files hold them.


def pack_submission(submission: Submission, chip: str) -> memoryview:
    """A submission for a chip, in the format of submission files."""
    ports = (*submission.inputs, *submission.outputs)
    tensors = tuple({port.tensor.index: port.tensor for port in ports}.values())
    content = io.BytesIO()
    pack_archive(content, Archive((submission,), chip, tensors=tensors, segments=(NpuSegment(0),)))
    return content.getbuffer()


def unpack_submission(content: memoryview) -> Submission:
    """What ``pack_submission`` packed. Raises BadInput."""
    name = "the submission received"
    try:
        archive = unpack_archive(io.BytesIO(content), name, limit=len(content))  # they are not compressed
    except OSError as error:
        raise BadInput(f"{name}: can't be read ({error})") from error
    if len(archive.submissions) != 1 or archive.segments != (NpuSegment(0),):
        raise BadInput(f"{name}: holds {len(archive.submissions)} submissions; one is loaded at a time")
    return archive.submissions[0]


# Errors.


def error_head(error: HornitoError) -> Head:
    """An error on its way to the client."""
    found: Head = {"kind": type(error).__name__, "text": str(error)}
    if isinstance(error, DeviceError):
        found |= {"unit": error.unit, "address": error.address, "job": error.job, "line": error.line}
    return {"error": found}


def error_of(found: object, device: str, name: str) -> HornitoError:
    """The error that the server sent, by what the client calls the device instead of the server's own ``device``."""
    fields: Mapping[str, Any] = found if isinstance(found, dict) else {}
    text = f"{name}: {str(fields.get('text', 'an error without words')).removeprefix(f'{device}: ')}"
    kind = _ERRORS.get(str(fields.get("kind")), DeviceError)
    if kind is not DeviceError:
        return kind(text)
    address, job = fields.get("address"), fields.get("job")
    return DeviceError(
        text,
        unit=str(fields.get("unit", "unknown")),
        address=address if isinstance(address, int) else None,
        job=job if isinstance(job, int) else None,
        line=str(fields.get("line", "")),
    )
