# SPDX-License-Identifier: MIT
"""What do the performance counters of the core show? What its jobs took and moved, by the model; all else is zero."""

from dataclasses import dataclass

from hornito.uapi.perfmon import READS, REQUEST_BYTES, TOTAL_CYCLES, WRITES, Signal
from hornito.virtual.etnaviv.buffers import Buffer
from hornito.virtual.timeline import Counters

_WRAP = 1 << 32


@dataclass(frozen=True)
class CounterRequest:
    """To write ``signal`` into word ``word`` of ``buffer``, before the stream or behind it by ``flags`` (PmrFlag), and
    ``sequence`` into its first word at the end."""

    signal: Signal
    flags: int
    sequence: int
    word: int
    buffer: Buffer


def shown(counters: Counters, signal: Signal) -> int:
    """The 32 bits of that counter. In modelled time the core is never idle, and nothing stalls."""
    values = {
        TOTAL_CYCLES: counters.cycles,
        READS: counters.read // REQUEST_BYTES,
        WRITES: counters.written // REQUEST_BYTES,
    }
    return values.get(signal, 0) % _WRAP
