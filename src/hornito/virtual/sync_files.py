# SPDX-License-Identifier: MIT
"""How does a program hold a job's end in its hand? By a sync file: a descriptor that can be polled, passed on, asked.

A sync file is the reading end of a pipe. Its inode number says which one it is in any process (eventfds all share one),
it polls readable once we have written a byte, and our end shows when nobody has it any more.
"""

import contextlib
import os
import select
from dataclasses import dataclass

from hornito.virtual.caller import FileIdentity
from hornito.virtual.fences import Fence

_MOST_UNSWEPT = 64


@dataclass(eq=False)
class SyncFile:
    """One sync file: the fence behind it, and our end of its pipe."""

    fence: Fence
    end: int

    @property
    def status(self) -> int:
        """1 signalled, 0 pending, below zero -errno."""
        return self.fence.status

    def show(self) -> None:
        """Let it poll readable."""
        if self.end >= 0:
            with contextlib.suppress(OSError):
                os.write(self.end, b"\1")

    def close(self) -> None:
        """Nobody has it any more."""
        self.fence.forget(self.show)
        if self.end >= 0:
            os.close(self.end)
        self.end = -1


class SyncFiles:
    """All sync files of a device that somebody still has. The device's lock guards it."""

    def __init__(self) -> None:
        self._files: dict[FileIdentity, SyncFile] = {}
        self._sweep_at = _MOST_UNSWEPT

    def create(self, fence: Fence) -> int:
        """A new close-on-exec descriptor of that fence, ours to give away. Raises OSError."""
        if len(self._files) >= self._sweep_at:
            self.sweep()
            self._sweep_at = 2 * len(self._files) + _MOST_UNSWEPT
        fd, end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        file = SyncFile(fence, end)
        self._files[FileIdentity.of(fd)] = file
        fence.when_signalled(file.show)
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
