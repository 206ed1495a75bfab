# SPDX-License-Identifier: MIT
"""Which calls are looked at again, and when? Fences signal in another thread, also while the supervisor ends."""

import os
import select
import time

from hornito.supervisor.notifications import Notification
from hornito.supervisor.waiting import Waiting
from hornito.virtual.etnaviv.fences import Pending, Signal


def _call(number: int) -> Notification:
    return Notification(number, os.getpid(), *[0] * 10)


def test_a_call_is_made_again_when_its_fence_signals_and_not_before() -> None:
    waiting, signals = Waiting(), [Signal(), Signal()]
    for number, signal in enumerate(signals):
        waiting.add(_call(number), Pending(signal))
    assert waiting.due() == ([], []) and not select.select([waiting.fd], [], [], 0)[0]
    signals[1].happen()
    assert select.select([waiting.fd], [], [], 0)[0]
    assert waiting.due() == ([_call(1)], [])
    assert list(waiting.calls) == [0] and not select.select([waiting.fd], [], [], 0)[0]
    waiting.close()


def test_a_call_is_made_again_at_its_deadline() -> None:
    waiting, now = Waiting(), time.monotonic()
    waiting.add(_call(1), Pending(Signal(), now - 1))
    waiting.add(_call(2), Pending(Signal(), now + 1000))
    assert waiting.timeout() == 0
    assert waiting.due()[0] == [_call(1)]
    assert waiting.calls and 0 <= (waiting.timeout() or -1) < 1
    waiting.close()


def test_a_fence_that_signals_during_the_end_touches_no_descriptor() -> None:
    class Late(Signal):
        """Its functions were taken out of it just before somebody asked to be forgotten."""

        def forget(self, function: object) -> None:
            pass

    waiting, signal = Waiting(), Late()
    waiting.add(_call(1), Pending(signal))
    number = waiting.fd
    waiting.close()
    reused = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    assert reused == number
    signal.happen()
    assert not select.select([reused], [], [], 0)[0]
    os.close(reused)
