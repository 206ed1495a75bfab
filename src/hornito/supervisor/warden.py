# SPDX-License-Identifier: MIT
"""Who ends a tree of processes whose supervisor died? A process between the two that does nothing else.

Every orphan of the tree becomes the warden's child, so it can tell when all have gone, and kill them to the last one.
It reports the program's beginning and its end. Should the warden be killed, the program dies with it, and the rest
becomes the supervisor's.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from hornito.uapi.prctl import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG

_ORPHANED = signal.SIGUSR1  # tells the warden that its supervisor has died
_KILL_ALL = signal.SIGUSR2  # and this that its supervisor wants it
_PAUSE = 0.01  # seconds between two looks at processes that are dying
_REPORT = struct.Struct("=Bi")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Report:
    """What a warden tells: the program's process id as it starts; its wait status as it ends."""

    ended: bool
    value: int

    SIZE = _REPORT.size

    def pack(self) -> bytes:
        return _REPORT.pack(self.ended, self.value)

    @classmethod
    def unpack(cls, content: bytes) -> "Report":
        ended, value = _REPORT.unpack(content)
        return cls(bool(ended), value)


def adopt_orphans() -> None:
    """From now on whoever loses its parents among our descendants becomes our child."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_all(warden: int) -> None:
    """Let that warden kill its whole tree."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(warden, _KILL_ALL)


def watch(line: socket.socket, supervisor: int, folder: str | None, become: Callable[[], NoReturn]) -> NoReturn:
    """The warden's life. ``become`` is its child's; ``folder``, if any, is removed if the supervisor dies."""
    waited = {signal.SIGCHLD, _ORPHANED, _KILL_ALL}
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # were it ignored, the dead would leave no status
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.valid_signals()) - {signal.SIGTSTP, signal.SIGCONT})
    adopt_orphans()
    _libc.prctl(PR_SET_PDEATHSIG, _ORPHANED, 0, 0, 0)
    program = os.fork()
    if program == 0:
        line.close()
        become()
    _close_all_but(line.fileno())
    alive = os.getppid() == supervisor
    if alive:
        _tell(line, Report(False, program))
    while alive and _reap(line, program):
        got = signal.sigwaitinfo(waited)
        if got.si_signo == _KILL_ALL:
            kill_children(lambda pid, status: _tell(line, Report(True, status)) if pid == program else None)
        alive = got.si_signo != _ORPHANED
    if not alive:
        kill_children(lambda pid, status: None)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _reap(line: socket.socket, program: int) -> bool:
    """Bury the dead; whether any process is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if not pid:
            return True
        if pid == program:
            _tell(line, Report(True, status))


def kill_children(ended: Callable[[int, int], None], one_of_them: Callable[[int], bool] = lambda pid: True) -> None:
    """Kill all of our children, and theirs as they become ours, until none is left. ``ended`` is told each one's wait
    status; ``one_of_them`` says which children are meant."""
    dying: set[int] = set()  # what ends has no filter left before its children are ours: it is waited for all the same
    while (children := {pid for pid in children_of(os.getpid()) if one_of_them(pid)}) or dying:
        for pid in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        dying |= children
        for pid in sorted(dying):
            try:
                done, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                done, status = 0, 0
                dying.discard(pid)
            if done:
                dying.discard(pid)
                ended(done, status)
        time.sleep(_PAUSE)


def is_watched(pid: int) -> bool:
    """That process has more seccomp filters than we have: it is of a tree that we started."""
    return _filters(pid) > _filters(os.getpid())


def _filters(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = [line for line in file if line.startswith(b"Seccomp_filters:")]
    except OSError:
        return 0
    return int(lines[0].split()[1]) if lines else 0


def children_of(parent: int) -> list[int]:
    """The processes whose parent that is, as /proc tells."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                # The name, in parentheses, may hold anything; state and parent follow it.
                if int(file.read().rpartition(b")")[2].split()[1]) == parent:
                    found.append(int(name))
    return found


def _tell(line: socket.socket, report: Report) -> None:
    with contextlib.suppress(OSError):
        line.sendall(report.pack())


def _close_all_but(kept: int) -> None:
    """Nothing that the supervisor or the program may wait to see closed stays open here; stderr does."""
    os.dup2(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC), 0)
    os.dup2(0, 1)
    os.dup2(0, 2)
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
