# SPDX-License-Identifier: MIT
"""How is a recording hashed, packed and written without slowing those who answer calls? In a process of its own.

Events and contents lie in memory that both processes share; a pipe says where the next event is. What was handed over
is written even if this process is killed at once. That process only gets what processor time nobody else wants.
"""

import contextlib
import fcntl
import json
import os
import pickle
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from hornito.errors import BadInput
from hornito.trace.copies import Arena, Block, Copy
from hornito.trace.records import Event, Header, Message
from hornito.trace.snapshots import MOST_KEPT, Piece, Snapshot
from hornito.trace.writer import Build, Keeper

WAITING = 256 << 20  # bytes that may wait for the other process; beyond it, whoever hands over more waits

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from hornito.trace.written_apart import main; main([int(value) for value in sys.argv[1:]])"
)
_ROOM = 2 * (WAITING + MOST_KEPT)  # addresses, of which only those that are used take memory
PLACE = struct.Struct("=QIQ")  # where an event lies, its bytes, and those of all that is kept for it
LENGTH = struct.Struct("=I")  # of what is told of new snapshots, before the event itself
COUNT = struct.Struct("=Q")  # of events that need their memory no more
_PIPE_BYTES = 1 << 20
_LAST = 4096  # bytes that are kept for the last that is said where there is room for nothing else
_FEW = 16  # events that wait before anybody looks how far the other process is


@dataclass(frozen=True)
class _Remark:
    event: Message

    def __call__(self, keeper: Keeper) -> Event:
        return self.event


class ProcessWriter:
    """What ``Recorder`` writes to; ``defer`` takes what can be pickled. Any thread may use it.

    Raises BadInput if the file can't be written, or there is no room for what waits: at once, or with a call after it
    happened. Without room, what was handed over before is still written, and a remark that nothing follows.
    """

    def __init__(self, path: str, header: Header, waiting: int = WAITING) -> None:
        self._path = path
        self._limit = waiting
        self._lock = threading.Lock()
        self._failure: BadInput | None = None
        self._closed = False
        try:
            self.copies = Arena(_ROOM)
        except OSError as error:
            raise BadInput(f"{path}: there is no memory for what waits to be written ({error.strerror})") from error
        self._last = [self.copies.new(_LAST) for _ in range(2)]  # for the remark, and for the end
        self._sent = _Sent(self.copies)
        self._waiting: deque[tuple[int, list[Copy]]] = deque()  # bytes, and the copies that are needed until then
        self._bytes = 0
        self._done = 0  # events that the other process is done with
        self._start()
        try:
            self._send((path, header))
            self._check_answer()
        except BaseException:
            self._end()
            raise
        self._began = time.monotonic_ns()

    def _start(self) -> None:
        self._peer, theirs = socket.socketpair()
        read, self._places = os.pipe()
        self._counts, write = os.pipe()
        os.set_blocking(self._counts, False)
        with contextlib.suppress(OSError):  # as many wait as there is room for
            fcntl.fcntl(self._places, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        given = [self.copies.fd, read, write, theirs.fileno()]
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path), *map(str, given)],
                pass_fds=given,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # A group alone keeps a Ctrl-C away. In a session of its own it would be scheduled as one who asks for
                # as much time as all of this one together.
                process_group=0,
            )
        finally:
            os.close(read)
            os.close(write)
            theirs.close()

    @property
    def pid(self) -> int:
        """The other process."""
        return self._popen.pid

    def defer(self, build: Build) -> None:
        """Let an event be made and written there."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if len(self._waiting) >= _FEW:
                self._look_how_far()
            while self._bytes > self._limit:
                _wait_for(self._counts)
                self._look_how_far()
            try:
                self._send(build)
            except OSError as error:
                raise self._end_early(error) from error

    def _end_early(self, error: OSError) -> BadInput:
        """Nothing can be handed over any more: say so in the recording, and end it."""
        text = f"the recording ends here: what waits to be written has no room ({error.strerror})"
        self._failure = failure = BadInput(f"{self._path}: {text}")
        remark = _Remark(Message(time.monotonic_ns() - self._began, text, "recorder"))
        for what in (remark, None):
            self._send_block(self.copies.fill(self._last.pop(), self._sent.message(what)[0]), [])
        return failure

    def keep_to(self, processors: set[int]) -> None:
        """Let the other process run on these processors alone."""
        with contextlib.suppress(OSError):
            os.sched_setaffinity(self.pid, processors)

    def close(self) -> None:
        """Wait until all is written. Raises BadInput if it could not be."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                if self._failure is not None:
                    raise self._failure
                block = self.copies.fill(self._last.pop(), self._sent.message(None)[0])
                self._send_block(block, [])
                self._check_answer()
            finally:
                self._end()

    def _end(self) -> None:
        os.close(self._places)
        os.close(self._counts)
        self._peer.close()
        self._popen.wait()
        self._waiting.clear()
        self.copies.close()

    def _check_answer(self) -> None:
        """Raises BadInput with what the other process says is wrong."""
        text = b""
        with contextlib.suppress(OSError):
            while not text.endswith(b"\n"):
                # It may be waiting too, for room for its counts.
                while self._counts in _wait_for(self._counts, self._peer.fileno()) and self._count():
                    pass
                piece = self._peer.recv(4096)
                if not piece:
                    break
                text += piece
        if text != b"\n":
            self._failure = BadInput(
                text.decode().strip() or f"{self._path}: the process that wrote the recording has died"
            )
            raise self._failure

    def _look_how_far(self) -> None:
        """Let go of what the other process has written. Raises BadInput where it has ended."""
        if not self._count():
            self._check_answer()

    def _count(self) -> bool:
        """Let go of what is known to be written; False once nobody tells that any more."""
        try:
            counts = os.read(self._counts, 1 << 16)
        except BlockingIOError:
            return True
        for (count,) in COUNT.iter_unpack(counts[: len(counts) // COUNT.size * COUNT.size]):
            while self._done < count:
                self._done += 1
                self._bytes -= self._waiting.popleft()[0]
        return bool(counts)

    def _send(self, what: Any) -> None:
        message, copies = self._sent.message(what)
        self._send_block(self.copies.put(message), copies)

    def _send_block(self, block: Block, copies: list[Copy]) -> None:
        """The message that lies there, and what must stay until it is done with."""
        copies.append(block)
        size = sum(copy.length for copy in copies)
        self._bytes += size
        self._waiting.append((size, copies))
        try:
            os.write(self._places, PLACE.pack(block.offset, block.length, size))
        except OSError:
            self._check_answer()


def _wait_for(*descriptors: int) -> list[int]:
    """Those of them that can be read, or have ended, once there is one."""
    poll = select.poll()
    for fd in descriptors:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll()]


class _Numbers:
    """Numbers for what lives, from 0; those of what has died are used again."""

    def __init__(self) -> None:
        self.free: list[int] = []
        self._next = 0

    def take(self) -> "_Number":
        try:
            number = self.free.pop()
        except IndexError:
            number, self._next = self._next, self._next + 1
        return _Number(self.free, number)


class _Number:
    """Dies with what it numbers."""

    __slots__ = ("_free", "value")

    def __init__(self, free: list[int], value: int) -> None:
        self._free = free
        self.value = value

    def __del__(self) -> None:
        self._free.append(self.value)


class _Sent:
    """What the other process knows already: pieces by their place in the arena, snapshots by number.

    A place, or a number, that is used again is told anew; who knew it before needs it no more.
    """

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._numbers = _Numbers()

    def message(self, what: Any) -> tuple[bytes, list[Copy]]:
        """The message, and the copies that must stay until it is done with."""
        copies: list[Copy] = []
        new = [
            (self._mark(snapshot), [self._place(piece, copies) for piece in snapshot.pieces])
            for snapshot in getattr(what, "snapshots", ())
            if snapshot.mark is None
        ]
        head = pickle.dumps(new, pickle.HIGHEST_PROTOCOL) if new else b""
        return LENGTH.pack(len(head)) + head + pickle.dumps(what, pickle.HIGHEST_PROTOCOL), copies

    def _mark(self, snapshot: Snapshot) -> int:
        number = self._numbers.take()
        snapshot.mark = number
        return number.value

    def _place(self, piece: Piece, copies: list[Copy]) -> int | tuple[int, int, int]:
        """Where a piece's content lies; with its offset and length if the other process does not know it yet: then
        that is among ``copies``."""
        if piece.content is None:  # told before
            assert isinstance(piece.mark, Block)
            return piece.mark.offset
        content = piece.content
        block = content if isinstance(content, Block) else self._arena.put(bytes(content.view()))
        copies.append(block)
        piece.mark, piece.content = block, None
        return block.offset, piece.offset, block.length
