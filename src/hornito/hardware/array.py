# SPDX-License-Identifier: MIT
"""How does a tile lie on an NN core's multipliers? Rows of narrow tiles share a line of 64.

Source: databook, nn-descriptor.md ("Tiling"): the interleave that the reference driver reckons with, replayed. That a
line of an accumulator and the 64 multipliers of a core are the same thing is inferred: an accumulator holds the rows of
``interleave`` lines of one kernel, and no tile is wider than 64.
"""

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
