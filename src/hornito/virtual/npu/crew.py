# SPDX-License-Identifier: MIT
"""Who does a job's work? Threads that share it: each part of the outputs is one's alone."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
Part = tuple[int, int, int, int]  # outputs from, to; rows (or pixels of a single row) from, to


class Crew:
    """So many threads, the caller's among them. The others start with the first work for them."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers - 1, "hornito-npu") if workers > 1 else None

    def map(self, shares: Sequence[Callable[[], T]]) -> list[T]:
        """What each share of the work gives. Raises what one raises, once all have ended."""
        if self._pool is None:
            return [share() for share in shares]
        others = [self._pool.submit(share) for share in shares[1:]]
        try:
            first = shares[0]()
        finally:
            for other in others:
                other.exception()
        return [first, *(other.result() for other in others)]

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()


ALONE = Crew()


def divided(workers: int, outputs: tuple[int, int], rows: tuple[int, int]) -> list[Part]:
    """All outputs and all rows, divided among ``workers`` at most.

    Each pair is a number, and of what the shares must be multiples (but for the last one). Rows are divided rather than
    outputs where there are enough: so no two look at the same input.
    """
    (all_outputs, unit), (all_rows, step) = outputs, rows
    shares = -(-all_rows // step)
    if workers > 1 and shares >= 4 * workers:
        edges = [min(all_rows, shares * number // workers * step) for number in range(workers + 1)]
        return [(0, all_outputs, begin, end) for begin, end in zip(edges, edges[1:], strict=False)]
    blocks = -(-all_outputs // unit)
    workers = max(1, min(workers, blocks))
    edges = [min(all_outputs, blocks * number // workers * unit) for number in range(workers + 1)]
    return [(begin, end, 0, all_rows) for begin, end in zip(edges, edges[1:], strict=False)]
