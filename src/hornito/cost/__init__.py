# SPDX-License-Identifier: MIT
"""What jobs must do and move, and how long that takes."""

from hornito.cost.duration import Bound, Parts, Rates, duration, rates, rates_of
from hornito.cost.work import Tiling, Work, move_work, nn_work, side_by_side, tiling_of

__all__ = [
    "Bound",
    "Parts",
    "Rates",
    "Tiling",
    "Work",
    "duration",
    "move_work",
    "nn_work",
    "rates",
    "rates_of",
    "side_by_side",
    "tiling_of",
]
