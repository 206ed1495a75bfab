# SPDX-License-Identifier: MIT
"""How are calls and jobs recorded while they happen, whichever kernel answers them? Whoever stands between client and
kernel tells of each call, and of each job as it begins and ends.

Those who tell must not wait, since somebody waits for them. What they tell stands in a line; it is seen to when there
is time, or when too much has come together.
"""

import errno
import functools
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from hornito.supervisor.served import ServedCaller
from hornito.trace.assembly import Assembly, Begun, Ended, Left, Writer
from hornito.trace.copies import Copies
from hornito.trace.records import Message
from hornito.trace.watched_call import WatchedCall
from hornito.uapi.etnaviv import SubmitBoFlag
from hornito.uapi.ioctl import Struct

_MOST = 64  # things in line, beyond which whoever adds one sees to all

Until = Callable[[], bool]


class Ending(Protocol):
    """A job has ended, and what it left behind is yet to be looked at."""

    def look(self, until: Until) -> Ended | None:
        """Look at it; None if ``until`` said to leave off, to go on later."""


class _End(NamedTuple):
    """The job of a fence has ended."""

    fence: int
    ending: Ending


def never() -> bool:
    """Leave off at no time."""
    return False


class Recorder:
    """Makes one recording. Its methods may be called from any thread; none raises for what goes wrong with the file:
    that is said once, and ``close`` raises it again.

    ``clock`` gives ns; the recording's own clock begins now.
    """

    def __init__(self, writer: Writer, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._writer = writer
        self._clock = clock
        self._start = clock()
        self._lock = threading.Lock()  # of calls
        self._made: dict[int, WatchedCall] = {}  # calls that have not returned, by their threads
        self._tickets: dict[int, int] = {}
        self._processes: dict[int, int] = {}
        self._line: deque[Callable[[], None] | _End] = deque()
        self._working = threading.RLock()  # by who works off the line
        self._assembly = Assembly(writer)

    @property
    def copies(self) -> Copies:
        """Where snapshots should lie."""
        return self._writer.copies

    @property
    def submits(self) -> int:
        """How many have been recorded; all of them once it is closed."""
        return self._assembly.submits

    def keep_to(self, processors: set[int]) -> None:
        """Work that nobody waits for should be done on these."""
        self._writer.keep_to(processors)

    def now(self) -> int:
        """ns on the recording's clock."""
        return self.at(self._clock())

    def at(self, time: int) -> int:
        """The same for what ``clock`` gave."""
        return time - self._start

    # Calls.

    def enter(self, caller: ServedCaller, request: int, argument: Struct | int) -> WatchedCall:
        """A call is made, or made again. The kernel is to be given the result in place of ``caller``."""
        with self._lock:
            thread = caller.pid
            call = self._made.get(thread)
            if call is not None and self._tickets[thread] != caller.ticket:
                self._leave(call, errno.EINTR)  # a signal took the thread out of it
                call = None
            if call is None:
                call = self._made[thread] = WatchedCall(caller, request & 0xFFFFFFFF, argument, self.now())
                self._tickets[thread] = caller.ticket
            call.caller = caller
        call.begin()
        return call

    def leave(self, call: WatchedCall, code: int = 0, *, space: int = 0, unseen: bool = False) -> None:
        """It has returned 0, or failed with the errno ``code``; ``space`` is its open file. ``unseen``: the kernel
        is to make it, and nobody will see what comes of it."""
        with self._lock:
            self._made.pop(call.pid, None)
            self._leave(call, code, space, unseen)
        if len(self._line) > _MOST:
            self.rest()

    def forget_threads(self) -> None:
        """Processes have ended: their threads' numbers may mean others from now on."""
        with self._lock:
            self._processes.clear()

    def _leave(self, call: WatchedCall, code: int, space: int = 0, unseen: bool = False) -> None:
        call.end()
        thread = call.pid
        if thread not in self._processes:
            try:
                self._processes[thread] = call.process
            except OSError:  # it died in this call
                self._processes[thread] = thread
        duration = self.now() - call.time
        left = Left(call, duration, self._processes[thread], call.caller.descriptor, code, space, unseen)
        self._line.append(functools.partial(self._assembly.left, left))

    # Jobs.

    def begun(self, fence: int, begun: Begun) -> None:
        """The job of that fence (above its 32 bits: the core's number) begins."""
        self._line.append(functools.partial(self._assembly.begun, fence, begun))

    def ended(self, fence: int, ended: Ended) -> None:
        """The job of that fence (as for ``begun``) has ended; it may not even have begun."""
        self._line.append(functools.partial(self._assembly.ended, fence, ended))

    def ends(self, fence: int, ending: Ending) -> None:
        """The same, but what it left is yet to be looked at."""
        self._line.append(_End(fence, ending))

    def message(self, text: str, origin: str = "kernel") -> None:
        """A line of the kernel's log, or a remark."""
        message = Message(self.now(), text, origin)
        self._line.append(functools.partial(self._assembly.message, message))

    # What nobody waits for.

    @property
    def unfinished(self) -> bool:
        """There is something to do when there is ``rest``."""
        return bool(self._line)

    def rest(self, until: Until = never) -> None:
        """There is time, ``until`` that says so."""
        with self._working:
            while self._line:
                first = self._line[0]
                if not isinstance(first, _End):
                    first()
                elif (ended := first.ending.look(until)) is not None:
                    self._assembly.ended(first.fence, ended)
                else:
                    return
                self._line.popleft()
                if until():
                    return

    def close(self) -> None:
        """Record what has not come to its end, and end the file. Raises BadInput if it could not all be written."""
        with self._lock:
            for call in self._made.values():
                self._leave(call, errno.EINTR)
            self._made.clear()
        self.rest()
        with self._working:
            self._assembly.finish()
        self._writer.close()


def writes(flags: int) -> bool:
    """A buffer with these flags in a submit's table may be written."""
    return bool(flags & SubmitBoFlag.WRITE)
