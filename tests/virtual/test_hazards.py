# SPDX-License-Identifier: MIT
"""Are jobs refused that may run at the same time as one whose memory they touch?"""

import pytest

from hornito.virtual.faults import Fault
from hornito.virtual.npu.hazards import Footprint, Hazards

FIRST = Footprint(((0x1000, 0x1100),), ((0x2000, 0x2100),))


def checked(second: Footprint, wave: int = 0) -> None:
    hazards = Hazards()
    hazards.check(0, "NN", 0, FIRST)
    hazards.check(1, "TP", wave, second)


@pytest.mark.parametrize(
    ("second", "text"),
    [
        (Footprint(((0x20FF, 0x2200),), ((0x3000, 0x3100),)), "job 1 reads what job 0 writes, at 0x000020ff"),
        (Footprint(((0x3000, 0x3100),), ((0x0F00, 0x1001),)), "job 1 writes what job 0 reads, at 0x00001000"),
        (Footprint(((0x3000, 0x3100),), ((0x1F00, 0x2200),)), "job 1 writes what job 0 writes, at 0x00002000"),
    ],
)
def test_job_in_the_way_of_an_earlier_one_is_refused(second: Footprint, text: str) -> None:
    with pytest.raises(Fault, match=text) as caught:
        checked(second)
    assert (caught.value.unit, caught.value.job) == ("TP", 1)
    checked(second, wave=1)


def test_jobs_that_read_the_same_or_lie_side_by_side_may_run_together() -> None:
    checked(Footprint(((0x1000, 0x1100),), ((0x2100, 0x2200),)))
    checked(Footprint(((0x1FF0, 0x2000),), ((0x1100, 0x1200),)))


def test_jobs_of_earlier_waves_are_forgotten() -> None:
    hazards = Hazards()
    hazards.check(0, "NN", 0, FIRST)
    hazards.check(1, "NN", 1, Footprint((), ((0x5000, 0x5100),)))
    hazards.check(2, "NN", 1, Footprint(((0x2000, 0x2100),), ((0x6000, 0x6100),)))
