# SPDX-License-Identifier: MIT
"""How long does a job take on a chip? The longest of computing, moving over the bus and moving in the TP cores, which
overlap; and what each job costs besides.

The figures are ``hornito.hardware.timing``'s or a board's own; docs/performance.md says how well they fit.
"""

import enum
import functools
from dataclasses import dataclass

from hornito.cost.work import Work
from hornito.hardware.chips import Chip
from hornito.hardware.timing import SRAM_BYTES, Timing, timing_of


class Bound(enum.StrEnum):
    """What a job's time is spent on."""

    MAC = "MAC"
    DDR = "DDR"
    MOVE = "TP"
    OVERHEAD = "overhead"
    CPU = "CPU"


@dataclass(frozen=True)
class Parts:
    """Seconds of one job. The first three overlap; ``overhead`` does not."""

    computing: float
    memory: float
    moving: float
    overhead: float

    @property
    def seconds(self) -> float:
        return max(self.computing, self.memory, self.moving) + self.overhead

    @property
    def bound(self) -> Bound:
        """The largest part."""
        named = {
            Bound.MAC: self.computing,
            Bound.DDR: self.memory,
            Bound.MOVE: self.moving,
            Bound.OVERHEAD: self.overhead,
        }
        return max(named, key=lambda name: named[name])


@dataclass(frozen=True)
class Rates:
    """Of a chip, in units a second: multiply-accumulates of all NN cores together, ``bytes`` over the bus, ``moved``
    elements of one TP core, bytes of the SRAM; ``idle``: the share of idle lanes' time that is lost; ``job``: seconds
    that each job costs besides."""

    clock: float
    spatial: float
    pointwise: float
    idle: float
    bytes: float
    moved: float
    sram: float
    job: float

    def duration(self, work: Work) -> float:
        """Seconds that one job takes, modelled."""
        computing, memory, moving = self._overlapping(work)
        return max(computing, memory, moving) + self.job

    def parts(self, work: Work) -> Parts:
        """The same, with what it is spent on."""
        return Parts(*self._overlapping(work), self.job)

    def _overlapping(self, work: Work) -> tuple[float, float, float]:
        pointwise = work.pointwise_macs
        spatial = work.macs - pointwise
        if work.lane_macs:
            pointwise_idle = work.pointwise_lane_macs - pointwise
            computing = (spatial + self.idle * (work.lane_macs - work.macs - pointwise_idle)) / self.spatial
            computing += (pointwise + self.idle * pointwise_idle) / self.pointwise
        else:
            computing = spatial / self.spatial + pointwise / self.pointwise
        return computing, (work.read + work.written) / self.bytes, work.moved / self.moved

    def cycles(self, seconds: float) -> int:
        """The same in cycles of the chip's clock."""
        return round(seconds * self.clock)


def rates(timing: Timing, chip: Chip) -> Rates:
    """The rates that a chip's timing comes to."""
    clock = timing.clock.value
    cores = chip.nn_cores * clock
    return Rates(
        clock,
        timing.spatial.value * cores,
        timing.pointwise.value * cores,
        timing.idle.value,
        timing.memory.value * clock,
        timing.move.value * clock,
        SRAM_BYTES.value * clock,
        timing.job.value,
    )


@functools.lru_cache(maxsize=64)
def rates_of(chip: Chip) -> Rates:
    """From what is known of the chip."""
    return rates(timing_of(chip), chip)


def duration(work: Work, chip: Chip) -> float:
    """Seconds that one job takes on a chip, modelled."""
    return rates_of(chip).duration(work)
