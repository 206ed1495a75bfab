# SPDX-License-Identifier: MIT
"""What jobs must do and move, and how long that takes."""

from hornito.cost.duration import Rates, duration, rates_of
from hornito.cost.work import Work, move_work, nn_work

__all__ = ["Rates", "Work", "duration", "move_work", "nn_work", "rates_of"]
