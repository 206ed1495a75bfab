# SPDX-License-Identifier: MIT
"""How is a job divided among threads? So that each part of the outputs is one's alone."""

Part = tuple[int, int, int, int]  # outputs from, to; rows (or pixels of a single row) from, to


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
