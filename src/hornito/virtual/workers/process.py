# SPDX-License-Identifier: MIT
"""How are jobs run in another process, so that they neither slow this one nor can harm it?

``ProcessExecutor`` and the address spaces that it makes have the same methods as those of this process. Buffers are
files that both map; streams go over a socket. Killing the process is how a running job is stopped: it writes nothing
more. Another process with the same mappings then goes on for everybody else.
"""

import contextlib
import functools
import json
import mmap
import os
import select
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.errors import DeviceError
from hornito.hardware.chips import Chip
from hornito.virtual.etnaviv.jobs import Beside
from hornito.virtual.faults import Died, Stopped
from hornito.virtual.timeline import Progress, Span, Timeline
from hornito.virtual.workers.wire import JOB, STARTED, STATE_BYTES, Closed, Message, decode_fault, receive, send

_ATTEMPTS = 3  # processes that may die one after the other before what they were told to do is given up
_FAREWELL = 5.0  # seconds that closing waits for whoever uses the process to notice its end
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from hornito.virtual.workers.worker import main; main(sys.argv[1:])"
)


@dataclass
class _Link:
    """What an executor holds of the system: its worker process, the socket to it, the file that shows its state."""

    state_fd: int
    owner: int = field(default_factory=os.getpid)
    popen: "subprocess.Popen[bytes] | None" = None
    peer: socket.socket | None = None
    closed: bool = False
    busy: threading.RLock = field(default_factory=threading.RLock)  # by who talks to the process

    def end_process(self) -> str:
        """Kill it, wait for its end, give the socket back; how it ended. ``busy`` is held."""
        if self.popen is None:
            return ""
        self.popen.kill()
        code = self.popen.wait()
        if self.peer is not None:
            self.peer.close()
        self.popen = self.peer = None
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def close(self) -> None:
        """For good. A forked child leaves its parent's process alone."""
        if self.closed or os.getpid() != self.owner:
            return
        self.closed = True
        popen = self.popen
        if popen is not None:
            popen.kill()  # whoever waits for its answer wakes up
        with contextlib.ExitStack() as stack:
            if self.busy.acquire(timeout=_FAREWELL):
                stack.callback(self.busy.release)
            self.end_process()
            os.close(self.state_fd)


class ProcessExecutor:
    """An executor whose jobs run in a worker process, which starts at once. Not to be used by two threads at once, but
    for ``close``, which any may call and which ends a running job.

    Raises DeviceError if the process can't be started.
    """

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self._spaces: weakref.WeakValueDictionary[int, ProcessSpace] = weakref.WeakValueDictionary()
        self._next_space = 1
        self._runs = 0
        self._processors: set[int] = set()  # of the process, if it has any of its own
        state_fd = os.memfd_create("hornito-worker-state", os.MFD_CLOEXEC)
        os.ftruncate(state_fd, STATE_BYTES)
        self._link = _Link(state_fd)
        self._end = weakref.finalize(self, self._link.close)  # at exit too
        self._state = np.frombuffer(mmap.mmap(state_fd, STATE_BYTES), np.uint64)
        self._ready = False
        self._start()

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        popen = self._link.popen
        return None if popen is None else popen.pid

    def new_space(self) -> "ProcessSpace":
        """An empty address space for this executor's jobs."""
        number, self._next_space = self._next_space, self._next_space + 1
        space = ProcessSpace(self, number)
        self._spaces[number] = space
        return space

    def wait_ready(self) -> None:
        """Until the process has compiled or loaded all that jobs need; one that is killed meanwhile is replaced. Raises
        DeviceError, Stopped."""
        try:
            self.ask(Message({"do": "nothing"}))
        except Died as error:
            raise DeviceError(f"the virtual NPU can't start: {error.text}") from error

    def is_settled(self) -> bool:
        """Whether ``wait_ready`` would not wait: the process is ready, or has ended. Any thread may ask."""
        peer = self._link.peer
        if self._ready or peer is None:
            return True
        return _readable(peer)

    def run(self, space: "ProcessSpace", stream: NDArray[np.uint32], timeline: Timeline | None = None) -> None:
        """As ``Executor.run``. Raises Fault; Died if the process ended during the job; DeviceError."""
        self.run_beside(space, stream, timeline, None)

    def run_beside(
        self,
        space: "ProcessSpace",
        stream: NDArray[np.uint32],
        timeline: Timeline | None,
        beside: Beside | None,
    ) -> None:
        """As ``run``, and does something else while the process runs the stream."""
        timeline = timeline or Timeline(self.chip)
        self._runs += 1
        request = {"do": "run", "space": space.number, "number": self._runs, "start": timeline.start.encode()}
        space.unknown = True
        message = Message(request, np.ascontiguousarray(stream, "<u4").tobytes())
        answer = self.ask(message, self._runs, beside)
        space.add_written(answer["written"])
        timeline.progress = Progress.decode(answer["progress"])
        timeline.spans = [Span(*values) for values in answer["spans"]]
        timeline.doubt = answer["doubt"]
        if "fault" in answer:
            raise decode_fault(answer["fault"])
        if "failure" in answer:
            raise RuntimeError(answer["failure"])

    def keep_apart(self) -> set[int]:
        """Give the process and the calling thread different processors, as far as there are several; the latter's.
        Else the system likes to start a job on its caller's, where it has to wait for what is done beside it."""
        allowed = sorted(os.sched_getaffinity(0))
        half = (len(allowed) + 1) // 2
        if half == len(allowed):
            return set(allowed)
        self._processors = set(allowed[:half])
        with contextlib.suppress(OSError):  # it is no more than a help
            os.sched_setaffinity(0, allowed[half:])
        self._place()
        return set(allowed[half:])

    def _place(self) -> None:
        if self._processors and self.pid is not None:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(self.pid, self._processors)

    def ask(self, message: Message, run: int = 0, beside: Beside | None = None) -> dict[str, Any]:
        """The worker's answer. A process that has died is replaced; but if it died during run number ``run``, that is
        over. ``beside`` is done before the answer is waited for. Raises Died, Stopped, DeviceError."""
        how = ""
        with self._link.busy:
            for _ in range(_ATTEMPTS):
                try:
                    peer = self._connect()
                    send(peer, message)
                    if beside is not None:
                        beside(functools.partial(_readable, peer))
                        beside = None
                    answer = receive(peer).values
                except Closed:
                    how = self._link.end_process()
                    if self._link.closed:
                        raise Stopped from None
                    if run and int(self._state[STARTED]) == run:
                        job = int(self._state[JOB])
                        raise Died(f"the worker process died ({how})", job=job - 1 if job else None) from None
                    continue
                if "error" in answer:
                    raise DeviceError(answer["error"])
                return answer
            raise Died(f"{_ATTEMPTS} worker processes died, one after the other ({how})")

    def close(self) -> None:
        """Kill the process; whatever it runs ends without writing anything more."""
        self._end()

    def _start(self) -> None:
        """Start a process; do not wait until it is ready."""
        link = self._link
        if link.closed:
            raise Closed
        ours, theirs = socket.socketpair()
        # The kernel can watch over a parent's thread only; the socket's end is noticed in any case.
        parent = os.getpid() if threading.current_thread() is threading.main_thread() else 0
        handed_over = [theirs.fileno(), link.state_fd]
        arguments = [*map(str, handed_over), self.chip.name, str(parent)]
        program = [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path), *arguments]
        try:
            link.popen = subprocess.Popen(
                program, pass_fds=handed_over, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        except OSError as error:
            ours.close()
            why = f"{sys.executable}: {error.strerror}"
            raise DeviceError(f"the virtual NPU's worker process can't be started: {why}") from error
        finally:
            theirs.close()
        link.peer = ours
        self._ready = False
        self._place()

    def _connect(self) -> socket.socket:
        """The socket of a process that is ready and has all mappings. Raises Closed if it dies before, DeviceError."""
        link = self._link
        if link.popen is not None and link.popen.poll() is not None:
            link.end_process()
        if link.popen is None:
            self._start()
        assert link.peer is not None
        if not self._ready:
            try:
                problem = receive(link.peer).values.get("error")
            except Closed:
                killed = link.popen is not None and link.popen.wait() < 0
                how = link.end_process()
                if link.closed or killed:  # nobody's fault but the killer's: another one may live
                    raise
                problem = f"the virtual NPU's worker process ended before it was ready ({how})"
            if problem:
                raise DeviceError(problem)
            for space in list(self._spaces.values()):
                for request in space.requests():
                    send(link.peer, request)
                    if error := receive(link.peer).values.get("error"):
                        raise DeviceError(error)
            self._ready = True
        return link.peer


def _readable(peer: socket.socket) -> bool:
    """There is something to receive, or nothing any more."""
    poll = select.poll()
    try:
        poll.register(peer, select.POLLIN)
    except (OSError, ValueError):  # closed meanwhile
        return True
    return bool(poll.poll(0))


@dataclass(frozen=True)
class _Mapping:
    """A part of a file at a device address. ``file``: device and inode."""

    va: int
    size: int
    file: tuple[int, int]
    offset: int


class ProcessSpace:
    """A client's device memory in a worker process. Made by ``ProcessExecutor.new_space``."""

    def __init__(self, executor: ProcessExecutor, number: int) -> None:
        self.number = number
        self._executor = executor
        self._mappings: dict[int, _Mapping] = {}
        self._files: dict[tuple[int, int], int] = {}  # our own descriptors, for a process to come
        self._written: set[int] = set()
        self.unknown = False  # a run has not told what it wrote

    def map(self, va: int, size: int, fd: int, offset: int) -> None:
        """As ``AddressSpace.map``. Raises DeviceError."""
        status = os.fstat(fd)
        file = status.st_dev, status.st_ino
        mapping = _Mapping(va, size, file, offset)
        self._executor.ask(self._request(mapping, fd))
        if file not in self._files:
            self._files[file] = os.dup(fd)
        self._mappings[va] = mapping

    def unmap(self, va: int) -> None:
        """As ``AddressSpace.unmap``. Raises DeviceError."""
        self._executor.ask(Message({"do": "unmap", "space": self.number, "va": va}))
        file = self._mappings.pop(va).file
        if not any(mapping.file == file for mapping in self._mappings.values()):
            os.close(self._files.pop(file))

    def close(self) -> None:
        """Take all away. Raises nothing if the process is gone."""
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()
        self._mappings.clear()
        if self._executor.pid is not None:
            self._executor.ask(Message({"do": "close", "space": self.number}))

    def add_written(self, places: Iterable[int]) -> None:
        """A run has told what it wrote."""
        self._written.update(places)
        self.unknown = False

    def written(self) -> set[int] | None:
        """As ``AddressSpace.written``; None if the process died before it could tell."""
        written, self._written = self._written, set()
        unknown, self.unknown = self.unknown, False
        return None if unknown else written

    def requests(self) -> list[Message]:
        """What tells a new process all that is mapped."""
        return [self._request(mapping, self._files[mapping.file]) for mapping in self._mappings.values()]

    def _request(self, mapping: _Mapping, fd: int) -> Message:
        values = {"do": "map", "space": self.number, "va": mapping.va, "size": mapping.size, "offset": mapping.offset}
        return Message(values, fd=fd)
