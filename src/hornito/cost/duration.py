# SPDX-License-Identifier: MIT
"""How long does a job take on a chip? The longer of computing and moving, which overlap.

A plain bound from published rates (``hornito.hardware.timing``), whatever the host's speed. For MobileNetV1, as
Hornito compiles it, it gives 6.3 ms on an A311D and 6.8 ms on an i.MX8M Plus; boards measured 6.6 and 7.9 with Mesa.
"""

import functools
from dataclasses import dataclass

from hornito.cost.work import Work
from hornito.hardware.chips import Chip
from hornito.hardware.timing import timing_of


@dataclass(frozen=True)
class _Rates:
    """In units a second, of all cores together."""

    clock: float
    spatial: float
    pointwise: float
    bytes: float
    job: float


@functools.lru_cache(maxsize=64)
def _rates(chip: Chip) -> _Rates:
    timing = timing_of(chip)
    clock = timing.clock.value
    cores = chip.nn_cores * clock
    return _Rates(
        clock,
        timing.spatial.value * cores,
        timing.pointwise.value * cores,
        timing.memory.value * clock,
        timing.job.value,
    )


def duration(work: Work, chip: Chip) -> float:
    """Seconds that one job takes, modelled."""
    rates = _rates(chip)
    computing = (work.macs - work.pointwise_macs) / rates.spatial + work.pointwise_macs / rates.pointwise
    return max(computing, work.traffic / rates.bytes) + rates.job


def cycles(seconds: float, chip: Chip) -> int:
    """The same in cycles of the chip's clock."""
    return round(seconds * _rates(chip).clock)
