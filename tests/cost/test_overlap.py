# SPDX-License-Identifier: MIT
"""How long do jobs take that run at the same time?"""

import pytest

from hornito.cost import Item, Overlap, Parts, Target, elapsed

SHORT, LONG = Parts(2.0, 1.0, 0.0, 0.5), Parts(0.0, 1.0, 5.0, 0.5)
BUS = Parts(0.0, 4.0, 0.0, 0.0)
STALL = 0.25


def items(*waves: tuple[Target, tuple[int, int] | None]) -> list[Item]:
    return [Item(target, "", "", wave=wave) for target, wave in waves]


def test_units_run_side_by_side_and_jobs_of_one_unit_in_order() -> None:
    overlap = Overlap()
    assert [overlap.add("NN", SHORT), overlap.add("TP", LONG), overlap.add("NN", SHORT)] == [2.5, 3.0, 0.0]
    assert overlap.seconds == 5.5


def test_bus_is_shared() -> None:
    overlap = Overlap()
    overlap.add("NN", BUS)
    assert overlap.add("TP", BUS) == 4.0


def test_without_waves_all_is_added_up() -> None:
    given = items((Target.COPY, None), (Target.NN, None), (Target.TP, None))
    assert elapsed(given, [SHORT, SHORT, LONG], STALL) == 2.5 + 2.5 + 5.5


def test_each_wait_between_waves_of_a_submission_costs() -> None:
    given = items(
        (Target.NN, (0, 0)), (Target.TP, (0, 0)), (Target.NN, (0, 1)), (Target.CPU, None), (Target.NN, (1, 0))
    )
    assert elapsed(given, [SHORT, LONG, SHORT, SHORT, SHORT], STALL) == pytest.approx(5.5 + STALL + 2.5 + 2.5 + 2.5)
