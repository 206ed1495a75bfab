# SPDX-License-Identifier: MIT
"""How long do jobs take by the model, and do its facts say where they come from?"""

import dataclasses

import pytest

from hornito.bits import Confidence
from hornito.cost import Bound, Work, duration, rates_of
from hornito.hardware.chips import CHIPS, Chip, find_chip
from hornito.hardware.timing import timing_of

A311D = find_chip("a311d")
IMX8MP = find_chip("imx8mp")
GIGA = 1_000_000_000


def computing(work: Work, chip: Chip = A311D) -> float:
    return rates_of(chip).parts(work).computing


def test_a_spatial_kernel_is_as_fast_as_the_data_sheet_says() -> None:
    """4.92 and 2.30 tera-operations a second, two to a multiply-accumulate."""
    assert 2 * GIGA / computing(Work(macs=GIGA), A311D) == pytest.approx(4.92e12, rel=0.01)
    assert 2 * GIGA / computing(Work(macs=GIGA), IMX8MP) == pytest.approx(2.30e12, rel=0.01)


def test_a_1x1_kernel_takes_twice_as_long_on_the_a311d() -> None:
    spatial, pointwise = Work(macs=GIGA), Work(macs=GIGA, pointwise_macs=GIGA)
    assert computing(pointwise) == pytest.approx(2 * computing(spatial))
    assert computing(pointwise, IMX8MP) == computing(spatial, IMX8MP)


def test_idle_lanes_cost_their_share_at_the_rate_of_their_kernels() -> None:
    rates = dataclasses.replace(rates_of(A311D), spatial=1000.0, pointwise=500.0, idle=0.25)
    spatial = Work(macs=1000, lane_macs=3000)
    assert rates.parts(spatial).computing == pytest.approx(1.5)
    pointwise = Work(macs=1000, lane_macs=3000, pointwise_macs=1000, pointwise_lane_macs=3000)
    assert rates.parts(pointwise).computing == pytest.approx(3.0)
    assert rates.parts(spatial + pointwise).computing == pytest.approx(4.5)


def test_the_slowest_of_what_overlaps_counts_and_overhead_comes_on_top() -> None:
    rates = dataclasses.replace(rates_of(A311D), spatial=1000.0, bytes=500.0, moved=100.0, job=0.5)
    for work, seconds, bound in (
        (Work(macs=2000, lane_macs=2000, read=100), 2.5, Bound.MAC),
        (Work(macs=2000, lane_macs=2000, read=900, written=600), 3.5, Bound.DDR),
        (Work(read=100, written=100, moved=100), 1.5, Bound.MOVE),
        (Work(read=100, written=100, moved=10), 0.9, Bound.OVERHEAD),
    ):
        assert rates.duration(work) == rates.parts(work).seconds == pytest.approx(seconds)
        assert rates.parts(work).bound is bound


def test_duration_is_of_the_chips_own_rates() -> None:
    work = Work(read=1 << 20, written=1 << 20)
    assert duration(work, A311D) == rates_of(A311D).duration(work)
    assert duration(work, A311D) == pytest.approx((2 << 20) / (5.0 * 800e6) + 5e-6)


def test_cycles_are_of_the_chips_clock() -> None:
    assert rates_of(A311D).cycles(0.001) == 800_000
    assert rates_of(IMX8MP).cycles(0.001) == 1_000_000


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_every_chip_has_figures_with_sources_and_ranges(chip: Chip) -> None:
    for name, figure in timing_of(chip).figures().items():
        assert figure.value > 0
        assert figure.source, name
        assert figure.low <= figure.value <= figure.high
        assert not figure.source.startswith("guess") or figure.confidence is Confidence.UNKNOWN
        if figure.confidence is Confidence.UNKNOWN:
            assert figure.factor >= 1.4, f"{name}: a guess needs a wide range"


def test_scaling_a_figure_leaves_the_others() -> None:
    timing = timing_of(A311D)
    faster = timing.scaled({"memory": 1.3})
    assert faster.memory.value == pytest.approx(1.3 * timing.memory.value)
    assert faster.memory.factor == 1.0
    assert dataclasses.replace(faster, memory=timing.memory) == timing
