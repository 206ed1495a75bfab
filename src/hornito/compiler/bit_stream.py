# SPDX-License-Identifier: MIT
"""How do values of any length become one stream of bits? Least significant bit first, all at once."""

import numpy as np
from numpy.typing import NDArray


def scatter(at: NDArray[np.int64], what: NDArray[np.integer], size: int) -> NDArray[np.uint8]:
    """``size`` bytes (a multiple of 4) in which each of the values ``what`` (of up to 32 bits) begins at bit ``at``.

    The values' bits must be disjoint; all other bits are 0. Ascending places are the fast ones.
    """
    if (at[1:] < at[:-1]).any():
        order = np.argsort(at, kind="stable")
        at, what = at[order], what[order]
    word = at >> 5
    value = what.astype(np.uint64) << (at & 31).astype(np.uint64)
    found = np.zeros(size // 4 + 1, np.uint32)
    if len(at):
        # Disjoint bits add up without carry. Of those that begin in a word only the last reaches into the next.
        firsts = np.flatnonzero(np.concatenate([[True], word[1:] != word[:-1]]))
        found[word[firsts]] = np.add.reduceat(value, firsts) & np.uint64(0xFFFFFFFF)
        over = np.flatnonzero(value >> np.uint64(32))
        found[word[over] + 1] |= (value[over] >> np.uint64(32)).astype(np.uint32)
    return found[: size // 4].astype("<u4").view(np.uint8)
