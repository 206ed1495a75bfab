# SPDX-License-Identifier: MIT
"""What jobs must do and move, and how long that takes."""

from hornito.cost.calibration import Calibration, Measured, calibrate
from hornito.cost.columns import as_json, columns
from hornito.cost.demand import Choices, Demand, Item, Target, TensorMemory, choices_of, demand_of
from hornito.cost.difference import Compared, Difference, comparable, difference
from hornito.cost.duration import Bound, Parts, Rates, duration, rates, rates_of
from hornito.cost.estimate import Cost, Estimate, Range, estimate, total
from hornito.cost.overlap import Overlap, elapsed
from hornito.cost.work import Cut, Geometry, Tiling, Work, move_work, nn_work, side_by_side, tiling_of, work_of

__all__ = [
    "Bound",
    "Calibration",
    "Choices",
    "Compared",
    "Cost",
    "Cut",
    "Demand",
    "Difference",
    "Estimate",
    "Geometry",
    "Item",
    "Measured",
    "Overlap",
    "Parts",
    "Range",
    "Rates",
    "Target",
    "TensorMemory",
    "Tiling",
    "Work",
    "as_json",
    "calibrate",
    "choices_of",
    "columns",
    "comparable",
    "demand_of",
    "difference",
    "duration",
    "elapsed",
    "estimate",
    "move_work",
    "nn_work",
    "rates",
    "rates_of",
    "side_by_side",
    "tiling_of",
    "total",
    "work_of",
]
