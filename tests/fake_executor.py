# SPDX-License-Identifier: MIT
"""An executor for tests of kernel and driver: its streams are orders of our own, not the hardware's commands."""

import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.cost import Work, rates_of
from hornito.hardware.chips import find_chip
from hornito.virtual.faults import Fault, MMUFault
from hornito.virtual.timeline import Timeline

NOTHING, COPY, FAULT, CRASH, BLOCK, TOUCH, LAST, DOUBT = range(8)
RATES = rates_of(find_chip("a311d"))


def lasting(milliseconds: int) -> Work:
    """What keeps the A311D's bus busy so that a job takes so long."""
    return Work(read=round((milliseconds / 1000 - RATES.job) * RATES.bytes))


class FakeExecutor:
    """Obeys one order per stream, and remembers it.

    NOTHING; COPY source, target, length; FAULT address, job (unit NN); CRASH; BLOCK until ``release`` is set; TOUCH
    address (an MMU fault where nothing is mapped); LAST wall-clock time, modelled time of each job (milliseconds);
    DOUBT: it runs, but silicon might give something else.
    """

    def __init__(self) -> None:
        self.orders: list[list[int]] = []
        self.release = threading.Event()
        self.started = threading.Event()

    def run(self, space: Any, stream: NDArray[np.uint32], timeline: Timeline) -> None:
        order = [int(word) for word in stream]
        self.orders.append(order)
        self.started.set()
        match order:
            case [] | [0, *_]:
                pass
            case [1, source, target, length]:
                space.view(target, length, write=True)[:] = space.view(source, length)
            case [2, address, job]:
                raise Fault("kernel_z = 9 is never\nwritten", unit="NN", job=job, address=address)
            case [3]:
                raise ZeroDivisionError("a mistake of ours")
            case [4]:
                assert self.release.wait(30)
            case [5, address]:
                try:
                    space.view(address, 1)
                except MMUFault as fault:
                    fault.job = 0
                    raise
            case [6, wall, *modelled]:
                time.sleep(wall / 1000)
                for number, duration in enumerate(modelled):
                    timeline.begin(number, "NN", 10 * (number + 1), lasting(duration))
            case [7]:
                timeline.remark("job 1 reads what job 0 writes")
            case _:
                raise AssertionError(f"unknown order {order}")
        timeline.finish()

    def close(self) -> None:
        """Nothing runs elsewhere."""


def stream(*order: int) -> NDArray[np.uint32]:
    """A stream that holds one order."""
    return np.array(order, np.uint32)
