# SPDX-License-Identifier: MIT
"""What does the process do that writes a recording for another one? It takes events from shared memory, in order.

``main`` is what the process runs (hornito.trace.process_writer starts it). It ends when it is told to, or when all was
written of one who can't tell it any more.
"""

import contextlib
import io
import mmap
import os
import pickle
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hornito.errors import BadInput
from hornito.trace.process_writer import COUNT, LENGTH, PLACE
from hornito.trace.snapshots import Piece, Snapshot, known
from hornito.trace.writer import TraceWriter

_NICE = 10
_MUCH = 16 << 20  # bytes that wait: then there is no time for packing
_PAUSE = 0.004  # seconds: whoever hands over the next event then need not wake us for it
_AT_ONCE = 1 << 16  # bytes of the pipe


@dataclass(frozen=True)
class _Part:
    """Bytes in the shared memory."""

    memory: memoryview
    offset: int
    length: int

    def view(self) -> memoryview:
        return self.memory[self.offset : self.offset + self.length]


class Received:
    """The other end of ``_Sent``."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._pieces: dict[int, Piece] = {}
        self._snapshots: dict[int, Snapshot] = {}

    def value(self, offset: int, length: int) -> Any:
        """What lies there."""
        content = self._memory[offset : offset + length]
        start = LENGTH.size + LENGTH.unpack_from(content)[0]
        if start > LENGTH.size:
            for number, places in pickle.loads(content[LENGTH.size : start]):
                self._snapshots[number] = Snapshot([self._piece(place) for place in places])
        return _Unpickler(io.BytesIO(content[start:]), self._snapshots.__getitem__).load()

    def _piece(self, place: int | tuple[int, int, int]) -> Piece:
        if isinstance(place, int):
            return self._pieces[place]
        at, offset, length = place
        piece = self._pieces[at] = Piece(offset, _Part(self._memory, at, length))
        return piece


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, snapshot: Callable[[int], Snapshot]) -> None:
        super().__init__(file)
        self._snapshot = snapshot

    def find_class(self, module: str, name: str) -> Any:
        return (
            self._snapshot if (module, name) == (known.__module__, known.__name__) else super().find_class(module, name)
        )


class _Places:
    """Where events lie, in the order in which they came. ``waiting``: bytes that they keep from being used again."""

    def __init__(self, pipe: int) -> None:
        self.waiting = 0
        self._pipe = pipe
        self._found: deque[tuple[int, int, int]] = deque()
        self._rest = b""

    def next(self) -> tuple[int, int] | None:
        """The next event's place and length; None once there is nobody left who could tell one."""
        while self._fill(wait=False):
            pass
        if not self._found:
            time.sleep(_PAUSE)
            while not self._found:
                if not self._fill(wait=True):
                    return None
        offset, length, size = self._found.popleft()
        self.waiting -= size
        return offset, length

    def _fill(self, wait: bool) -> bool:
        if not wait and not select.select([self._pipe], [], [], 0)[0]:
            return False
        more = os.read(self._pipe, _AT_ONCE)
        content = self._rest + more
        whole = len(content) // PLACE.size * PLACE.size
        self._rest = content[whole:]
        for place in PLACE.iter_unpack(content[:whole]):
            self._found.append(place)
            self.waiting += place[2]
        return bool(more)


def main(descriptors: list[int]) -> None:
    """The process: its arguments are the shared memory, two pipes (events come, counts go), and a socket for what is to
    be said."""
    memory, places, counts, peer_fd = descriptors
    os.nice(_NICE)
    with socket.socket(fileno=peer_fd) as peer, contextlib.suppress(BrokenPipeError):  # nobody is left to be told
        try:
            _write(Received(memoryview(mmap.mmap(memory, 0, prot=mmap.PROT_READ))), _Places(places), counts, peer)
        except BadInput as error:
            peer.sendall(f"{error}\n".encode())


def _write(received: Received, places: _Places, counts: int, peer: socket.socket) -> None:
    place = places.next()
    if place is None:
        return
    with TraceWriter(*received.value(*place)) as writer:
        peer.sendall(b"\n")
        done = 1
        _tell(counts, done)
        while (place := places.next()) is not None:
            build = received.value(*place)
            if build is None:
                break
            writer.keeper.pack = places.waiting < _MUCH
            writer.defer(build)
            done += 1
            _tell(counts, done)
        else:
            writer.abandon()
            return
    peer.sendall(b"\n")


def _tell(counts: int, done: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # the recorder was killed; what it handed over is still to be written
        os.write(counts, COUNT.pack(done))
