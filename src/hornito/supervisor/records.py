# SPDX-License-Identifier: MIT
"""Where does what the virtual kernel tells go? Its log to a file, line by line as it comes; core dumps to a folder."""

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hornito.errors import BadInput, HornitoError
from hornito.files import write_atomically

if TYPE_CHECKING:
    from hornito.supervisor.served import Served

_log = logging.getLogger(__name__)
_MOST_DUMPS = 100  # each may be as large as all buffers of a client


class Records:
    """``log_path``: a file to append to; ``folder``: for core dumps, made if need be. None: not wanted.

    Raises BadInput for places that can't be written. A place that can't be written any more, a full disk say, is told
    of in one line, and gets nothing from then on: no job depends on it. To be closed, as a context manager.
    """

    def __init__(self, log_path: str | None, folder: str | None) -> None:
        self._log_path = log_path
        self._log = -1
        self._folder = None if folder is None else Path(folder)
        self._dumps = 0
        try:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
            if log_path is not None:
                self._log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise BadInput(f"{error.filename}: can't be written ({error.strerror}); name a place that can") from error

    def __enter__(self) -> "Records":
        return self

    def __exit__(self, *_: object) -> None:
        self._close_log()

    def follow(self, device: "Served[Any]") -> None:
        """Keep what ``device`` tells from now on."""

        def dumped(content: bytes) -> None:
            if self._keep(content):
                device.rearm()

        device.tell(self._note, None if self._folder is None else dumped)

    def _note(self, line: str) -> None:
        """With a time stamp, as dmesg shows it: seconds of CLOCK_MONOTONIC."""
        if self._log < 0:
            return
        try:
            os.write(self._log, f"[{time.monotonic():12.6f}] {line}\n".encode())
        except OSError as error:
            _log.error("%s: can't be written (%s); the kernel's log ends here", self._log_path, error.strerror)
            self._close_log()

    def _keep(self, content: bytes) -> bool:
        """Write a dump; whether there may be another."""
        if self._folder is None:
            return False
        self._dumps += 1
        try:
            write_atomically(self._folder / f"devcoredump-{os.getpid()}-{self._dumps}.bin", content)
        except (HornitoError, OSError) as error:
            _log.error("%s; no more core dumps are kept", error)
            return False
        return self._dumps < _MOST_DUMPS

    def _close_log(self) -> None:
        if self._log >= 0:
            os.close(self._log)
        self._log = -1
