# SPDX-License-Identifier: MIT
"""How is a recording written while a program runs? Appended record by record, hashed and packed in a thread of its own.

Whoever records hands over copies of memory and goes on; a program that dies, or a recorder that is killed, loses what
was not yet written, and nothing of what was.
"""

import functools
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from hornito.errors import BadInput
from hornito.trace.frames import MAGIC, Kind, content_frame, event_frame, frame, header_frame
from hornito.trace.records import (
    CHUNK,
    Call,
    Digest,
    Done,
    Event,
    Extent,
    Header,
    Message,
    Recording,
    Submit,
    digest,
    pieces,
)

WAITING = 256 << 20  # bytes of contents that may wait for the thread; beyond it, whoever hands over more waits

Keep = Callable[[bytes | bytearray | memoryview], tuple[Extent, ...]]
Build = Callable[["Keeper"], Event]


class Keeper:
    """Keeps contents, each once. Used on the writer's thread alone."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._known: set[Digest] = set()

    def extents(self, content: bytes | bytearray | memoryview) -> tuple[Extent, ...]:
        """Keep a buffer's bytes; gives the extents that name them. Zeros at the end are left out."""
        return tuple(Extent(offset, len(piece), self._keep(piece)) for offset, piece in pieces(content))

    def whole(self, content: bytes | bytearray | memoryview) -> Digest:
        """Keep memory of at most CHUNK bytes as it is, and give its name; of longer memory the first CHUNK bytes."""
        return self._keep(bytes(memoryview(content)[:CHUNK]))

    def _keep(self, piece: bytes) -> Digest:
        name = digest(piece)
        if name not in self._known:
            self._write(content_frame(name, piece))
            self._known.add(name)
        return name


class TraceWriter:
    """Writes one ``.trace`` file. ``put`` and ``defer`` may be called from any thread; their order is the file's.

    Raises BadInput where the file can't be written: at once, or with the next call after it happened.
    """

    def __init__(self, path: str | Path, header: Header, waiting: int = WAITING) -> None:
        self._path = path
        self._limit = waiting
        self._queue: deque[tuple[Event | Build | None, int]] = deque()
        self._bytes = 0  # that wait
        self._changed = threading.Condition()
        self._closed = False
        self._busy = False
        self._failure: BadInput | None = None
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise BadInput(f"{path}: can't be written ({error.strerror}); name a place that can") from error
        self._keeper = Keeper(self._write)
        try:
            self._write(MAGIC + header_frame(header))
        except BadInput:
            os.close(self._file)
            raise
        self._thread = threading.Thread(target=self._work, name="trace writer", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Write an event whose contents are kept already, or that has none."""
        self._hand_over(event, 0)

    def defer(self, build: Build, size: int) -> None:
        """Have an event made on the writer's thread: ``build`` is given what keeps the contents that it holds, ``size``
        bytes together. They must not change any more."""
        self._hand_over(build, size)

    def flush(self) -> None:
        """Wait until everything handed over so far is in the file."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._queue or self._busy) or self._failure is not None)
            self._check()

    def close(self) -> None:
        """Write what waits, and the end record. Raises BadInput if any of it could not be written."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._queue.append((None, 0))
            self._changed.notify_all()
        self._thread.join()
        os.close(self._file)
        self._check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _hand_over(self, what: Event | Build, size: int) -> None:
        with self._changed:
            self._check()
            if self._closed:
                raise BadInput(f"{self._path}: the recording is closed")
            # One that alone is above the limit goes in when nothing else waits.
            self._changed.wait_for(
                lambda: self._bytes == 0 or self._bytes + size <= self._limit or self._failure is not None
            )
            self._check()
            self._queue.append((what, size))
            self._bytes += size
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue))
                what, size = self._queue.popleft()
                self._busy = True
            try:
                if self._failure is None:
                    self._write_one(what)
            except BadInput as error:
                self._failure = error
            except Exception as error:  # a fault in what made the event must not leave whoever waits waiting
                self._failure = BadInput(f"{self._path}: recording stopped ({type(error).__name__}: {error})")
            with self._changed:
                self._bytes -= size
                self._busy = False
                self._changed.notify_all()
            if what is None:
                return

    def _write_one(self, what: Event | Build | None) -> None:
        if what is None:
            self._write(frame(Kind.END, b""))
            return
        event = what(self._keeper) if callable(what) else what
        try:
            record = event_frame(event)
        except BadInput as error:  # too large: say so in its place
            number = f" {event.number}" if isinstance(event, Submit) else ""
            record = event_frame(Message(0, f"{type(event).__name__}{number} is not recorded: {error}", "recorder"))
        self._write(record)

    def _write(self, content: bytes) -> None:
        """Whole records at a time: another process may read the file as it grows."""
        view = memoryview(content)
        while view:
            try:
                view = view[os.write(self._file, view) :]
            except OSError as error:
                raise BadInput(
                    f"{self._path}: can't be written ({error.strerror}); the recording ends there"
                ) from error


def save(recording: Recording, path: str | Path) -> None:
    """Write a recording, imported from another kind of file for instance, as a ``.trace``. Raises BadInput."""
    with TraceWriter(path, recording.header) as writer:
        for event in recording.events():
            writer.defer(functools.partial(_with_contents, event, recording), 0)
            writer.flush()  # contents are read by the thread, and the recording is not made for two


def _with_contents(event: Event, recording: Recording, keeper: Keeper) -> Event:
    """The event, after all contents that it names were kept."""
    extents: list[Extent] = []
    if isinstance(event, Submit):
        extents = [*event.stream, *(extent for buffer in event.buffers for extent in buffer.before)]
    elif isinstance(event, Done):
        extents = [extent for written in event.written for extent in written.after]
    for extent in extents:
        keeper.whole(recording.content(extent.digest))
    if isinstance(event, Call):
        for name in event.more:
            keeper.whole(recording.more(event, name))
    return event
