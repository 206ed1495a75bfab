# SPDX-License-Identifier: MIT
"""RESIZE_NEAREST_NEIGHBOR: strided copies by TP, one for each place that a repeating pattern of pixels has.

Source: TFLite's reference kernel (resize_nearest_neighbor.h): which pixel is nearest, in float32.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.compiler.operators import strided
from hornito.compiler.operators.strided import Walks
from hornito.compiler.rules import Candidate, Rule, shapes
from hornito.compiler.segment import Segment, Steps
from hornito.compiler.tasks import Loop, Walk
from hornito.model.graph import ResizeOptions, Tensor


@dataclass(frozen=True)
class _Comb:
    """Elements ``target``, ``target + period``, ... of the result: elements ``source``, ``source + step``, ..."""

    target: int
    period: int
    count: int
    source: int
    step: int


def _options(c: Candidate) -> ResizeOptions:
    options = c.operator.options
    return options if isinstance(options, ResizeOptions) else ResizeOptions()


def _nearest(length: int, size: int, options: ResizeOptions) -> NDArray[np.int64]:
    """The element of ``length`` for each of ``size``."""
    aligned = options.align_corners and size > 1
    scale = np.float32(length - 1) / np.float32(size - 1) if aligned else np.float32(length) / np.float32(size)
    offset = np.float32(0.5 if options.half_pixel_centers else 0.0)
    places = (np.arange(size, dtype=np.float32) + offset) * scale
    # Halves away from zero, as roundf has them.
    found = np.floor(places + np.float32(0.5)) if options.align_corners else np.floor(places)
    return np.asarray(np.clip(found.astype(np.int64), 0, length - 1))


def _combs(nearest: NDArray[np.int64]) -> list[_Comb]:
    """The fewest combs that an axis falls into."""
    size = len(nearest)
    for period in range(1, size):
        steps = np.unique(nearest[period:] - nearest[:-period])
        if len(steps) == 1 and steps[0] > 0:
            counts = [len(range(first, size, period)) for first in range(period)]
            return [
                _Comb(first, period, count, int(nearest[first]), int(steps[0])) for first, count in enumerate(counts)
            ]
    return [_Comb(first, 1, 1, int(place), 1) for first, place in enumerate(nearest)]


def _walks(c: Candidate, target: Tensor) -> Walks:
    rows, columns = (_combs(_nearest(c.source.shape[axis], target.shape[axis], _options(c))) for axis in (1, 2))

    def walks(before: Steps, after: Steps) -> tuple[Walk, ...]:
        return tuple(
            Walk(
                down.source * before[1] + across.source * before[2],
                down.target * after[1] + across.target * after[2],
                (
                    Loop(target.shape[3], before[3], after[3]),
                    Loop(across.count, across.step * before[2], across.period * after[2]),
                    Loop(down.count, down.step * before[1], down.period * after[1]),
                ),
            )
            for down in rows
            for across in columns
        )

    return walks


RULES: tuple[Rule, ...] = (
    *strided.basics(),
    Rule(
        "an output with the input's channels",
        lambda c: len(c.source.shape) == len(c.target.shape) == 4 and c.source.shape[3] == c.target.shape[3],
        lambda c: shapes(c.source, c.target),
    ),
    strided.few(_walks),
)


def lower(segment: Segment, c: Candidate) -> None:
    """One move of several walks."""
    strided.move(segment, c, c.source, c.target, _walks(c, c.target))
