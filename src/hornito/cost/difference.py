# SPDX-License-Identifier: MIT
"""Which of two estimates is shorter, by how much, and does that hold whatever the uncertain figures are?

Two plans on one chip share its figures: a slower bus slows both. So their difference is surer than either of them.
"""

import math
from dataclasses import dataclass

from hornito.cost.estimate import Estimate, Range, total


@dataclass(frozen=True)
class Difference:
    """How much longer the second takes, in seconds (negative: it is faster); ``flips``: what would turn the order
    round, as "memory 30 % lower"."""

    time: Range
    flips: tuple[str, ...]

    def text(self, first: str, second: str) -> str:
        """In one line."""
        low, high = 1e3 * self.time.low, 1e3 * self.time.high
        line = f"{second} - {first}: {1e3 * self.time.seconds:+.3f} ms ({low:+.3f} .. {high:+.3f})"
        if not self.time.seconds:
            return line
        shorter = second if self.time.seconds < 0 else first
        held = "; no longer with " + ", ".join(self.flips) if self.flips else ", also with any figure 30 % off"
        return f"{line}; {shorter} is faster{held}"


def difference(one: Estimate, other: Estimate, by: float = 0.3) -> Difference:
    """The difference of two estimates; figures that both have in common move in both together."""
    shared = one.timing == other.timing and one.chip == other.chip
    gap = other.total.seconds - one.total.seconds
    down = up = _model_error(one, other, shared, gap)
    flips = []
    for name, figure in one.timing.figures().items():
        if name == "model":
            continue
        low, high = (_moved(one, other, name, factor, shared) for factor in (1 / figure.factor, figure.factor))
        for pair in zip(low, high, strict=True):
            down += (gap - min(*pair, gap)) ** 2
            up += (max(*pair, gap) - gap) ** 2
        for factor, word in ((1 - by, "lower"), (1 + by, "higher")):
            if any(moved * gap < 0 for moved in _moved(one, other, name, factor, shared)):
                flips.append(f"{name} {100 * by:.0f} % {word}")
    return Difference(Range(gap, gap - math.sqrt(down), gap + math.sqrt(up)), tuple(flips))


def _moved(one: Estimate, other: Estimate, name: str, factor: float, shared: bool) -> list[float]:
    """The gap with that figure moved: in both, or in one after the other."""
    first = total(one.demand.items, one.chip, one.timing.scaled({name: factor}))
    second = total(other.demand.items, other.chip, other.timing.scaled({name: factor}))
    if shared:
        return [second - first]
    return [second - one.total.seconds, other.total.seconds - first]


def _model_error(one: Estimate, other: Estimate, shared: bool, gap: float) -> float:
    """What the model itself may be off, squared: for one chip a share of the gap, for two of each time."""
    if shared:
        return (gap * (one.timing.model.factor - 1)) ** 2
    return sum((each.total.seconds * (each.timing.model.factor - 1)) ** 2 for each in (one, other))
