# SPDX-License-Identifier: MIT
"""How is what took long to make kept for the next start? A folder of entries, each named by what it was made from.

Entries appear whole or not at all and never change, so any number of processes may read and write at once, without
locks. One that is damaged is found by its checksum, taken for missing and removed. Those not used for longest go first
when the folder has more than its limit. docs/cache.md says what is kept where.
"""

import contextlib
import errno
import os
import re
import stat
import struct
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

from hornito.errors import BadInput
from hornito.files.trust import make_folder, may_trust
from hornito.files.writing import atomic_writer

LIMIT_VARIABLE = "HORNITO_CACHE_LIMIT"
DEFAULT_LIMIT = 512 << 20  # bytes
MOST_ENTRIES = 1000  # so that a folder is looked through in milliseconds
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_FORGOTTEN = 3600  # seconds after which a draft's writer is taken to be gone
_HEADER = struct.Struct("<8sQI")  # magic, length and CRC-32 of what follows
_MAGIC = b"hornito\x01"


def cache_limit() -> int:
    """$HORNITO_CACHE_LIMIT in bytes, or the default; 0: nothing is kept. Raises BadInput."""
    text = os.environ.get(LIMIT_VARIABLE, "")
    if not text:
        return DEFAULT_LIMIT
    found = re.fullmatch(r"([0-9]{1,15})\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE | re.ASCII)
    if found is None:
        raise BadInput(f"{LIMIT_VARIABLE}={text!r} is no size; give bytes, or for example 512M, or 0 to keep nothing")
    return int(found[1]) * _UNITS[found[2].upper()]


class Store:
    """The entries of one folder, ``limit`` bytes at most. A key is a name without slashes.

    ``private``: entries are written for this user alone; one that another could have written is removed.
    """

    def __init__(self, folder: Path, limit: int, *, private: bool = False) -> None:
        self._folder = folder
        self._limit = limit
        self._private = private

    def get(self, key: str) -> memoryview | None:
        """What was put under ``key``, or None where nothing sound is there. It counts as used now."""
        if not self._limit:
            return None
        content = self._read(key)
        if content is None:
            return None
        if len(content) < _HEADER.size:
            self.drop(key)
            return None
        magic, length, checksum = _HEADER.unpack_from(content)
        body = content[_HEADER.size :]
        if magic != _MAGIC or length != len(body) or checksum != zlib.crc32(body):
            self.drop(key)
            return None
        with contextlib.suppress(OSError):  # a folder that is read only keeps no order
            os.utime(self._folder / key)
        return body

    def _read(self, key: str) -> memoryview | None:
        try:
            handle = os.open(self._folder / key, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                status = os.fstat(handle)
                # Of a pipe nobody knows when it ends.
                if stat.S_ISREG(status.st_mode) and (not self._private or may_trust(status, os.geteuid())):
                    with open(handle, "rb", closefd=False) as stream:
                        return memoryview(stream.read())
            finally:
                os.close(handle)
        except OSError as error:
            if error.errno != errno.ELOOP:  # a symbolic link, which Hornito never puts there
                return None
        self.drop(key)
        return None

    def put(self, key: str, parts: Sequence[bytes | memoryview]) -> None:
        """Keep ``parts``, one behind the other; nothing where they alone are more than the limit.

        Raises BadInput where the folder can't be written.
        """
        length, checksum = 0, 0
        for part in parts:
            length += len(part)
            checksum = zlib.crc32(part, checksum)
        if length + _HEADER.size > self._limit:
            return
        try:
            make_folder(self._folder, 0o700 if self._private else 0o755)
        except OSError as error:
            raise BadInput(f"{self._folder}: can't be made ({error.strerror}); name a place that can") from error
        if (place := self._folder / key).exists() and not place.is_file():
            self.drop(key)
            if place.exists():
                raise BadInput(f"{place}: is a folder or a device in an entry's place; remove it")
        mode = 0o600 if self._private else 0o666
        with atomic_writer(place, durable=False, mode=mode) as stream:
            stream.write(_HEADER.pack(_MAGIC, length, checksum))
            stream.writelines(parts)
        self._shrink()

    def drop(self, key: str) -> None:
        """Remove an entry that is of no use."""
        with contextlib.suppress(OSError):
            (self._folder / key).unlink()

    def _shrink(self) -> None:
        """Remove what was not used for longest until the limits are kept, and drafts that nobody finishes."""
        found: list[tuple[int, int, str]] = []
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # others remove entries too
                    status = entry.stat(follow_symlinks=False)
                    if not entry.name.startswith("."):
                        found.append((status.st_mtime_ns, status.st_size, entry.name))
                    elif status.st_mtime < time.time() - _FORGOTTEN:
                        self.drop(entry.name)
        found.sort()
        total = sum(size for _, size, _ in found)
        count = len(found)
        for _, size, name in found:
            if total <= self._limit and count <= MOST_ENTRIES:
                break
            self.drop(name)
            total, count = total - size, count - 1
