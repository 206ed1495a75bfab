# SPDX-License-Identifier: MIT
"""How long do jobs take that run at the same time, on the NN unit and the TP cores?

Each unit does its own one after the other. All share the memory bus, so nothing ends before it has moved all bytes.
"""

from collections.abc import Sequence

from hornito.cost.demand import Item, Target
from hornito.cost.duration import Parts


class Overlap:
    """Jobs between two stalls of the front end; ``seconds`` until the last has ended."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._busy: dict[str, float] = {}
        self._memory = 0.0

    def add(self, unit: str, parts: Parts) -> float:
        """One more job; gives by how many seconds the end moves."""
        self._busy[unit] = self._busy.get(unit, 0.0) + parts.seconds
        self._memory += parts.memory
        before, self.seconds = self.seconds, max(self._memory, *self._busy.values())
        return self.seconds - before


def elapsed(items: Sequence[Item], parts: Sequence[Parts], stall: float) -> float:
    """Seconds from the first item's beginning to the last one's end; ``stall``: what each wait for the units costs."""
    total = 0.0
    wave, overlap = None, Overlap()
    for item, own in zip(items, parts, strict=True):
        if item.wave is None or item.target not in (Target.NN, Target.TP):
            total += own.seconds
            continue
        if item.wave != wave:
            if wave is not None and wave[0] == item.wave[0]:
                total += stall
            wave, overlap = item.wave, Overlap()
        total += overlap.add(item.target.value, own)
    return total
