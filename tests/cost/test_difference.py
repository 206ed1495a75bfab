# SPDX-License-Identifier: MIT
"""Is the difference of two estimates surer than they are, where they share what is uncertain?"""

import dataclasses
import math

import pytest

from hornito.cost import Demand, Estimate, Item, Target, Work, difference, estimate
from hornito.hardware.chips import find_chip
from hornito.hardware.timing import Figure
from tests.cost.test_estimate import INVENTED

A311D, IMX8MP = find_chip("a311d"), find_chip("imx8mp")
SLOW_BUS = dataclasses.replace(INVENTED, memory=Figure(4.0, "invented", factor=2.0))  # 4 MB a second, or 2, or 8


def of(*works: Work, chip: object = A311D) -> Estimate:
    items = tuple(Item(Target.NN, f"Op#{number}", "CONV_2D", work) for number, work in enumerate(works))
    return estimate(Demand("by hand", items), chip, SLOW_BUS)  # type: ignore[arg-type]


LONG, SHORT, BUSY = Work(read=40_000), Work(read=36_000), Work(macs=8_400_000, lane_macs=8_400_000)


def test_what_is_shared_moves_in_both() -> None:
    """10 and 9 ms of bytes: 20 and 18 on half the bus, 5 and 4.5 on twice of it."""
    found = difference(of(LONG), of(SHORT))
    assert 1e3 * found.time.seconds == pytest.approx(-1)
    assert (1e3 * found.time.low, 1e3 * found.time.high) == pytest.approx((-2, -0.5))
    assert found.flips == ()
    assert found.text("A", "B") == "B - A: -1.000 ms (-2.000 .. -0.500); B is faster, also with any figure 30 % off"


def test_on_two_chips_each_moves_by_itself() -> None:
    found = difference(of(LONG), of(SHORT, chip=IMX8MP))
    assert 1e3 * (found.time.high - found.time.seconds) == pytest.approx(math.hypot(5, 9))
    assert 1e3 * (found.time.seconds - found.time.low) == pytest.approx(math.hypot(10, 4.5))


def test_figures_that_turn_the_order_round_are_named() -> None:
    """10 ms of bytes against 10.5 of computing."""
    found = difference(of(LONG), of(BUSY))
    assert 1e3 * found.time.seconds == pytest.approx(0.5)
    assert set(found.flips) == {"memory 30 % lower", "spatial 30 % higher"}
    assert "A is faster; no longer with spatial 30 % higher, memory 30 % lower" in found.text("A", "B")


def test_equal_ones_differ_by_nothing() -> None:
    found = difference(of(LONG), of(LONG))
    assert found.time.low == found.time.seconds == found.time.high == 0
    assert found.text("A", "B") == "B - A: +0.000 ms (+0.000 .. +0.000); neither is faster"
