# SPDX-License-Identifier: MIT
"""Which notified call gets which answer? Most: that the kernel do it. That must be found out fast, the rest may take
some microseconds."""

import errno
import os
from collections.abc import Callable
from typing import Any

from hornito.supervisor.caller import Glance, RemoteCaller
from hornito.supervisor.notifications import ARCH, NR, PID, Gone, Listener, Notification
from hornito.supervisor.paths import PathCall, Paths, asks_for_descriptor
from hornito.supervisor.picture import TELLING, Picture
from hornito.supervisor.served import PassOn, Served
from hornito.supervisor.waiting import Waiting
from hornito.uapi.drm import DRM_TYPE
from hornito.uapi.system_calls import Architecture
from hornito.virtual.etnaviv.fences import Pending

_DESCRIPTORS = 1 << 31


class Answering:
    """Answers the calls of one tree of processes. ``picture``: what it sees in place of the machine's nodes (None: it
    sees those); ``foreign`` is told of processes of another architecture."""

    def __init__(
        self, architecture: Architecture, device: Served[Any], picture: Picture | None, foreign: Callable[[int], None]
    ) -> None:
        self.waiting = Waiting()
        self._device = device
        self._foreign = foreign
        self._paths = None if picture is None else Paths(architecture, picture)
        self._audit = int(architecture.audit)
        self._ioctl = architecture.numbers["ioctl"]
        self._fstat = architecture.numbers["fstat"]
        # By number: where in a notification the path is.
        self._specs = {} if self._paths is None else self._paths.table
        self._path_at = {number: 6 + spec.path for number, spec in self._specs.items()}
        self._open_files = 0

    def answerer(self, listener: Listener) -> Callable[[Notification], None]:
        """What sees to a call: answers it now, or lets it wait.

        It begins with what most calls are, a path that is none of ours, and keeps what that takes in its own variables:
        each look into an object would cost every system call of the program.
        """
        glance = Glance()
        glance_at, text, search = glance.at, glance.text, TELLING.search
        path_at, audit, fstat = self._path_at.get, self._audit, self._fstat
        let_pass, slowly = listener.let_pass, self.answer

        def answer(call: Notification) -> None:
            nr = call[NR]
            at = path_at(nr)
            if at is not None and call[ARCH] == audit:
                length = glance_at(call[PID], call[at])
                if length > 0:
                    if search(text, 0, length) is None:
                        let_pass(call)
                        return
                elif not length and not self._open_files:
                    let_pass(call)
                    return
            elif nr == fstat and not self._open_files:
                let_pass(call)
                return
            slowly(listener, call)

        return answer

    def answer(self, listener: Listener, call: Notification) -> None:
        """The same for any call, however long it takes to find out what it is."""
        try:
            self._answer_slowly(listener, call)
        except Gone:
            pass
        except PassOn:
            listener.let_pass(call)
        except Pending as pending:
            self.waiting.add(call, pending)
        except OSError as error:
            listener.fail(call, error.errno or errno.EIO)

    def make_again(self, listener: Listener) -> None:
        """See to the calls that wait, as far as it is time."""
        again, signalled = self.waiting.due()
        for call, code in signalled:
            listener.fail(call, code)
        for call in again:
            if listener.valid(call):
                self.answer(listener, call)

    def sweep(self) -> None:
        """Release what clients have closed or left behind."""
        ended = len(self._device.sweep())
        if self._paths is not None:  # else none was opened by us
            self._open_files -= ended

    def _answer_slowly(self, listener: Listener, call: Notification) -> None:
        if call.arch != self._audit or call.nr >> 30:
            self._foreign(call.pid)
            return
        caller = RemoteCaller(listener, call)
        if call.nr == self._ioctl:
            answered = self._answer_ioctl(call, caller)
        elif call.nr == self._fstat:
            answered = self._answer_status(call, None, caller)
        else:
            spec = self._specs[call.nr]
            if asks_for_descriptor(spec, call) and self._is_empty(call[6 + spec.path], caller):
                answered = self._answer_status(call, spec, caller)
            else:
                self._answer_path(listener, call, spec, caller)
                return
        if answered:
            listener.answer(call, 0)
        else:
            listener.let_pass(call)

    def _answer_ioctl(self, call: Notification, caller: RemoteCaller) -> bool:
        fd, request, argument = call.a0 & 0xFFFFFFFF, call.a1 & 0xFFFFFFFF, call.a2
        if fd >= _DESCRIPTORS:
            return False
        if request >> 8 & 0xFF != ord(DRM_TYPE):
            return self._answer_other_file(caller, fd, request, argument)
        file = self._device.find(caller.pid, fd)
        if file is None:
            return False
        self._device.call(file, request, argument, caller)
        return True

    def _answer_other_file(self, caller: RemoteCaller, fd: int, request: int, argument: int) -> bool:
        identity = self._device.find_other(caller, fd)
        if identity is None:
            return False
        self._device.sync_call(identity, request, argument, caller)
        return True

    def _answer_status(self, call: Notification, spec: PathCall | None, caller: RemoteCaller) -> bool:
        fd = call.a0 & 0xFFFFFFFF
        if fd >= _DESCRIPTORS or self._device.find(caller.pid, fd) is None:
            return False
        assert self._paths is not None  # else no such call is handed to us
        self._paths.node_status(call, spec, caller)
        return True

    def _answer_path(self, listener: Listener, call: Notification, spec: PathCall, caller: RemoteCaller) -> None:
        assert self._paths is not None
        try:
            answer = self._paths.answer(spec, call, caller)
        except OSError as error:
            if error.errno in (errno.EFAULT, errno.EPERM, errno.ENAMETOOLONG, errno.ESRCH, errno.EBADF):
                answer = None  # the kernel knows better what is wrong with it
            else:
                raise
        if answer is None:
            listener.let_pass(call)
        elif answer.node:
            self._open_node(listener, call, answer.flags)
        elif answer.fd >= 0:
            try:
                listener.install(call, answer.fd, answer.flags, answer=True)
            finally:
                os.close(answer.fd)
        else:
            listener.answer(call, answer.value)

    def _open_node(self, listener: Listener, call: Notification, flags: int) -> None:
        file = self._device.open()
        self._open_files += 1
        try:
            listener.install(call, file.client_fd, flags, answer=True)
        finally:
            os.close(file.client_fd)

    @staticmethod
    def _is_empty(address: int, caller: RemoteCaller) -> bool:
        return not address or not caller.read(address, 1)[0]
