# SPDX-License-Identifier: MIT
"""Are estimates the sums that one would make by hand, and do their ranges say what is uncertain?"""

import csv
import dataclasses
import io
import math

import pytest

from hornito.compiler import Options, compile_graph, demand, find_level
from hornito.cost import Bound, Demand, Item, Target, Work, as_json, columns, demand_of, estimate, total
from hornito.hardware.chips import find_chip
from hornito.hardware.timing import Figure, Timing, timing_of
from hornito.stream import BufferKind
from tests.compiler.networks import Layer

A311D = find_chip("a311d")


def exact(value: float) -> Figure:
    return Figure(value, "invented")


INVENTED = Timing(
    clock=exact(1e6),
    spatial=exact(100.0),  # x 8 cores x 1 MHz: 800 M a second
    pointwise=exact(50.0),
    idle=exact(0.5),
    memory=exact(4.0),  # 4 MB a second
    move=exact(1.0),
    job=exact(0.001),
    submission=exact(0.01),
    crossing=exact(1e6),
    cpu_macs=exact(1e6),
    cpu_elements=exact(1e5),
    model=exact(1.0),
)
ITEMS = (
    Item(Target.COPY, "T#0", "COPY in", bytes=2000),  # 2 ms
    Item(Target.SUBMIT, "segment 0", "SUBMIT"),  # 10 ms
    Item(Target.TP, "Op#0", "TRANSPOSE", Work(read=1000, written=1000, moved=2000)),  # 2 + 1 ms
    Item(Target.NN, "Op#0", "CONV_2D", Work(macs=4_000_000, lane_macs=5_600_000, read=8000, written=4000), 1_000_000),
    Item(Target.CPU, "Op#1", "SOFTMAX", elements=300),  # 3 ms
    Item(Target.CPU, "Op#2", "CONV_2D", real_macs=5000, elements=10**6),  # 5 ms
)
DEMAND = Demand("by hand", ITEMS, {"tensor": 5000, "coef": 700})


def test_times_add_up_as_by_hand() -> None:
    """The NN job: (4 M + half of 1.6 M) / 800 M is 6 ms; 12000 bytes are 3 ms; the job itself 1 ms."""
    found = estimate(DEMAND, A311D, INVENTED)
    assert [1e3 * cost.time.seconds for cost in found.costs] == pytest.approx([2, 10, 3, 7, 3, 5])
    assert found.total.seconds == pytest.approx(0.030)
    assert total(ITEMS, A311D, INVENTED) == pytest.approx(0.030)
    assert [cost.bound for cost in found.costs] == [
        *(Bound.CPU, Bound.OVERHEAD, Bound.MOVE, Bound.MAC, Bound.CPU, Bound.CPU)
    ]
    assert found.by_target[Target.CPU] == pytest.approx(0.008)
    assert found.by_bound[Bound.CPU] == pytest.approx(0.010)
    assert found.npu_seconds == pytest.approx(0.010)
    assert found.utilisation == pytest.approx(4e6 / (8e8 * 0.010))
    assert found.peak_memory == 5700


def test_figures_without_ranges_give_an_estimate_without_one() -> None:
    found = estimate(DEMAND, A311D, INVENTED)
    assert found.total.low == pytest.approx(found.total.seconds) == found.total.high


def test_the_range_is_that_of_each_figure_added_in_squares() -> None:
    """The submission's 10 ms may be 5 or 20; the CPU's 5 ms 2.5 or 10."""
    uncertain = dataclasses.replace(
        INVENTED, submission=Figure(0.01, "invented", factor=2.0), cpu_macs=Figure(1e6, "invented", factor=2.0)
    )
    found = estimate(DEMAND, A311D, uncertain)
    assert 1e3 * (found.total.high - found.total.seconds) == pytest.approx(math.hypot(10, 5))
    assert 1e3 * (found.total.seconds - found.total.low) == pytest.approx(math.hypot(5, 2.5))
    assert [cost.time.high > cost.time.seconds for cost in found.costs] == [False, True, False, False, False, True]


def test_the_model_s_own_error_widens_all() -> None:
    found = estimate(DEMAND, A311D, dataclasses.replace(INVENTED, model=Figure(1.0, "invented", factor=1.25)))
    assert found.total.high == pytest.approx(1.25 * found.total.seconds)
    assert found.total.low == pytest.approx(found.total.seconds / 1.25)


def test_sensitivity_moves_one_figure_at_a_time() -> None:
    found = estimate(DEMAND, A311D, INVENTED).sensitivity(0.5)
    assert found["submission"] == pytest.approx((0.025, 0.035))
    assert found["memory"] == pytest.approx((0.030, 0.030))  # 6 ms of bytes are no longer than 6 of computing
    assert found["cpu_elements"] == pytest.approx((0.033, 0.029))
    assert "model" not in found


def test_columns_say_what_units_and_memories_are_busy_with() -> None:
    rows = columns(estimate(DEMAND, A311D, INVENTED))
    nn = rows[3]
    assert (nn["target"], nn["cycles"], nn["npu_cycles"], nn["dram_cycles"]) == ("NN", 7000, 6000, 3000)
    assert (nn["macs"], nn["real_macs"], nn["macs_percent"]) == (4_000_000, 1_000_000, 100.0)
    assert nn["utilisation_percent"] == pytest.approx(100 * 4e6 / (8e8 * 0.007))
    assert sum(row["network_percent"] for row in rows) == pytest.approx(100)
    assert {row["energy"] for row in rows if "energy" in row} == set()
    text = io.StringIO()
    csv.DictWriter(text, list(nn)).writerows(rows)  # every row has the same columns


def test_json_has_a_range_for_every_time_and_a_source_for_every_figure() -> None:
    found = as_json(estimate(DEMAND, A311D))
    assert found["energy_joules"] is None
    for time in (found["total"], *found["items"]):
        assert time["low_ms"] < time["ms"] < time["high_ms"]
    assert set(found["figures"]) == set(timing_of(A311D).figures())
    assert all(figure["source"] for figure in found["figures"].values())


def test_nothing_takes_no_time() -> None:
    found = estimate(Demand("nothing", ()), A311D)
    assert (found.total.seconds, found.utilisation, found.peak_memory) == (0.0, 0.0, 0)
    assert columns(found) == []


@pytest.mark.parametrize("name", ["a311d", "imx8mp"])
def test_a_plan_and_its_submissions_have_the_same_jobs(name: str) -> None:
    chip = find_chip(name)
    compiled = compile_graph(Layer(17, inputs=5, outputs=30, stride=2).graph(), Options(chip, find_level("proven")))
    planned, sent = demand(compiled), demand_of(compiled.archive.submissions, chip, "sent")
    jobs = [[item.work for item in one.items if item.target in (Target.NN, Target.TP)] for one in (planned, sent)]
    assert jobs[0] == jobs[1] and len(jobs[0]) == 4
    assert planned.memory == sent.memory
    choices = [next(item.choices for item in one.items if item.target is Target.NN) for one in (planned, sent)]
    if name == "a311d":
        assert choices[0] == choices[1] and choices[0].zrl_bits is not None
    else:  # version 8 has a table of them in its header
        assert dataclasses.replace(choices[0], zrl_bits=None) == choices[1]


def test_zeros_behind_coefficients_are_no_coefficients() -> None:
    """The reference driver's buffers are larger than what it writes into them."""
    compiled = compile_graph(Layer(8, inputs=4, outputs=16).graph(), Options(A311D))
    _, sent = compiled.archive.submissions
    roomy = dataclasses.replace(
        sent,
        buffers=tuple(
            dataclasses.replace(b, size=1 << 16) if b.kind is BufferKind.COEFFICIENTS else b for b in sent.buffers
        ),
    )
    works = [demand_of([one], A311D, "").items[2].work for one in (sent, roomy)]
    assert works[0] == works[1]
