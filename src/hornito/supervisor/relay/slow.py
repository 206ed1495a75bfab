# SPDX-License-Identifier: MIT
"""How is waited for what we know nothing of, another process's job for instance? In a thread, until it is time to make
the call again."""

import logging
import threading
from collections.abc import Callable

from hornito.virtual.etnaviv.fences import Pending, Signal

_log = logging.getLogger(__name__)
IsWanted = Callable[[], bool]


class _Wait(Signal):
    def __init__(self, ticket: int) -> None:
        super().__init__()
        self.ticket = ticket
        self.is_wanted = True
        self.is_over = False


class SlowWaits:
    """Waits in threads of their own. A thread of clients has one at most: when it makes another call, nobody wants to
    know any more how the earlier one ends."""

    def __init__(self) -> None:
        self._waits: dict[int, _Wait] = {}  # by thread

    def wait(
        self, thread: int, ticket: int, deadline: float | None, begin: Callable[[], Callable[[IsWanted], None]]
    ) -> Pending:
        """What the call with that ticket is to raise. ``begin`` gives what waits; it is called once as long as that has
        not ended, and is told whether anybody still wants to know. It raises nothing but OSError."""
        known = self._waits.get(thread)
        if known is None or known.ticket != ticket or known.is_over:
            self.forget(thread)
            known = self._waits[thread] = _Wait(ticket)
            threading.Thread(target=_run, args=(known, begin()), name="relayed wait", daemon=True).start()
        return Pending(known, deadline)

    def forget(self, thread: int, but: int = 0) -> None:
        """That thread waits for nothing any more, but for the call with the ticket ``but``."""
        known = self._waits.get(thread)
        if known is not None and known.ticket != but:
            known.is_wanted = False
            del self._waits[thread]

    def close(self) -> None:
        """Nobody wants to know anything."""
        for thread in list(self._waits):
            self.forget(thread)


def _run(wait: _Wait, function: Callable[[IsWanted], None]) -> None:
    try:
        function(lambda: wait.is_wanted)
    except OSError:
        _log.debug("a wait ended early", exc_info=True)  # the call, made again, says why
    wait.is_over = True
    wait.happen()
