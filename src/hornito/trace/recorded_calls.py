# SPDX-License-Identifier: MIT
"""How are the calls on a device recorded, whichever device it is? By one that takes its place and hands each call on.

A call costs its own bytes; memory is looked at elsewhere, and hashed and packed in the writer's process.
"""

import contextlib
import errno
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from hornito.supervisor.served import PassOn, Served, ServedCaller, ServedFile
from hornito.trace.process_writer import ProcessWriter
from hornito.trace.recorder import Recorder
from hornito.trace.records import Header
from hornito.trace.watched_call import WatchedCall
from hornito.virtual.etnaviv.caller import FileIdentity
from hornito.virtual.etnaviv.fences import Pending

F = TypeVar("F", bound=ServedFile)
_SWITCH = 0.0001  # seconds that a thread may keep the others from answering a call


@contextlib.contextmanager
def recording(path: str, chip: str, program: Sequence[str], by: str) -> Iterator[Recorder]:
    """Records ``program``, on a chip of that name, to the file ``path`` until the block ends; ``by`` whom.

    Raises BadInput if it can't be written, at once or at the end.
    The device should end within the block: then it is recorded how its last jobs end.
    """
    header = Header("supervisor", chip, tuple(program), time.time_ns(), by)
    recorder = Recorder(ProcessWriter(path, header))
    switch = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    try:
        yield recorder
    finally:
        sys.setswitchinterval(switch)
        recorder.close()


class RecordedCalls(Generic[F]):
    """A ``Served`` device that is ``device``, with all calls, and the lines of its log, recorded."""

    def __init__(self, device: Served[F], recorder: Recorder) -> None:
        self._served = device
        self._recorder = recorder
        self._opened = 0
        self.tell(None, None)

    @property
    def wake_fd(self) -> int:
        return self._served.wake_fd

    @property
    def opened(self) -> int:
        """How many open files of it there have been."""
        return self._opened

    @property
    def submits(self) -> int:
        """How many have been recorded."""
        return self._recorder.submits

    def open(self) -> F:
        self._opened += 1
        return self._served.open()

    def find(self, pid: int, fd: int) -> F | None:
        return self._served.find(pid, fd)

    def find_other(self, caller: ServedCaller, fd: int) -> FileIdentity | None:
        return self._served.find_other(caller, fd)

    def sweep(self) -> Sequence[F]:
        ended = self._served.sweep()
        if ended:
            self._recorder.forget_threads()
        for file in ended:
            self._recorder.message(f"open file {file.number} has been closed", "recorder")
        return ended

    def call(self, file: F, request: int, arg: int, caller: ServedCaller) -> None:
        call = self._recorder.enter(caller, request, arg)
        try:
            self._served.call(file, request, arg, call)
        except BaseException as error:
            self._failed(call, file.number, error)
            raise
        self._recorder.leave(call, space=file.number)

    def sync_call(self, identity: FileIdentity, request: int, arg: int, caller: ServedCaller) -> None:
        call = self._recorder.enter(caller, request, arg)
        try:
            self._served.sync_call(identity, request, arg, call)
        except BaseException as error:
            self._failed(call, 0, error)
            raise
        self._recorder.leave(call)

    def tell(self, logged: Callable[[str], None] | None, dumped: Callable[[bytes], None] | None) -> None:
        def both(line: str) -> None:
            self._recorder.message(line)
            if logged is not None:
                logged(line)

        self._served.tell(both, dumped)

    @property
    def unfinished(self) -> bool:
        return self._recorder.unfinished or self._served.unfinished

    def rest(self) -> None:
        self._recorder.rest()
        self._served.rest()

    def rearm(self) -> None:
        self._served.rearm()

    def _failed(self, call: WatchedCall, space: int, error: BaseException) -> None:
        if isinstance(error, PassOn):
            self._recorder.leave(call, space=space, unseen=True)
        elif isinstance(error, OSError):
            self._recorder.leave(call, error.errno or errno.EIO, space=space)
        elif not isinstance(error, Pending):  # its caller has gone
            self._recorder.leave(call, errno.EINTR, space=space)
