# SPDX-License-Identifier: MIT
"""How is a recording written? Appended record by record, contents hashed and packed, each once.

A recorder that is killed loses nothing of what was written; ``ProcessWriter`` writes for one that must not wait.
"""

import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from hornito.errors import BadInput
from hornito.trace.copies import Copies, OwnCopies
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

Build = Callable[["Keeper"], Event | tuple[Event, ...]]


class Keeper:
    """Keeps contents, each once. ``pack``: new ones are compressed."""

    def __init__(self, write: "Callable[[list[bytes | memoryview]], None]") -> None:
        self.pack = True
        self._write = write
        self._known: set[Digest] = set()

    def extents(self, content: bytes | bytearray | memoryview) -> tuple[Extent, ...]:
        """Keep a buffer's bytes; gives the extents that name them. Zeros at the end are left out."""
        return tuple(Extent(offset, len(piece), self._keep(piece)) for offset, piece in pieces(content))

    def whole(self, content: bytes | bytearray | memoryview) -> Digest:
        """Keep memory of at most CHUNK bytes as it is, and give its name; of longer memory the first CHUNK bytes."""
        return self._keep(memoryview(content)[:CHUNK])

    def _keep(self, piece: bytes | memoryview) -> Digest:
        name = digest(piece)
        if name not in self._known:
            self._write(content_frame(name, piece, self.pack))
            self._known.add(name)
        return name


class TraceWriter:
    """Writes one ``.trace`` file. Any thread may use it; what returns is written.

    Raises BadInput where the file can't be written, and with every call after that.
    """

    def __init__(self, path: str | Path, header: Header) -> None:
        self.copies: Copies = OwnCopies()
        self._path = path
        self._lock = threading.Lock()
        self._closed = False
        self._failure: BadInput | None = None
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise BadInput(f"{path}: can't be written ({error.strerror}); name a place that can") from error
        self.keeper = Keeper(self._write)
        try:
            self._write([MAGIC, header_frame(header)])
        except BadInput:
            os.close(self._file)
            raise

    def put(self, event: Event) -> None:
        """Write an event whose contents are kept already, or that has none."""
        self.defer(lambda keeper: event)

    def defer(self, build: Build) -> None:
        """Write an event, or several: ``build`` is given what keeps the contents that they hold."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._closed:
                raise BadInput(f"{self._path}: the recording is closed")
            try:
                self._write_one(build)
            except BadInput as error:
                self._failure = error
                raise
            except Exception as error:  # a fault in what made the event
                self._failure = BadInput(f"{self._path}: recording stopped ({type(error).__name__}: {error})")
                raise self._failure from error

    def keep_to(self, processors: set[int]) -> None:
        """Who calls does the work, wherever that is."""

    def close(self) -> None:
        """Write the end record. Raises BadInput if not all could be written."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                if self._failure is not None:
                    raise self._failure
                self._write([frame(Kind.END, b"")])
            finally:
                os.close(self._file)

    def abandon(self) -> None:
        """Leave the recording without an end: its recorder came to none."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_one(self, build: Build) -> None:
        made = build(self.keeper)
        self._write([_frame(event) for event in (made if isinstance(made, tuple) else (made,))])

    def _write(self, parts: list[bytes | memoryview]) -> None:
        """A whole record at a time: another process may read the file as it grows."""
        while parts:
            try:
                done = os.writev(self._file, parts)
            except OSError as error:
                raise BadInput(
                    f"{self._path}: can't be written ({error.strerror}); the recording ends there"
                ) from error
            while parts and done >= len(parts[0]):
                done -= len(parts.pop(0))
            if done:
                parts[0] = memoryview(parts[0])[done:]


def _frame(event: Event) -> bytes:
    try:
        return event_frame(event)
    except BadInput as error:  # too large: say so in its place
        number = f" {event.number}" if isinstance(event, Submit) else ""
        return event_frame(Message(0, f"{type(event).__name__}{number} is not recorded: {error}", "recorder"))


def save(recording: Recording, path: str | Path) -> None:
    """Write a recording, imported from another kind of file for instance, as a ``.trace``. Raises BadInput."""
    with TraceWriter(path, recording.header) as writer:
        for event in recording.events():
            writer.defer(functools.partial(_with_contents, event, recording))


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
