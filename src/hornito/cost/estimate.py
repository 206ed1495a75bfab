# SPDX-License-Identifier: MIT
"""How long does an inference take on a chip, how sure is that, and what does it hang on?

A range is what two thirds of the truth should lie in: every figure of the chip's timing is moved to both ends of its
own range, and what the total then does is added up in squares, as of figures that are wrong independently.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hornito.cost.demand import Demand, Item, Target
from hornito.cost.duration import Bound, Parts, Rates, rates
from hornito.cost.overlap import elapsed
from hornito.cost.work import Work
from hornito.hardware.chips import Chip
from hornito.hardware.timing import Timing, timing_of

_NOT_VARIED = frozenset({"model"})  # counts as a whole


@dataclass(frozen=True)
class Range:
    """Seconds: the estimate, and the ends of its range."""

    seconds: float
    low: float
    high: float

    def text(self) -> str:
        """For a person, in milliseconds."""
        return f"{_ms(self.seconds)} ms ({_ms(self.low)} .. {_ms(self.high)})"

    def as_json(self) -> dict[str, float]:
        return {"ms": 1e3 * self.seconds, "low_ms": 1e3 * self.low, "high_ms": 1e3 * self.high}


def _ms(seconds: float) -> str:
    value = 1e3 * seconds
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


@dataclass(frozen=True)
class Cost:
    """An item's time. ``utilisation``: multiply-accumulates that it is given over those that the array could have done
    meanwhile; 0 for what is no NN job."""

    item: Item
    parts: Parts
    time: Range
    bound: Bound
    utilisation: float


@dataclass(frozen=True)
class Estimate:
    """An inference's time on ``chip``. ``timing``: the figures that it rests on."""

    demand: Demand
    chip: Chip
    timing: Timing
    costs: tuple[Cost, ...]
    total: Range

    @cached_property
    def by_target(self) -> dict[Target, float]:
        """Seconds."""
        return {
            target: sum(cost.time.seconds for cost in self.costs if cost.item.target is target) for target in Target
        }

    @cached_property
    def by_bound(self) -> dict[Bound, float]:
        """Seconds of the items that each bound limits."""
        return {bound: sum(cost.time.seconds for cost in self.costs if cost.bound is bound) for bound in Bound}

    @property
    def saved(self) -> float:
        """Seconds by which jobs that run at the same time make the total shorter than the sum of all."""
        return sum(cost.time.seconds for cost in self.costs) - self.total.seconds

    @property
    def bound(self) -> Bound:
        """What most of the time is spent on."""
        return max(self.by_bound, key=lambda bound: self.by_bound[bound])

    @property
    def npu_seconds(self) -> float:
        return self.by_target[Target.NN] + self.by_target[Target.TP]

    @property
    def utilisation(self) -> float:
        """Of the array's highest rate, over the time of all jobs."""
        peak = rates(self.timing, self.chip).spatial * self.npu_seconds
        return self.work.macs / peak if peak else 0.0

    @cached_property
    def work(self) -> Work:
        """Of all jobs together."""
        return sum((cost.item.work for cost in self.costs), Work())

    @property
    def peak_memory(self) -> int:
        """Bytes of the NPU's buffers; none is given back or shared before the inference ends."""
        return sum(self.demand.memory.values())

    @property
    def on_chip(self) -> Range | None:
        """The total if tensors stayed in on-chip memory between jobs, None where that would bring nothing."""
        items = self.demand.on_chip
        if not items:
            return None
        return estimate(dataclasses.replace(self.demand, items=items, on_chip=()), self.chip, self.timing).total

    def sensitivity(self, by: float = 0.3) -> dict[str, tuple[float, float]]:
        """The total in seconds with one figure ``by`` (a share) lower, and higher, the others as they are."""
        found = {}
        for name in self.timing.figures():
            if name not in _NOT_VARIED:
                ends = [self.timing.scaled({name: factor}) for factor in (1 - by, 1 + by)]
                low, high = (total(self.demand.items, self.chip, timing) for timing in ends)
                found[name] = (low, high)
        return found


class Clockwork:
    """Times of items by one set of figures."""

    def __init__(self, timing: Timing, chip: Chip) -> None:
        self.rates: Rates = rates(timing, chip)
        self._timing = timing

    def parts(self, item: Item) -> Parts:
        """What an item's time is spent on; what the CPU and the kernel do is overhead to the NPU."""
        timing = self._timing
        match item.target:
            case Target.NN | Target.TP:
                return self.rates.parts(item.work)
            case Target.CPU if item.real_macs:
                return Parts(0, 0, 0, item.real_macs / timing.cpu_macs.value)
            case Target.CPU:
                return Parts(0, 0, 0, item.elements / timing.cpu_elements.value)
            case Target.COPY:
                return Parts(0, 0, 0, item.bytes / timing.crossing.value)
            case Target.SUBMIT:
                return Parts(0, 0, 0, timing.submission.value)


def estimate(demand: Demand, chip: Chip, timing: Timing | None = None) -> Estimate:
    """An inference's time on a chip, by the figures known of it or by a board's own."""
    timing = timing or timing_of(chip)
    parts, ends = _variations(demand.items, chip, timing)
    rest = timing.model.factor - 1
    costs = []
    clock = Clockwork(timing, chip)
    for number, (item, own) in enumerate(zip(demand.items, parts, strict=True)):
        time = _range(
            own.seconds, [(low.parts[number].seconds, high.parts[number].seconds) for low, high in ends], rest
        )
        npu = item.target in (Target.NN, Target.TP)
        bound = own.bound if npu else Bound.CPU if item.target is not Target.SUBMIT else Bound.OVERHEAD
        peak = clock.rates.spatial * own.seconds
        costs.append(Cost(item, own, time, bound, item.work.macs / peak if peak else 0.0))
    whole = elapsed(demand.items, parts, timing.stall.value)
    total = _range(whole, [(low.total, high.total) for low, high in ends], rest)
    return Estimate(demand, chip, timing, tuple(costs), total)


@dataclass(frozen=True)
class _Variation:
    """What items take by other figures, and all of them in seconds."""

    parts: list[Parts]
    total: float


def _variations(
    items: Sequence[Item], chip: Chip, timing: Timing
) -> tuple[list[Parts], list[tuple[_Variation, _Variation]]]:
    """The items' times; and for each figure the same at both ends of its range."""
    ends = []
    for name, figure in timing.figures().items():
        if name in _NOT_VARIED or figure.factor == 1.0:
            continue
        low, high = (_variation(items, chip, timing.scaled({name: by})) for by in (1 / figure.factor, figure.factor))
        ends.append((low, high))
    return _variation(items, chip, timing).parts, ends


def _variation(items: Sequence[Item], chip: Chip, timing: Timing) -> _Variation:
    clock = Clockwork(timing, chip)
    parts = [clock.parts(item) for item in items]
    return _Variation(parts, elapsed(items, parts, timing.stall.value))


def _range(seconds: float, ends: Sequence[tuple[float, float]], rest: float) -> Range:
    down = up = 0.0
    for pair in ends:
        down += (seconds - min(*pair, seconds)) ** 2
        up += (max(*pair, seconds) - seconds) ** 2
    up += (seconds * rest) ** 2
    down += (seconds * rest / (1 + rest)) ** 2
    return Range(seconds, max(seconds - math.sqrt(down), 0.0), seconds + math.sqrt(up))


def total(items: Sequence[Item], chip: Chip, timing: Timing) -> float:
    """Seconds of all of them, without a range: for comparing sets of figures."""
    return _variation(items, chip, timing).total
