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
class Rates:
    """Of a chip, in units a second, all cores together; ``job``: seconds that each job costs besides."""

    clock: float
    spatial: float
    pointwise: float
    bytes: float
    job: float

    def duration(self, work: Work) -> float:
        """Seconds that one job takes, modelled."""
        computing = (work.macs - work.pointwise_macs) / self.spatial + work.pointwise_macs / self.pointwise
        return max(computing, work.traffic / self.bytes) + self.job

    def cycles(self, seconds: float) -> int:
        """The same in cycles of the chip's clock."""
        return round(seconds * self.clock)


@functools.lru_cache(maxsize=64)
def rates_of(chip: Chip) -> Rates:
    """From what is known of the chip."""
    timing = timing_of(chip)
    clock = timing.clock.value
    cores = chip.nn_cores * clock
    return Rates(
        clock,
        timing.spatial.value * cores,
        timing.pointwise.value * cores,
        timing.memory.value * clock,
        timing.job.value,
    )


def duration(work: Work, chip: Chip) -> float:
    """Seconds that one job takes on a chip, modelled."""
    return rates_of(chip).duration(work)
