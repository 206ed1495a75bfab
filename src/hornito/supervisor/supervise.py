# SPDX-License-Identifier: MIT
"""How does a program run with a virtual render node, from its start until the last process that it started has gone?"""

import contextlib
import logging
import os
import resource
import select
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from hornito.errors import DeviceError
from hornito.supervisor.launch import EndedEarly, Launched, NotStarted, check_reachable, check_readable, launch
from hornito.supervisor.notifications import Listener
from hornito.supervisor.picture import Picture
from hornito.supervisor.signals import HandOn
from hornito.supervisor.warden import Report, adopt_orphans, children_of, end_all, is_watched, kill_children
from hornito.uapi.system_calls import native

if TYPE_CHECKING:
    from hornito.supervisor.served import Served

_log = logging.getLogger(__name__)
_DESCRIPTORS = 1 << 16
_GRACE = 0.3  # seconds that the rest of a tree has to end after the program, before anybody speaks of it
_PAUSE = 0.004  # seconds without a call, after which a device may do what it put off
_SIGNALLED = 128  # a shell's status of a program that a signal killed


def run_program(
    command: Sequence[str], make_device: "Callable[[], AbstractContextManager[Served[Any]]]", *, own_node: bool = False
) -> int:
    """Run ``command`` with the device that ``make_device`` gives as its render node; its exit status, as of a shell.

    ``own_node``: the machine has that node, and programs open it themselves. No other thread may exist yet. The device
    is made after the program was forked and before it runs. A program that can't be started is told of in one line, and
    its status is env's. Raises DeviceError if this system does not let us watch the program; what ``make_device``
    raises.
    """
    picture = None if own_node else Picture()
    adopt_orphans()
    try:
        launched = launch(command, None if picture is None else picture.root)
        _take_more_descriptors()
        signals = HandOn()
        signals.start()
        try:
            if picture is not None:
                picture.draw()
            with make_device() as device:
                return _Tree(launched, device, picture, signals).serve()
        finally:
            launched.end()
            signals.stop()
    finally:
        if picture is not None:
            shutil.rmtree(picture.root, ignore_errors=True)


def _take_more_descriptors() -> None:
    """What clients have many of (buffers that are looked at, fences) takes a descriptor here. The program keeps its own
    limit: it was forked before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class _Tree:
    """A program, and all that it starts, until the last of them has gone."""

    def __init__(self, launched: Launched, device: "Served[Any]", picture: Picture | None, signals: HandOn) -> None:
        from hornito.supervisor.answering import Answering  # numpy makes threads: not before the fork

        self._launched = launched
        self._own_node = picture is None
        self._signals = signals
        self._answering = Answering(native(), device, picture, self._refuse_foreign)
        self._program = 0  # its process
        self._status: int | None = None  # the program's, once it has ended
        self._alive = True
        self._speak_at: float | None = None
        self._device = device
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {
            launched.warden.fileno(): self._warden_speaks,
            launched.report: self._report,
            device.wake_fd: self._answering.sweep,
            self._answering.waiting.fd: lambda: None,  # looked at after all others
            signals.wanted_end: self._end,
        }

    def serve(self) -> int:
        """Answer until nobody is left who could call; the exit status."""
        self._warden_speaks()
        try:
            check_readable(self._program)
            if self._own_node:
                check_reachable(self._program)
            listener = Listener(self._launched.listener())
        except EndedEarly:
            self._warden_speaks()
            if self._status is None or self._status <= _SIGNALLED:
                raise DeviceError("the program ended before it was started; run it again") from None
            return self._status
        for fd in (listener.fd, *self._handlers):
            self._poll.register(fd, select.POLLIN)
        try:
            self._loop(listener)
        finally:
            listener.close()
            self._answering.waiting.close()
        if self._status is None:
            raise DeviceError("the process that keeps the program's tree was killed, and all of the tree with it")
        return self._status

    def _loop(self, listener: Listener) -> None:
        device = self._device
        poll, receive, watched = self._poll.poll, listener.receive, listener.fd
        answer, waiting = self._answering.answerer(listener), self._answering.waiting.calls
        while self._alive:
            events = poll(self._timeout() if waiting or self._speak_at is not None or device.unfinished else None)
            for fd, event in events:
                if fd != watched:
                    self._handlers[fd]()
                elif event & select.POLLIN:
                    call = receive()
                    if call is not None:
                        answer(call)
                else:
                    self._poll.unregister(watched)  # nobody is left whom the filter watches
            if waiting:
                self._answering.make_again(listener)
            if self._speak_at is not None:
                self._speak_of_the_rest()
            if not events and device.unfinished:
                device.rest()

    def _timeout(self) -> int | None:
        """In milliseconds, rounded up."""
        wait = self._answering.waiting.timeout()
        if self._speak_at is not None:
            wait = min(_GRACE if wait is None else wait, _GRACE)
        if self._device.unfinished:
            wait = min(_PAUSE if wait is None else wait, _PAUSE)
        return None if wait is None else int(wait * 1000) + 1

    def _warden_speaks(self) -> None:
        content = self._launched.warden.recv(Report.SIZE)
        if len(content) < Report.SIZE:
            self._alive = False
            if self._status is None:
                with contextlib.suppress(ChildProcessError):  # its end of the line closes before its children are ours
                    os.waitid(os.P_PID, self._launched.warden_pid, os.WEXITED | os.WNOWAIT)
                kill_children(lambda pid, status: None, is_watched)
            return
        report = Report.unpack(content)
        if not report.ended:
            self._program = report.value
            self._signals.to(self._program)
            return
        self._signals.to(0)
        self._speak_at = time.monotonic() + _GRACE
        if self._status is None:
            code = os.waitstatus_to_exitcode(report.value)
            self._status = code if code >= 0 else _SIGNALLED - code

    def _report(self) -> None:
        """The program has become itself, or could not."""
        self._poll.unregister(self._launched.report)
        try:
            self._launched.check_started()
        except NotStarted as error:
            _log.error("%s", error)
            self._status = error.status

    def _speak_of_the_rest(self) -> None:
        if self._speak_at is None or time.monotonic() < self._speak_at:
            return
        self._speak_at = None
        count = len(children_of(self._launched.warden_pid))
        if count:
            _log.warning(
                "%s has ended with status %s and left processes behind: waiting for %d; Ctrl-C ends them",
                *(self._launched.command[0], self._status, count),
            )

    def _end(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._signals.wanted_end)
        end_all(self._launched.warden_pid)

    def _refuse_foreign(self, pid: int) -> None:
        with contextlib.suppress(OSError):
            name = os.readlink(f"/proc/{pid}/exe")
            # Said first: whoever waits for its end speaks after us.
            _log.error("%s: is a 32-bit program, and was killed; only 64-bit ones can be given a node", name)
            os.kill(pid, signal.SIGKILL)
