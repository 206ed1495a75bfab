# SPDX-License-Identifier: MIT
"""What has the kernel logged since we last asked? Source: Linux, Documentation/ABI/testing/dev-kmsg."""

import contextlib
import errno
import os
import weakref
from pathlib import Path

KMSG = Path("/dev/kmsg")
_RECORD = 8192  # bytes; a record that is longer is refused by the kernel, and none is
_MOST = 10_000  # records that are read at one time


class KernelLog:
    """Follows the kernel's log from now on; it is silent where it can't be read, as for most users by default."""

    def __init__(self, path: Path = KMSG) -> None:
        self._fd = -1
        with contextlib.suppress(OSError):
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            weakref.finalize(self, os.close, self._fd)
            os.lseek(self._fd, 0, os.SEEK_END)

    @property
    def readable(self) -> bool:
        """May we read it?"""
        return self._fd >= 0

    def lines(self) -> list[str]:
        """The texts of all records since the last call; each is one line, without its time and priority."""
        found: list[str] = []
        for _ in range(_MOST if self.readable else 0):
            try:
                record = os.read(self._fd, _RECORD)
            except OSError as error:
                if error.errno == errno.EPIPE:  # records were overwritten before they were read; go on with the next
                    continue
                break  # EAGAIN: no more
            if not record:
                break
            found.append(record_text(record))
        return found


def record_text(record: bytes) -> str:
    """The text of a record: ``6,1234,5678,-;text``, with lines of properties behind it that begin with a space."""
    line = record.decode("utf-8", "replace").partition("\n")[0]
    head, mark, text = line.partition(";")
    return text if mark else head
