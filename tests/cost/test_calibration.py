# SPDX-License-Identifier: MIT
"""Does a calibration find the figures of the board that jobs were timed on, and leave alone what they do not show?"""

import dataclasses
import random

import pytest

from hornito.cost import Measured, Work, calibrate, rates
from hornito.hardware.chips import find_chip
from hornito.hardware.timing import Timing, timing_of

A311D = find_chip("a311d")


def works() -> list[Work]:
    """Jobs of all kinds, from some that are all overhead to some of milliseconds."""
    found = []
    for size in (1, 10, 100, 1000, 10_000):
        for _ in range(4):
            found.append(Work(macs=400_000 * size, lane_macs=400_000 * size, read=10 * size))
            found.append(Work(macs=200_000 * size, lane_macs=800_000 * size, read=10 * size))
            found.append(Work(read=2000 * size, written=1000 * size))
            found.append(Work(read=100 * size, written=100 * size, moved=1000 * size))
    return found


def timed(board: Timing, noise: float = 0.0) -> list[Measured]:
    own, dice = rates(board, A311D), random.Random(1)
    return [
        Measured(work, (board.submission.value + own.duration(work)) * (1 + noise * dice.uniform(-1, 1)))
        for work in works()
    ]


BOARD = timing_of(A311D).scaled({"memory": 0.6, "submission": 1.8, "idle": 2.0, "move": 0.5})


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_board_s_figures_are_found(noise: float) -> None:
    found = calibrate(timed(BOARD, noise), A311D, "report.zip")
    assert {"memory", "submission", "idle", "move"} <= set(found.changed)
    for name in ("memory", "submission", "idle", "move"):
        figure, right = getattr(found.timing, name), getattr(BOARD, name).value
        assert figure.value == pytest.approx(right, rel=0.03 + noise), name
        assert figure.factor < getattr(timing_of(A311D), name).factor
        assert figure.source == "fitted to report.zip"
    assert found.off_by < 0.06 + noise


def test_what_jobs_do_not_show_stays_as_it_was() -> None:
    found = calibrate(timed(BOARD), A311D, "report.zip")
    start = timing_of(A311D)
    for name in ("clock", "crossing", "cpu_macs", "cpu_elements", "pointwise"):
        assert getattr(found.timing, name) == getattr(start, name)


def test_a_few_jobs_that_were_disturbed_do_not_count_for_much() -> None:
    measured = timed(BOARD)
    for number in range(0, len(measured), 10):
        measured[number] = dataclasses.replace(measured[number], seconds=20 * measured[number].seconds)
    found = calibrate(measured, A311D, "report.zip")
    assert found.timing.memory.value == pytest.approx(BOARD.memory.value, rel=0.1)


def test_too_few_jobs_are_refused() -> None:
    with pytest.raises(ValueError, match="report.zip: has 3 timed jobs; a calibration takes at least 20"):
        calibrate(timed(BOARD)[:3], A311D, "report.zip")
