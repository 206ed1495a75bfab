# SPDX-License-Identifier: MIT
"""What does a ``.trace`` file hold? Events one by one, contents when asked for; a damaged file up to the damage."""

import os
import struct
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hornito.errors import BadInput
from hornito.trace.frames import (
    CHECKSUM,
    FRAME,
    MAGIC,
    Kind,
    check_head,
    read_event,
    read_header,
    split_content,
    unpack,
)
from hornito.trace.records import Digest, Event, Header, Recording, digest


def is_trace(start: bytes) -> bool:
    """Do these first bytes begin a ``.trace`` file, or one that was cut within them?"""
    return bool(start) and MAGIC.startswith(start[: len(MAGIC)])


def open_trace(path: str | Path) -> Recording:
    """Open a recording. Raises BadInput for a file that is none, or was cut before its header ended.

    A file that is cut or damaged further on opens; ``Recording.problem`` tells after a walk of its events.
    """
    file = _TraceFile(path)
    return Recording(str(path), file.header, file.events, file)


class _TraceFile:
    """The file, and where the contents met so far lie in it."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._places: dict[Digest, int] = {}
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise BadInput(f"{path}: can't be read ({error.strerror})") from error
        weakref.finalize(self, os.close, self._file)  # contents are read for as long as the recording lives
        with open(self._file, "rb", closefd=False) as file:
            try:
                self.header = self._header(file)
            except EOFError:
                raise BadInput(f"{path}: was cut before its header ended; nothing in it can be read") from None
            except BadInput as error:
                raise BadInput(f"{path}: {error}") from None
            self._first = file.tell()

    def _header(self, file: BinaryIO) -> Header:
        start = file.read(len(MAGIC))
        if not is_trace(start):
            raise BadInput("is no recording; make one with 'hornito trace record'")
        if len(start) < len(MAGIC):
            raise EOFError
        kind, payload = self._frame(file)
        if kind != Kind.HEADER:
            raise BadInput("the first record is no header")
        return read_header(payload)

    def events(self, recording: Recording) -> Iterator[Event]:
        """The events up to the file's end, or to where it is cut or damaged; says in ``recording.problem`` which."""
        recording.problem = ""
        with open(self._path, "rb") as file:
            file.seek(self._first)
            while True:
                place = file.tell()
                try:
                    kind, payload = self._frame(file)
                    if kind == Kind.END:
                        return
                    if kind == Kind.CONTENT:
                        self._places.setdefault(split_content(payload)[0], place)
                        continue
                    event = read_event(kind, payload)
                except EOFError:
                    recording.problem = self._ending(place)
                    return
                except BadInput as error:
                    recording.problem = f"damaged at byte {place}: {error}; what follows is not read"
                    return
                if event is not None:
                    yield event

    def content(self, name: Digest) -> bytes:
        place = self._places.get(name)
        if place is None:
            raise BadInput(f"{self._path}: the content {name.hex()} is not in the recording")
        head = os.pread(self._file, FRAME.size, place)
        try:
            stored = check_head(head)
            rest = os.pread(self._file, stored + CHECKSUM.size, place + FRAME.size)
            found, content = split_content(unpack(head, rest[:stored], rest[stored:])[1])
        except (BadInput, struct.error):
            raise BadInput(f"{self._path}: the file was changed while it was read") from None
        if found != name or digest(content) != name:
            raise BadInput(f"{self._path}: the content {name.hex()} is damaged")
        return content

    def _ending(self, place: int) -> str:
        size = os.stat(self._path).st_size
        if size == place:
            return "it has no end: its recorder was stopped, or still runs"
        return f"cut {size - place} bytes into the record at byte {place}"

    @staticmethod
    def _frame(file: BinaryIO) -> tuple[int, bytes]:
        """The next frame. Raises EOFError for one that the file's end cuts off, BadInput for a damaged one."""
        head = file.read(FRAME.size)
        if len(head) < FRAME.size:
            raise EOFError
        stored = check_head(head)
        rest = file.read(stored + CHECKSUM.size)
        if len(rest) < stored + CHECKSUM.size:
            raise EOFError
        return unpack(head, rest[:stored], rest[stored:])
