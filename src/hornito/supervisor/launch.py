# SPDX-License-Identifier: MIT
"""How does a program start so that its system calls come to us, and how does all that it started end when we do?

Two processes are forked, and no thread may exist yet: the *warden*, which adopts every orphan of the tree and kills all
of it if the supervisor dies, and its child, which installs the filter, hands the listener over and becomes the program.
"""

import contextlib
import ctypes
import errno
import os
import signal
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from hornito.errors import DeviceError
from hornito.supervisor.descriptors import copy_descriptor, same_description
from hornito.supervisor.filter import program as filter_program
from hornito.supervisor.warden import end_all, watch
from hornito.uapi.prctl import PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG
from hornito.uapi.seccomp import SET_MODE_FILTER, FilterFlag, Program
from hornito.uapi.system_calls import native
from hornito.virtual.etnaviv.user_memory import UserMemory

NOT_EXECUTABLE, NOT_FOUND = 126, 127
_GO = b"g"
_FILTER, _EXEC, _NARROW = range(3)  # what failed, as the child reports it
_REPORT = struct.Struct("=ii")
_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)  # programs expect their default
_ELF_NARROW = b"\x7fELF\x01"
_libc = ctypes.CDLL(None, use_errno=True)


class NotStarted(Exception):
    """The program could not be started; ``status`` is what ``env`` would exit with."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class EndedEarly(Exception):
    """Something ended the program-to-be before it had a filter, such as a Ctrl-C."""


@dataclass(frozen=True)
class Launched:
    """A tree of processes that is about to be. ``warden`` talks to its warden, ``program`` to the program-to-be."""

    command: Sequence[str]
    warden_pid: int
    warden: socket.socket
    program: socket.socket
    report: int

    def listener(self) -> int:
        """Let the program go as far as its filter; the descriptor that its calls come from.

        Raises DeviceError if this system does not let an ordinary user watch system calls; EndedEarly.
        """
        try:
            self.program.sendall(_GO)
            message, descriptors, _, _ = socket.recv_fds(self.program, len(_GO), 1)
        except ConnectionError:
            raise EndedEarly from None
        if descriptors:
            return descriptors[0]
        if message:
            raise DeviceError("can't watch system calls: too many open files; raise the limit (ulimit -n)")
        failure = self._failure()
        if failure is None:
            raise EndedEarly
        raise DeviceError(_no_filter(failure[1]))

    def check_started(self) -> None:
        """Wait until the program runs. Its calls must be answered meanwhile. Raises NotStarted."""
        failure = self._failure()
        if failure is None:
            return
        name, (stage, code) = self.command[0] or "''", failure
        if stage == _NARROW:
            raise NotStarted(f"{name}: is a 32-bit program; only 64-bit ones can be given a node", NOT_EXECUTABLE)
        status = NOT_FOUND if code == 2 else NOT_EXECUTABLE
        raise NotStarted(f"{name}: {os.strerror(code)}", status)

    def end(self) -> None:
        """Whatever is left of the tree dies, and the warden."""
        self.program.close()
        end_all(self.warden_pid)
        self.warden.close()
        os.close(self.report)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.warden_pid, 0)

    def _failure(self) -> tuple[int, int] | None:
        content = os.read(self.report, _REPORT.size)
        return _REPORT.unpack(content) if len(content) == _REPORT.size else None


def launch(command: Sequence[str], folder: str | None) -> Launched:
    """Fork warden and program-to-be, which waits. ``folder``: what it sees in the place of the machine's own files,
    removed by the warden if the supervisor dies; None: it sees those."""
    mine, wardens = socket.socketpair()
    ours, programs = socket.socketpair()
    report, reporter = os.pipe()
    supervisor = os.getpid()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGCHLD)}
    pid = os.fork()
    if pid:
        wardens.close()
        programs.close()
        os.close(reporter)
        return Launched(command, pid, mine, ours, report)
    try:
        start = _Start(filter_program(native(), paths=folder is not None), before, blocked)
        mine.close()
        ours.close()
        os.close(report)
        watch(wardens, supervisor, folder, lambda: _become(command, programs, reporter, start))
    finally:
        os._exit(125)


@dataclass(frozen=True)
class _Start:
    """What the program is to find: a filter, and signals as they were, but for what Python changed for itself."""

    filter: Program
    handlers: dict[signal.Signals, Any]
    blocked: set[int]

    def restore_signals(self) -> None:
        for number in _PYTHON_IGNORES:
            signal.signal(number, signal.SIG_DFL)
        for number, handler in self.handlers.items():
            signal.signal(number, handler if handler is signal.SIG_IGN else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.blocked)


def check_readable(program: int) -> None:
    """Raises DeviceError if we may not read the memory of the program-to-be, a copy of ours so far; EndedEarly."""
    try:
        UserMemory(program).read(id(_GO), len(_GO))  # something older than the process
    except ProcessLookupError:
        raise EndedEarly from None
    except PermissionError:
        raise DeviceError(_no_memory()) from None


def check_reachable(program: int) -> None:
    """Raises DeviceError if we may not take up what the descriptors of the program-to-be show; EndedEarly."""
    try:
        same_description(0, program, 0)
        os.close(copy_descriptor(program, 0))
    except ProcessLookupError:
        raise EndedEarly from None
    except OSError as error:
        if error.errno == errno.EBADF:  # its standard input is closed: nobody minds that we asked
            return
        why = f"pidfd_getfd and kcmp are not allowed ({error.strerror})"
        raise DeviceError(
            f"can't take up the program's descriptors: {why}; allow the sandbox these system calls, or give it "
            "CAP_SYS_PTRACE (containers: --cap-add SYS_PTRACE)"
        ) from None


def _no_memory() -> str:
    """Why other processes' memory is closed to us."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/yama/ptrace_scope", encoding="ascii") as file:
        scope = file.read().strip()
        if scope not in ("0", "1"):
            return f"can't read the program's memory: kernel.yama.ptrace_scope is {scope}; set it to 1 or 0 (sysctl)"
    return (
        "can't read the program's memory: neither process_vm_readv nor /proc/PID/mem is allowed; allow the sandbox the "
        "system calls process_vm_readv and process_vm_writev, or give it CAP_SYS_PTRACE"
    )


def _become(command: Sequence[str], line: socket.socket, reporter: int, start: _Start) -> NoReturn:
    """The program-to-be's life: it ends by exec, or by telling what failed."""
    stage = _FILTER
    try:
        parent = os.getppid()
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent or line.recv(1) != _GO:
            os._exit(125)
        start.restore_signals()
        listener = _install(start.filter)
        socket.send_fds(line, [_GO], [listener])
        os.close(listener)
        stage = _EXEC
        _execute(command, reporter)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(reporter, _REPORT.pack(stage, error.errno or 0))
    except KeyboardInterrupt:  # nothing of the program runs yet: it would have died of that
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    finally:
        os._exit(125)


def _install(filter_: Program) -> int:
    """The filter, for this process and all that come from it; the listener. Raises OSError."""
    if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    code = 0
    for flags in (FilterFlag.NEW_LISTENER | FilterFlag.WAIT_KILLABLE_RECV, FilterFlag.NEW_LISTENER):
        number = native().numbers["seccomp"]
        listener: int = _libc.syscall(number, SET_MODE_FILTER, int(flags), ctypes.byref(filter_))
        if listener >= 0:
            os.set_inheritable(listener, False)
            return listener
        code = ctypes.get_errno()
    raise OSError(code, "seccomp")


def can_be_found(command: Sequence[str]) -> bool:
    """Is there a file that ``_execute`` would try, with the right to execute it?"""
    name = command[0]
    folders = [""] if "/" in name else os.get_exec_path()
    places = (os.path.join(folder, name) for folder in folders)
    return any(os.path.isfile(place) and os.access(place, os.X_OK) for place in places)


def _execute(command: Sequence[str], reporter: int) -> None:
    """exec as env does it: along PATH, and what has no known format goes to the shell. Raises OSError."""
    name = command[0]
    if not name:
        raise OSError(2, name)
    folders = [""] if "/" in name else os.get_exec_path()
    failure = OSError(2, name)
    for folder in folders:
        path = os.path.join(folder, name)
        try:
            with contextlib.suppress(OSError), open(path, "rb") as file:
                if file.read(len(_ELF_NARROW)) == _ELF_NARROW and os.access(path, os.X_OK):
                    os.write(reporter, _REPORT.pack(_NARROW, 0))
                    os._exit(125)
            os.execv(path, list(command))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno == 8:  # ENOEXEC
                os.execv("/bin/sh", ["sh", path, *command[1:]])
            failure = error
    raise failure


def _no_filter(code: int) -> str:
    """Why a filter with a listener is not to be had."""
    reasons = {
        16: "another supervisor already watches this process's system calls (a 'hornito exec' around it, a container "
        "manager); run it outside of that",
        1: "the sandbox around it forbids seccomp filters; allow the system call seccomp in the container's profile",
        38: "the kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)",
        22: "the kernel is older than 5.14, or has no seccomp user notification; a newer one is needed",
        13: "no_new_privs could not be set",
    }
    return f"can't watch system calls: {reasons.get(code, os.strerror(code))}"
