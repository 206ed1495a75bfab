# SPDX-License-Identifier: MIT
"""How does a program hold jobs' ends in its hand? By a sync file: a descriptor that can be polled, passed on, asked.

A sync file is the reading end of a pipe. Its inode number says which one it is in any process (eventfds all share one),
it polls readable once we have written a byte, and our end shows when nobody has it any more.
"""

import contextlib
import os
import select
from collections.abc import Sequence
from dataclasses import dataclass

from hornito.uapi.sync_file import PENDING, SIGNALLED
from hornito.virtual.etnaviv.caller import FileIdentity
from hornito.virtual.etnaviv.fences import Fence

_MOST_UNSWEPT = 64


@dataclass(eq=False)
class SyncFile:
    """One sync file: the fences behind it (none: it has signalled), its name, and our end of its pipe."""

    fences: tuple[Fence, ...]
    name: bytes
    end: int

    @property
    def status(self) -> int:
        """1 signalled, 0 pending, below zero -errno of the first job of several that was killed."""
        if any(fence.pending for fence in self.fences):
            return PENDING
        return next((fence.status for fence in self.fences if fence.status < 0), SIGNALLED)

    def show(self) -> None:
        """Let it poll readable once all have signalled; called for each that has."""
        if self.end >= 0 and self.status != PENDING:
            with contextlib.suppress(OSError):
                os.write(self.end, b"\1")

    def close(self) -> None:
        """Nobody has it any more."""
        for fence in self.fences:
            fence.forget(self.show)
        if self.end >= 0:
            os.close(self.end)
        self.end = -1


class SyncFiles:
    """All sync files of a device that somebody still has. The device's lock guards it."""

    def __init__(self) -> None:
        self._files: dict[FileIdentity, SyncFile] = {}
        self._sweep_at = _MOST_UNSWEPT

    def create(self, fences: Sequence[Fence], name: bytes) -> int:
        """A new close-on-exec descriptor that stands for all of ``fences``, ours to give away. Raises OSError."""
        if len(self._files) >= self._sweep_at:
            self.sweep()
            self._sweep_at = 2 * len(self._files) + _MOST_UNSWEPT
        fd, end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        file = SyncFile(tuple(fences), name, end)
        self._files[FileIdentity.of(fd)] = file
        for fence in fences:
            fence.when_signalled(file.show)
        if not fences:
            file.show()
        return fd

    def find(self, identity: FileIdentity) -> SyncFile | None:
        """The sync file of that identity."""
        return self._files.get(identity)

    def sweep(self) -> None:
        """Forget those whose every descriptor is closed."""
        poll = select.poll()
        ends = {file.end: identity for identity, file in self._files.items() if file.end >= 0}
        for end in ends:
            poll.register(end, 0)
        for end, events in poll.poll(0):
            if events & select.POLLERR:
                self._files.pop(ends[end]).close()

    def close(self) -> None:
        """Close our ends; from then on those that have not signalled poll as hung up, and none is forgotten."""
        for file in self._files.values():
            file.close()
