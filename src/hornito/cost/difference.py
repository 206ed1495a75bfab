# SPDX-License-Identifier: MIT
"""Which of two estimates is shorter, by how much, and does that hold whatever the uncertain figures are?

Two plans on one chip share its figures: a slower bus slows both. So their difference is surer than either of them.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from hornito.cost.demand import Target
from hornito.cost.estimate import Estimate, Range, estimate, total

_NOT_RECORDED = (Target.CPU, Target.COPY)


@dataclass(frozen=True)
class Difference:
    """How much longer the second takes, in seconds (negative: it is faster); ``flips``: what would turn the order
    round, as "memory 30 % lower"."""

    time: Range
    flips: tuple[str, ...]

    def text(self, first: str, second: str) -> str:
        """In one line."""
        # To the microsecond; + 0 makes of -0.0 a plain one.
        gap, low, high = (round(1e3 * one, 3) + 0 for one in (self.time.seconds, self.time.low, self.time.high))
        line = f"{second} - {first}: {gap:+.3f} ms ({low:+.3f} .. {high:+.3f})"
        if not gap:
            return f"{line}; neither is faster"
        shorter = second if self.time.seconds < 0 else first
        held = "; no longer with " + ", ".join(self.flips) if self.flips else ", also with any figure 30 % off"
        return f"{line}; {shorter} is faster{held}"

    def as_json(self) -> dict[str, Any]:
        return {**self.time.as_json(), "flips": list(self.flips)}


@dataclass(frozen=True)
class Compared:
    """Two estimates of what both have; ``left_out``: what the other had nothing of, as a recording of the CPU's."""

    one: Estimate
    other: Estimate
    left_out: tuple[Target, ...]


def comparable(one: Estimate, other: Estimate) -> Compared:
    """A recording has no step of the CPU's: beside one, a plan is compared without them."""
    if one.demand.recorded == other.demand.recorded:
        return Compared(one, other, ())
    plan = other if one.demand.recorded else one
    left_out = tuple(target for target in _NOT_RECORDED if any(cost.item.target is target for cost in plan.costs))
    return Compared(_without(one, left_out), _without(other, left_out), left_out)


def _without(whole: Estimate, targets: tuple[Target, ...]) -> Estimate:
    kept = tuple(item for item in whole.demand.items if item.target not in targets)
    if len(kept) == len(whole.demand.items):
        return whole
    return estimate(dataclasses.replace(whole.demand, items=kept, on_chip=()), whole.chip, whole.timing)


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
