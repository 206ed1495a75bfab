# SPDX-License-Identifier: MIT
"""How long do jobs take by the model, and do its facts say where they come from?"""

import pytest

from hornito.bits import Confidence
from hornito.cost import Work, duration, rates_of
from hornito.hardware.chips import CHIPS, find_chip
from hornito.hardware.timing import timing_of

A311D = find_chip("a311d")
IMX8MP = find_chip("imx8mp")
GIGA = 1_000_000_000


def test_a_spatial_kernel_is_as_fast_as_the_data_sheet_says() -> None:
    """4.92 and 2.30 tera-operations a second, two to a multiply-accumulate."""
    assert 2 * GIGA / duration(Work(macs=GIGA), A311D) == pytest.approx(4.92e12, rel=0.01)
    assert 2 * GIGA / duration(Work(macs=GIGA), IMX8MP) == pytest.approx(2.30e12, rel=0.01)


def test_a_1x1_kernel_takes_twice_as_long_on_the_a311d() -> None:
    spatial, pointwise = Work(macs=GIGA), Work(macs=GIGA, pointwise_macs=GIGA)
    assert duration(pointwise, A311D) == pytest.approx(2 * duration(spatial, A311D))
    assert duration(pointwise, IMX8MP) == duration(spatial, IMX8MP)


def test_the_slower_of_computing_and_moving_counts() -> None:
    computing, moving = Work(macs=GIGA), Work(read=1 << 20, written=1 << 20)
    both = computing + moving
    assert duration(both, A311D) == max(duration(computing, A311D), duration(moving, A311D))
    assert duration(moving, A311D) == pytest.approx((2 << 20) / 3.04e9)


def test_cycles_are_of_the_chips_clock() -> None:
    assert rates_of(A311D).cycles(0.001) == 800_000
    assert rates_of(IMX8MP).cycles(0.001) == 1_000_000


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_every_chip_has_rates_with_sources(chip: object) -> None:
    timing = timing_of(chip)  # type: ignore[arg-type]
    for name in ("clock", "spatial", "pointwise", "memory"):
        assert getattr(timing, name).value > 0
    for figure in (timing.clock, timing.spatial, timing.pointwise, timing.memory, timing.job):
        assert figure.source
        assert figure.source.startswith("guess") == (figure.confidence is Confidence.UNKNOWN)
