# SPDX-License-Identifier: MIT
"""Is it told of jobs that may run at the same time as one whose memory they touch?"""

import pytest

from hornito.virtual.npu.hazards import Footprint, Hazards

FIRST = Footprint(((0x1000, 0x1100),), ((0x2000, 0x2100),))


def found(second: Footprint, wave: int = 0) -> str | None:
    hazards = Hazards()
    assert hazards.found(0, 0, FIRST) is None
    return hazards.found(1, wave, second)


@pytest.mark.parametrize(
    ("second", "text"),
    [
        (Footprint(((0x20FF, 0x2200),), ((0x3000, 0x3100),)), "job 1 reads what job 0 writes, at 0x000020ff"),
        (Footprint(((0x3000, 0x3100),), ((0x0F00, 0x1001),)), "job 1 writes what job 0 reads, at 0x00001000"),
        (Footprint(((0x3000, 0x3100),), ((0x1F00, 0x2200),)), "job 1 writes what job 0 writes, at 0x00002000"),
    ],
)
def test_job_in_the_way_of_an_earlier_one_is_named(second: Footprint, text: str) -> None:
    assert found(second) == f"{text}, in parallel mode with no stall between them"
    assert found(second, wave=1) is None


def test_jobs_that_read_the_same_or_lie_side_by_side_may_run_together() -> None:
    assert found(Footprint(((0x1000, 0x1100),), ((0x2100, 0x2200),))) is None
    assert found(Footprint(((0x1FF0, 0x2000),), ((0x1100, 0x1200),))) is None


def test_jobs_of_earlier_waves_are_forgotten() -> None:
    hazards = Hazards()
    hazards.found(0, 0, FIRST)
    hazards.found(1, 1, Footprint((), ((0x5000, 0x5100),)))
    assert hazards.found(2, 1, Footprint(((0x2000, 0x2100),), ((0x6000, 0x6100),))) is None
