# SPDX-License-Identifier: MIT
"""How is the machine's own node given to a tree of processes so that all that goes through it is seen?

The programs open it themselves; each call that they make on it is made by us, on the same open file description.
"""

import contextlib
import logging
import os
import select
import time
from collections.abc import Callable, Iterable

from hornito.supervisor.descriptors import copy_descriptor, same_description
from hornito.supervisor.relay import calls, submit, waits
from hornito.supervisor.relay.calls import Call, Way
from hornito.supervisor.relay.exchange import Exchange
from hornito.supervisor.relay.files import Recognition, RelayedFile
from hornito.supervisor.relay.jobs import Jobs, RelayWatcher
from hornito.supervisor.relay.shared import SHARED_CALLS, SharedCall
from hornito.supervisor.relay.slow import SlowWaits
from hornito.supervisor.served import PassOn, ServedCaller
from hornito.supervisor.warden import is_watched
from hornito.uapi import etnaviv
from hornito.uapi.kernel import Kernel
from hornito.virtual.etnaviv.caller import FileIdentity
from hornito.virtual.etnaviv.user_memory import UserMemory

_log = logging.getLogger(__name__)
_SWEEP = 2.0  # seconds between two looks whether open files have been closed, while there are calls


class RelayedDevice:
    """A ``Served`` device: the node that ``which`` recognises, by way of ``kernel``; ``watcher`` looks at memory.

    Its open files are kept until nobody in the ``tree`` (its processes) has them any more, or ``close``; ``opened`` is
    how many there have been.
    """

    def __init__(self, kernel: Kernel, which: Recognition, tree: "Callable[[], Iterable[int]] | None" = None) -> None:
        self._kernel = kernel
        self._which = which
        self._tree = tree or _watched
        self._jobs: Jobs | None = None
        self._slow = SlowWaits()
        self._submits = submit.Submits()
        self._ways: dict[int, Way] = {ioctl.nr: way for ioctl, way in (*calls.WAYS, *waits.WAYS)}
        self._ways[etnaviv.GEM_SUBMIT.nr] = self._submits.submit
        self.opened = 0
        self._files: list[RelayedFile] = []  # the one used last is the first
        self._closed_to_us: set[int] = set()  # who does not let us look
        self._threads: set[int] = set()  # who has called
        self._processes: dict[int, int] = {}  # and of which process: a pidfd of each
        self._ends = select.epoll()  # polls readable when one of them has ended, or it is time for a sweep
        self._due = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._ends.register(self._due, select.EPOLLIN)
        self._next_sweep = 0.0

    def watch(self, watcher: RelayWatcher) -> None:
        """Tell ``watcher`` of jobs. Before the first call."""
        self._jobs = Jobs(self._kernel, watcher)

    @property
    def jobs(self) -> Jobs:
        assert self._jobs is not None
        return self._jobs

    # Open files.

    @property
    def wake_fd(self) -> int:
        return self._ends.fileno()

    def open(self) -> RelayedFile:
        raise PassOn

    def find(self, pid: int, fd: int) -> RelayedFile | None:
        """The open file that a descriptor of a process (or thread) shows; None: it is no node of ours."""
        for place, file in enumerate(self._files):
            if _shows(file, pid, fd):
                if place:
                    self._files.insert(0, self._files.pop(place))
                file.holder = pid, fd
                return file
        try:
            if not self._which.is_node(f"/proc/{pid}/fd/{fd}"):
                return None
            ours = copy_descriptor(UserMemory(pid).process, fd)
        except PermissionError:
            if pid not in self._closed_to_us:
                self._closed_to_us.add(pid)
                _log.warning("process %d does not let us look into it: what it does is not recorded", pid)
            return None
        except OSError:
            return None
        self.opened += 1
        self._files.insert(0, RelayedFile(self._kernel, self.opened, ours, (pid, fd)))
        self._want_sweep()
        return self._files[0]

    def find_other(self, caller: ServedCaller, fd: int) -> FileIdentity | None:
        """The sync file or dma-buf that the caller's ``fd`` shows, if it does."""
        try:
            return caller.identify(fd) if self._which.is_shared(f"/proc/{caller.pid}/fd/{fd}") else None
        except OSError:
            return None

    def sweep(self) -> list[RelayedFile]:
        """Let go of open files that nobody has any more; those files."""
        self._next_sweep = time.monotonic() + _SWEEP
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._due)
        self._bury()
        left = [file for file in self._files if not _shows(file, *file.holder)]
        for pid in self._tree() if left else ():
            left = [file for file in left if not self._finds(file, pid)]
        for file in left:
            self._files.remove(file)
            self.jobs.release(file)
        return left

    def close(self) -> None:
        """Wait a while for jobs that run, and let go of everything."""
        self._slow.close()
        for file in self._files:
            self.jobs.release(file)
        self._files.clear()
        self.jobs.close()
        for pidfd in self._processes.values():
            os.close(pidfd)
        os.close(self._due)
        self._ends.close()

    def _finds(self, file: RelayedFile, pid: int) -> bool:
        """Whether that process has a descriptor of the file; it is remembered."""
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if self._which.is_node(f"/proc/{pid}/fd/{name}") and _shows(file, pid, int(name)):
                        file.holder = pid, int(name)
                        return True
        return False

    def _note(self, caller: ServedCaller) -> None:
        """A thread makes a call: the end of its process is a reason to sweep."""
        if caller.pid not in self._threads:
            self._threads.add(caller.pid)
            with contextlib.suppress(OSError):
                process = caller.process
                if process not in self._processes:
                    pidfd = os.pidfd_open(process)
                    self._processes[process] = pidfd
                    self._ends.register(pidfd, select.EPOLLIN)
        self._slow.forget(caller.pid, caller.ticket)
        self._submits.forget(caller.pid, caller.ticket)
        if time.monotonic() > self._next_sweep:
            self._want_sweep()

    def _bury(self) -> None:
        """Forget processes that have ended, and what their threads waited for."""
        for fd, _ in self._ends.poll(0):
            process = next((process for process, pidfd in self._processes.items() if pidfd == fd), None)
            if process is not None:
                self._ends.unregister(fd)
                os.close(self._processes.pop(process))
        for thread in [thread for thread in self._threads if not os.path.exists(f"/proc/{thread}")]:
            self._threads.discard(thread)
            self._slow.forget(thread)
            self._submits.forget(thread)

    def _want_sweep(self) -> None:
        self._next_sweep = time.monotonic() + _SWEEP
        os.eventfd_write(self._due, 1)

    # Calls.

    def call(self, file: RelayedFile, request: int, arg: int, caller: ServedCaller) -> None:
        """One ioctl on the node. Raises what it gives; PassOn for what nobody here knows how to make; Pending."""
        self._note(caller)
        file.returned(caller.pid)
        way = self._ways.get(request & 0xFF)
        if way is None:
            raise PassOn
        exchange = Exchange(self._kernel, file.fd, caller, request, arg)
        way(Call(exchange, file, arg, self._kernel, self.jobs, self._slow))

    def sync_call(self, identity: FileIdentity, request: int, arg: int, caller: ServedCaller) -> None:
        """One ioctl on a sync file or a dma-buf, of any device's. Raises as ``call``."""
        self._note(caller)
        way = SHARED_CALLS.get(request)
        if way is None:
            raise PassOn
        fd = caller.fetch(caller.descriptor)
        try:
            way(SharedCall(Exchange(self._kernel, fd, caller, request, arg), self._slow))
        finally:
            os.close(fd)

    def tell(self, logged: Callable[[str], None] | None, dumped: Callable[[bytes], None] | None) -> None:
        """Call ``logged`` with the lines that the kernel logs about jobs; core dumps are the machine's own."""
        self.jobs.logged = logged

    @property
    def unfinished(self) -> bool:
        """Nothing is left to do when nobody calls."""
        return False

    def rest(self) -> None:
        """Nobody has called for some time."""

    def rearm(self) -> None:
        """Core dumps are the machine's own."""


def _shows(file: RelayedFile, pid: int, fd: int) -> bool:
    with contextlib.suppress(OSError):
        return same_description(file.fd, pid, fd)
    return False


def _watched() -> Iterable[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit() and is_watched(int(name)))
