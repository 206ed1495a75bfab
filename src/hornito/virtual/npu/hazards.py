# SPDX-License-Identifier: MIT
"""Do jobs that may run at the same time keep out of each other's memory?

In parallel mode nothing orders the jobs between two waits of the front end, not even those of one unit. Where one
writes what another reads or writes, silicon may give anything; the model runs them in order and says so. The reference
driver submits such jobs when it is asked for that mode, which its authors call unsafe (databook, command-stream.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

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

    def found(self, number: int, wave: int, footprint: Footprint) -> str | None:
        """Job ``number`` is about to begin: how an earlier one that may still run is in its way, None if none is."""
        if wave != self._wave:
            self._wave, self._jobs = wave, []
        before = self._jobs
        self._jobs = [*before, (number, footprint)]
        for other, earlier in before:
            for verbs, mine, theirs in (
                ("reads what job {} writes", footprint.reads, earlier.writes),
                ("writes what job {} reads", footprint.writes, earlier.reads),
                ("writes what job {} writes", footprint.writes, earlier.writes),
            ):
                address = _meeting(mine, theirs)
                if address is not None:
                    what = verbs.format(other)
                    return f"job {number} {what}, at {address:#010x}, in parallel mode with no stall between them"
        return None


def _meeting(some: Sequence[Stretch], others: Sequence[Stretch]) -> int | None:
    """The first address that two lists of stretches share, or None."""
    for start, end in some:
        for first, last in others:
            if start < last and first < end:
                return max(start, first)
    return None
