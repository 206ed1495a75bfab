# SPDX-License-Identifier: MIT
"""Where in one stretch of memory do tensors lie whose lifetimes differ, so that it is short?

Several orders of placing them are tried, each tensor going to the tightest gap between those that live at the same
time; the shortest result wins, the first of several. No result can be shorter than the most bytes that live at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

ALIGNMENT = 64  # bytes: the unit of the descriptors' circular buffers; image addresses themselves may be any


@dataclass(frozen=True)
class Block:
    """``size`` bytes that hold something from step ``first`` to step ``last``, both included. Two blocks may share
    memory where no step is in both."""

    number: int
    size: int
    first: int
    last: int

    def meets(self, other: "Block") -> bool:
        """Is there a step at which both hold something?"""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Arena:
    """``offsets`` of the blocks by number; ``size`` in bytes of the whole; ``least``: the most bytes, aligned, that
    live at one step, below which no placement can go."""

    offsets: dict[int, int]
    size: int
    least: int


def aligned(size: int) -> int:
    """The next multiple of ``ALIGNMENT``."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def arrange(blocks: Sequence[Block]) -> Arena:
    """Give every block a place. Deterministic: blocks that are alike go by their numbers."""
    least = live_bytes(blocks)
    best: dict[int, int] | None = None
    size = 0
    for order in _ORDERS:
        offsets = _placed(sorted(blocks, key=order))
        own = max((offsets[block.number] + aligned(block.size) for block in blocks), default=0)
        if best is None or own < size:
            best, size = offsets, own
        if size == least:
            break
    return Arena(best or {}, size, least)


def live_bytes(blocks: Sequence[Block]) -> int:
    """The most bytes that live at one step."""
    steps = sorted({block.first for block in blocks})
    return max((sum(aligned(b.size) for b in blocks if b.first <= step <= b.last) for step in steps), default=0)


def _placed(blocks: Sequence[Block]) -> dict[int, int]:
    offsets: dict[int, int] = {}
    done: list[Block] = []
    for block in blocks:
        taken = sorted((offsets[other.number], aligned(other.size)) for other in done if other.meets(block))
        offsets[block.number] = _tightest_gap(taken, aligned(block.size))
        done.append(block)
    return offsets


def _tightest_gap(taken: Sequence[tuple[int, int]], size: int) -> int:
    """The offset of the smallest gap between stretches (offset, size; ascending) that holds ``size``, or behind all."""
    best: tuple[int, int] | None = None
    end = 0
    for offset, length in taken:
        gap = offset - end
        if gap >= size and (best is None or gap < best[0]):
            best = gap, end
        end = max(end, offset + length)
    return end if best is None else best[1]


_ORDERS: tuple[Callable[[Block], tuple[int, ...]], ...] = (
    lambda b: (-b.size, b.first, b.number),
    lambda b: (-b.size * (b.last - b.first + 1), b.first, b.number),
    lambda b: (-(b.last - b.first), -b.size, b.number),
    lambda b: (b.first, -b.size, b.number),
    lambda b: (b.last, -b.size, b.number),
    lambda b: (-b.last, -b.size, b.number),
)
