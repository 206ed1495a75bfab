# SPDX-License-Identifier: MIT
"""How does a tile lie on an NN core's multipliers? Rows of narrow tiles share a line of 64.

Source: databook, nn-descriptor.md ("Tiling"): the interleave that the reference driver reckons with, replayed. That a
line of an accumulator and the 64 multipliers of a core are the same thing is inferred: an accumulator holds the rows of
``interleave`` lines of one kernel, and no tile is wider than 64. That what the reference driver never exceeds are the
unit's limits (rows of the input buffer, kernels in the accumulators) is inferred as well.
"""

import math

from hornito.hardware.chips import Chip

LANES = 64  # multipliers of a core, and pixels of a line


def interleave(nn_version: int, width: int, kernel_columns: int) -> int:
    """How many rows of a tile of that width share a line. The narrowest of version 7 get the smaller number; so it was
    replayed."""
    extent = kernel_columns - 1 + width
    if extent > 36:
        return 1
    if nn_version >= 8:
        base = 1 if width > 32 else 2 if width > 16 else 4
        return min(base, 2) if extent > 18 else base
    base = 1 if width > 32 else 2 if width > 16 else 4 if width > 8 else 8
    return min(base, 4) if extent > 18 else min(base, 2)


def most_rows(chip: Chip, shared: int, kernel_rows: int) -> int:
    """Rows of the highest tile: the input buffer holds those that it sees, ``shared`` of them a line, and the
    accumulators those that it has. 0 where not even the kernel's own rows fit."""
    seen = chip.input_depth * shared - kernel_rows + 1
    return max(min(seen, shared * chip.accumulator_depth), 0)


def most_kernels(chip: Chip, kernel_rows: int, tile: tuple[int, int], shared: int, stride: int) -> int:
    """Kernels of which a core's accumulators hold a tile (columns, rows) at a time."""
    width, height = tile
    depth = chip.accumulator_depth
    if chip.nn_version == 7:
        most = depth * shared // height
        return min(most, depth // 3) if kernel_rows == 1 else most
    if kernel_rows == 1:
        most = depth // math.ceil(height / shared)
    else:
        lines = math.ceil(math.ceil(height * width / stride) / LANES)
        most = depth // (lines * stride)
    return min(most, depth * 6 // 9)
