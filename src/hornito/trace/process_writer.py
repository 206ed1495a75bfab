# SPDX-License-Identifier: MIT
"""How is a recording hashed, packed and written without slowing those who answer calls? In a process of its own.

A thread here hands events over as they come; all that costs time happens there, at a low priority. If this process is
killed, that one writes what it was given.
"""

import io
import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import threading
import weakref
from collections import deque
from typing import Any

from hornito.errors import BadInput
from hornito.trace.records import Header
from hornito.trace.snapshots import Piece, Snapshot
from hornito.trace.writer import WAITING, Build, TraceWriter

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from hornito.trace.process_writer import main; main(int(sys.argv[1]))"
)
_FRAME = struct.Struct("=QI")  # bytes of the message, and how many contents follow it
_LENGTH = struct.Struct("=I")
_NICE = 10
_SMALL = 1 << 20  # bytes that an event may hold, so that few wait in the other process
_MOST_PARTS = 500  # of one system call


class ProcessWriter:
    """What ``Recorder`` writes to; ``defer`` takes what can be pickled.

    Raises BadInput if the file can't be written: at once, or with the next call after it happened.
    """

    def __init__(self, path: str, header: Header, waiting: int = WAITING) -> None:
        self._limit = waiting
        self._queue: deque[tuple[Build | None, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._failure: BadInput | None = None
        self._path = path
        self._peer, theirs = socket.socketpair()
        program = [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path), str(theirs.fileno())]
        self._popen = subprocess.Popen(
            program,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self._sent = _Sent()
        try:
            self._send((path, header))
            self._check_answer()
        except BaseException:
            self._end()
            raise
        self._thread = threading.Thread(target=self._work, name="trace sender", daemon=True)
        self._thread.start()

    def defer(self, build: Build, size: int) -> None:
        """Let an event be made and written there; ``size``: bytes of contents that it holds."""
        with self._changed:
            self._check()
            self._changed.wait_for(
                lambda: self._bytes == 0 or self._bytes + size <= self._limit or self._failure is not None
            )
            self._check()
            self._queue.append((build, size))
            self._bytes += size
            self._changed.notify_all()

    def close(self) -> None:
        """Wait until all is written. Raises BadInput if it could not be."""
        with self._changed:
            self._queue.append((None, 0))
            self._changed.notify_all()
        self._thread.join()
        try:
            self._check()
            self._check_answer()
        finally:
            self._end()

    def _end(self) -> None:
        self._peer.close()
        self._popen.wait()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _check_answer(self) -> None:
        """Raises BadInput with what the other process says is wrong."""
        text = b""
        while not text.endswith(b"\n"):
            piece = self._peer.recv(4096)
            if not piece:
                break
            text += piece
        if text != b"\n":
            raise BadInput(text.decode().strip() or f"{self._path}: the process that wrote the recording has died")

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue))
                build, size = self._queue.popleft()
            if self._failure is None:
                try:
                    self._send(build)
                except OSError:
                    self._fail()
            with self._changed:
                self._bytes -= size
                self._changed.notify_all()
            if build is None:
                return

    def _fail(self) -> None:
        try:
            self._check_answer()
        except BadInput as error:
            self._failure = error
        except OSError:
            self._failure = BadInput(f"{self._path}: the process that wrote the recording has died")

    def _send(self, what: Any) -> None:
        message, contents = self._sent.message(what)
        parts: list[bytes | memoryview] = [_FRAME.pack(len(message), len(contents)), message]
        for content in contents:
            parts += [_LENGTH.pack(len(content)), content]
        while parts:
            done = self._peer.sendmsg(parts[:_MOST_PARTS])
            while parts and done >= len(parts[0]):
                done -= len(parts.pop(0))
            if done:
                parts[0] = memoryview(parts[0])[done:]


class _Sent:
    """What the other process knows already: pieces and snapshots by number."""

    def __init__(self) -> None:
        self._numbers: weakref.WeakKeyDictionary[Piece | Snapshot, int] = weakref.WeakKeyDictionary()
        self._next = 0
        self._gone: list[int] = []

    def message(self, what: Any) -> tuple[bytes, list[bytes]]:
        """The message, and contents that go with it."""
        contents: list[bytes] = []
        found: list[tuple[int, Any]] = []

        class Pickler(pickle.Pickler):
            def persistent_id(_, value: Any) -> int | None:
                if not isinstance(value, Piece | Snapshot):
                    return None
                number = self._numbers.get(value)
                if number is not None:
                    return number
                if isinstance(value, Piece):
                    contents.append(value.content)
                    made: Any = value.offset
                else:
                    made = [self.number_of(piece, contents, found) for piece in value.pieces]
                return self._add(value, made, found)

        gone, self._gone = self._gone, []
        buffer = io.BytesIO()
        Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(what)
        return pickle.dumps((gone, found, buffer.getvalue()), pickle.HIGHEST_PROTOCOL), contents

    def number_of(self, piece: Piece, contents: list[bytes], found: list[tuple[int, Any]]) -> int:
        """A piece's number; it is added to what is sent if it is new."""
        number = self._numbers.get(piece)
        if number is None:
            contents.append(piece.content)
            number = self._add(piece, piece.offset, found)
        return number

    def _add(self, value: Piece | Snapshot, made: Any, found: list[tuple[int, Any]]) -> int:
        number, self._next = self._next, self._next + 1
        self._numbers[value] = number
        weakref.finalize(value, self._gone_append, number)
        found.append((number, made))
        return number

    def _gone_append(self, number: int) -> None:
        self._gone.append(number)


class _Received:
    """The other end of ``_Sent``."""

    def __init__(self) -> None:
        self._known: dict[int, Piece | Snapshot] = {}

    def value(self, message: bytes, contents: list[bytes]) -> Any:
        gone, found, inner = pickle.loads(message)
        ahead = iter(contents)
        for number, made in found:
            if isinstance(made, int):
                self._known[number] = Piece(made, next(ahead))
            else:
                self._known[number] = Snapshot([self._piece(piece) for piece in made], 0)
        unpickler = _Unpickler(io.BytesIO(inner), self._known)
        value = unpickler.load()
        for number in gone:
            self._known.pop(number, None)
        return value

    def _piece(self, number: int) -> Piece:
        piece = self._known[number]
        assert isinstance(piece, Piece)
        return piece


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, known: dict[int, Piece | Snapshot]) -> None:
        super().__init__(file)
        self._known = known

    def persistent_load(self, number: Any) -> Any:
        return self._known[number]


def main(fd: int) -> None:
    """The other process: writes what comes until it is told to end, or nobody is left who could."""
    os.nice(_NICE)
    with socket.socket(fileno=fd) as peer, peer.makefile("rb", buffering=1 << 20) as source:
        received = _Received()
        writer = None
        try:
            path, header = _next(source, received)
            writer = TraceWriter(path, header)
            peer.sendall(b"\n")
            while (build := _next(source, received)) is not None:
                writer.defer(build, _SMALL)
            writer.close()
            peer.sendall(b"\n")
        except EOFError:
            if writer is not None:
                writer.flush()
        except BadInput as error:
            peer.sendall(f"{error}\n".encode())


def _next(source: Any, received: _Received) -> Any:
    """The next message's value. Raises EOFError."""
    length, count = _FRAME.unpack(_exactly(source, _FRAME.size))
    message = _exactly(source, length)
    contents = [_exactly(source, _LENGTH.unpack(_exactly(source, _LENGTH.size))[0]) for _ in range(count)]
    return received.value(message, contents)


def _exactly(source: Any, length: int) -> bytes:
    content: bytes = source.read(length)
    if len(content) < length:
        raise EOFError
    return content
