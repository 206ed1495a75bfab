# SPDX-License-Identifier: MIT
"""Does the model keep near what is published, and are its figures the ones that the fit gives?"""

from pathlib import Path

import pytest
from tools.cost_table import GRID, Models, cases, fit, markdown

from hornito.hardware.chips import find_chip
from hornito.hardware.published import MOBILEDET, MOBILENET_V1, VENDOR_COEFFICIENTS, Stage
from hornito.hardware.timing import timing_of

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def models(shared: Path) -> Models:
    return Models(shared / "models")


@pytest.mark.parametrize(("network", "million"), [(MOBILENET_V1, 6224.5), (MOBILEDET, 28749.6)])
def test_multiplications_are_those_that_the_reference_driver_dispatches(
    network: str, million: float, models: Models
) -> None:
    demand = models.demand(network, find_chip("a311d"), Stage.CACHED)
    assert sum(item.work.macs for item in demand.items) / 1e6 == pytest.approx(million, rel=0.001)


def test_coefficients_are_near_the_vendor_s(models: Models) -> None:
    demand = models.demand(MOBILENET_V1, find_chip("a311d"), Stage.CACHED)
    assert sum(item.work.coefficient_bytes for item in demand.items) == pytest.approx(VENDOR_COEFFICIENTS, rel=0.03)


def test_times_that_were_not_fitted_are_within_a_quarter(models: Models) -> None:
    found = [case for case in cases(models) if case.published.stage is not Stage.VENDOR]
    assert sum(not case.published.fitted for case in found) == 4
    for case in found:
        assert abs(case.off) < 0.25, case.published
        assert case.published.fitted is False or abs(case.off) < 0.02, case.published


@pytest.mark.parametrize("name", ["a311d", "imx8mp"])
def test_kept_figures_are_those_of_the_fit(name: str, models: Models) -> None:
    chip = find_chip(name)
    found, kept = fit(models, chip), timing_of(chip)
    for figure in GRID:
        assert getattr(kept, figure).value == pytest.approx(getattr(found, figure).value), figure


def test_the_page_has_what_the_tool_prints(models: Models) -> None:
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in markdown(models) if line not in page] == []
