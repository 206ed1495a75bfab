# SPDX-License-Identifier: MIT
"""What jobs must do and move, and how long that takes."""

from hornito.cost.duration import cycles, duration
from hornito.cost.work import Work, move_work, nn_work

__all__ = ["Work", "cycles", "duration", "move_work", "nn_work"]
