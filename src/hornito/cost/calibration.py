# SPDX-License-Identifier: MIT
"""What do measured jobs of one board say of its chip's figures?

Figures start where ``hornito.hardware.timing`` has them, each as uncertain as it says there, and go where measurements
pull them: the most probable ones of a Gauss-Newton fit in logarithms, outliers with less weight (Huber). A figure that
the jobs say nothing of stays what it was, range included.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.bits import Confidence
from hornito.cost.duration import rates
from hornito.cost.work import Work
from hornito.hardware.chips import Chip
from hornito.hardware.timing import Figure, Timing, timing_of

FITTED = ("spatial", "pointwise", "idle", "memory", "move", "job", "submission")
_FEWEST = 20  # measurements
_STEPS = 30
_HUBER = 1.5  # standard deviations from which a measurement counts less
_LEAST_NOISE = 0.05  # of a measurement, relative
_NUDGE = 1e-3
_USUAL_ERROR = 1.15  # of whole networks that the figures were not fitted to, on the chips of which some are known
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One job that was a submission of its own, and how long that took in seconds."""

    work: Work
    seconds: float


@dataclass(frozen=True)
class Calibration:
    """A board's own figures. ``off_by``: how far jobs typically are from the model with them, relative;
    ``changed``: which figures the measurements settled."""

    chip: str
    source: str
    timing: Timing
    jobs: int
    off_by: float
    changed: tuple[str, ...]

    def text(self) -> str:
        """In one line."""
        which = ", ".join(self.changed) or "nothing"
        return (
            f"calibrated by {self.jobs} jobs of {self.source}, which settle {which}; typically off by {self.off_by:.0%}"
        )


def calibrate(measured: Sequence[Measured], chip: Chip, source: str) -> Calibration:
    """Fit a chip's figures to measurements of a board. Raises ValueError for too few."""
    if len(measured) < _FEWEST:
        raise ValueError(f"{source}: has {len(measured)} timed jobs; a calibration takes at least {_FEWEST}")
    start = timing_of(chip)
    spread = np.array([math.log(max(getattr(start, name).factor, 1.01)) for name in FITTED])
    times = np.log([max(job.seconds, 1e-9) for job in measured])
    moved = np.zeros(len(FITTED))
    noise = 0.3
    weights = np.ones(len(measured))
    for _ in range(_STEPS):
        base = _predict(measured, chip, start, moved)
        slopes = np.stack(
            [(_predict(measured, chip, start, moved + _NUDGE * unit) - base) / _NUDGE for unit in np.eye(len(FITTED))],
            axis=1,
        )
        off = times - base
        noise = max(float(np.median(np.abs(off))) / 0.6745, _LEAST_NOISE)
        weights = np.minimum(1.0, _HUBER * noise / np.maximum(np.abs(off), 1e-12))
        precision = (slopes * weights[:, None]).T @ slopes / noise**2 + np.diag(1 / spread**2)
        step = np.linalg.solve(precision, slopes.T @ (weights * off) / noise**2 - moved / spread**2)
        moved = moved + np.clip(step, -1.0, 1.0)
        if float(np.abs(step).max()) < 1e-4:
            break
    width = np.sqrt(np.diag(np.linalg.inv(precision)))
    fitted = {
        name: _figure(getattr(start, name), by, own, source)
        for name, by, own, before in zip(FITTED, moved, width, spread, strict=True)
        if own < 0.8 * before
    }
    # Whole networks are no better known for it: a board's jobs may fit well, and be small.
    factor = max(1 + noise, min(start.model.factor, _USUAL_ERROR))
    model = Figure(1.0, f"jobs of {source} are off by {noise:.0%}, whole networks more", Confidence.INFERRED, factor)
    timing = dataclasses.replace(start, model=model, **fitted)
    return Calibration(chip.name, source, timing, len(measured), noise, tuple(fitted))


def _predict(measured: Sequence[Measured], chip: Chip, start: Timing, moved: Vector) -> Vector:
    """Logarithms of the modelled seconds."""
    timing = start.scaled({name: math.exp(by) for name, by in zip(FITTED, moved, strict=True)})
    own = rates(timing, chip)
    once = timing.submission.value
    return np.log([once + own.duration(job.work) for job in measured])


def _figure(before: Figure, by: float, width: float, source: str) -> Figure:
    return Figure(before.value * math.exp(by), f"fitted to {source}", Confidence.INFERRED, math.exp(width))
