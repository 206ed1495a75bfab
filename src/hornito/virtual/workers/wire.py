# SPDX-License-Identifier: MIT
"""How do the virtual kernel and its worker process talk? One request, one answer: JSON, bytes, descriptors."""

import json
import mmap
import os
import socket
import struct
from dataclasses import dataclass
from typing import Any

from hornito.virtual.faults import Fault, Hang, MMUFault

STATE_BYTES = mmap.PAGESIZE  # of the file that shows how far a worker is
STARTED, JOB = range(2)  # its 64-bit words: the number of the last run that began, the job it is at + 1

_SIZES = struct.Struct("<II")  # of the JSON text and of the tail, in bytes
_MOST_DESCRIPTORS = 1


@dataclass(frozen=True)
class Message:
    """``tail``: bytes as they are; ``fd``: a descriptor that the receiver owns, or None."""

    values: dict[str, Any]
    tail: bytes = b""
    fd: int | None = None


class Closed(Exception):
    """The other side is gone."""


def send(peer: socket.socket, message: Message) -> None:
    """Raises Closed."""
    text = json.dumps(message.values).encode()
    parts = _SIZES.pack(len(text), len(message.tail)) + text + message.tail
    try:
        sent = socket.send_fds(peer, [parts], [] if message.fd is None else [message.fd])
        peer.sendall(memoryview(parts)[sent:])
    except OSError as error:
        raise Closed from error


def receive(peer: socket.socket) -> Message:
    """Wait for the next message. Raises Closed."""
    try:
        first, fds, _, _ = socket.recv_fds(peer, _SIZES.size, _MOST_DESCRIPTORS)
        if not first:
            raise Closed
        try:
            text, tail = _SIZES.unpack(first + _exactly(peer, _SIZES.size - len(first)))
            values = json.loads(_exactly(peer, text))
            return Message(values, _exactly(peer, tail), fds[0] if fds else None)
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise
    except OSError as error:
        raise Closed from error


def _exactly(peer: socket.socket, count: int) -> bytes:
    content = bytearray()
    while len(content) < count:
        part = peer.recv(count - len(content))
        if not part:
            raise Closed
        content += part
    return bytes(content)


def encode_fault(fault: Fault) -> dict[str, Any]:
    """A fault as plain values."""
    kind = "hang" if isinstance(fault, Hang) else "mmu" if isinstance(fault, MMUFault) else "fault"
    write = fault.write if isinstance(fault, MMUFault) else False
    return {
        "kind": kind,
        "text": fault.text,
        "unit": fault.unit,
        "job": fault.job,
        "address": fault.address,
        "write": write,
    }


def decode_fault(values: dict[str, Any]) -> Fault:
    """What ``encode_fault`` gave."""
    text, job, address = values["text"], values["job"], values["address"]
    if values["kind"] == "mmu":
        return MMUFault(text, address=address, job=job, write=values["write"])
    kind = Hang if values["kind"] == "hang" else Fault
    return kind(text, unit=values["unit"], job=job, address=address)
