# SPDX-License-Identifier: MIT
"""What does a worker process do? It runs jobs for a ``ProcessExecutor``, and dies with it.

``main`` is what the process runs: its arguments are a socket, a file that shows how far the job is, and the parent.
"""

import contextlib
import ctypes
import mmap
import os
import select
import signal
import socket
import sys
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.cost import Work
from hornito.errors import HornitoError
from hornito.hardware.chips import Chip, find_chip
from hornito.uapi.prctl import PR_SET_PDEATHSIG
from hornito.virtual.faults import Fault
from hornito.virtual.memory import AddressSpace
from hornito.virtual.npu.executor import Executor
from hornito.virtual.timeline import Start, Timeline
from hornito.virtual.workers.wire import JOB, STARTED, STATE_BYTES, Closed, Message, encode_fault, receive, send

_HANGUP = getattr(select, "POLLRDHUP", 0x2000)


class Worker:
    """Answers requests, one at a time."""

    def __init__(self, chip_name: str, state_fd: int) -> None:
        self._chip = find_chip(chip_name)
        self._executor = Executor(self._chip)
        self._spaces: dict[int, AddressSpace] = {}
        self._state = np.frombuffer(mmap.mmap(state_fd, STATE_BYTES), np.uint64)

    def answer(self, message: Message) -> dict[str, Any]:
        """Do as told; what to send back. A request's own descriptor is closed."""
        values = message.values
        try:
            match values["do"]:
                case "map":
                    assert message.fd is not None
                    self._space(values).map(values["va"], values["size"], message.fd, values["offset"])
                case "unmap":
                    self._spaces[values["space"]].unmap(values["va"])
                case "close":
                    if space := self._spaces.pop(values["space"], None):
                        space.close()
                case "run":
                    return self._run(values, message.tail)
                case "nothing":
                    pass
                case other:
                    raise AssertionError(f"unknown request {other!r}")
            return {}
        except (HornitoError, OSError) as error:
            return {"error": " ".join(str(error).split())}
        finally:
            if message.fd is not None:
                os.close(message.fd)

    def _space(self, values: dict[str, Any]) -> AddressSpace:
        number = values["space"]
        if number not in self._spaces:
            self._spaces[number] = AddressSpace()
        return self._spaces[number]

    def _run(self, values: dict[str, Any], tail: bytes) -> dict[str, Any]:
        timeline = _Shown(self._chip, Start.decode(values["start"]), self._state)
        self._state[JOB] = 0
        self._state[STARTED] = values["number"]
        answer: dict[str, Any] = {}
        try:
            self._executor.run(self._space(values), np.frombuffer(tail, np.uint32), timeline)
        except Fault as fault:
            answer = {"fault": encode_fault(fault)}
        except Exception as error:
            answer = {"failure": f"{type(error).__name__}: {error}"}
        return answer | {
            "progress": timeline.progress.encode(),
            "spans": timeline.spans,
            "doubt": timeline.doubt,
            "written": sorted(self._space(values).written()),
        }


class _Shown(Timeline):
    """A timeline that others can see in the state file, even after this process died."""

    def __init__(self, chip: Chip, start: Start, state: NDArray[np.uint64]) -> None:
        super().__init__(chip, start)
        self._state = state

    def begin(self, number: int, unit: str, end: int, work: Work, wave: int | None = None) -> None:
        self._state[JOB] = number + 1
        super().begin(number, unit, end, work, wave)


def main(arguments: list[str]) -> None:
    """The process: arguments are the socket's and the state file's descriptors, the chip's name, and the parent's
    process id if it is to be watched by the kernel too (0: its thread may end before it)."""
    peer = socket.socket(fileno=int(arguments[0]))
    chip_name, parent = arguments[2], int(arguments[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the parent
    if parent:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:
            sys.exit(1)
    threading.Thread(target=_die_with, args=(peer,), daemon=True).start()
    with contextlib.suppress(Closed):
        try:
            worker = Worker(chip_name, int(arguments[1]))
        except HornitoError as error:
            send(peer, Message({"error": " ".join(str(error).split())}))
            return
        os.close(int(arguments[1]))
        send(peer, Message({}))
        while True:
            send(peer, Message(worker.answer(receive(peer))))


def _die_with(peer: socket.socket) -> None:
    """End at once when the other side of the socket is gone, whatever job is running."""
    poll = select.poll()
    poll.register(peer, _HANGUP)
    while not any(events & (_HANGUP | select.POLLHUP) for _, events in poll.poll()):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
