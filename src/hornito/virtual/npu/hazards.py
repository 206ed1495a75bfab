# SPDX-License-Identifier: MIT
"""Do jobs that may run at the same time keep out of each other's memory?

In parallel mode nothing orders the jobs between two waits of the front end, not even those of one unit. What they give
where one writes what another reads or writes is nobody's guess, so the model refuses the later one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hornito.virtual.faults import Fault

Stretch = tuple[int, int]  # addresses: first and last + 1


@dataclass(frozen=True)
class Footprint:
    """The stretches of memory that a job reads and writes, gaps within them included."""

    reads: tuple[Stretch, ...]
    writes: tuple[Stretch, ...]


class Hazards:
    """The jobs since the front end last waited."""

    def __init__(self) -> None:
        self._wave = 0
        self._jobs: list[tuple[int, Footprint]] = []

    def check(self, number: int, unit: str, wave: int, footprint: Footprint) -> None:
        """Job ``number`` is about to begin. Raises Fault where an earlier one that may still run is in its way."""
        if wave != self._wave:
            self._wave, self._jobs = wave, []
        for other, earlier in self._jobs:
            for verbs, mine, theirs in (
                ("reads what job {} writes", footprint.reads, earlier.writes),
                ("writes what job {} reads", footprint.writes, earlier.reads),
                ("writes what job {} writes", footprint.writes, earlier.writes),
            ):
                address = _meeting(mine, theirs)
                if address is not None:
                    what = verbs.format(other)
                    text = f"job {number} {what}, at {address:#010x}, in parallel mode with no stall between them"
                    raise Fault(text, unit=unit, job=number, address=address)
        self._jobs.append((number, footprint))


def _meeting(some: Sequence[Stretch], others: Sequence[Stretch]) -> int | None:
    """The first address that two lists of stretches share, or None."""
    for start, end in some:
        for first, last in others:
            if start < last and first < end:
                return max(start, first)
    return None
