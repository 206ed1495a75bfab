# SPDX-License-Identifier: MIT
"""Which weights and which bias has an addition?"""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from hornito.compiler import Level, Options, make_plan
from hornito.compiler.operators.common import MAX_SIZE
from hornito.compiler.plan import NpuPart
from hornito.compiler.tasks import Convolution
from hornito.hardware.chips import Chip, find_chip
from hornito.model import ModelBuilder, Value, affine
from tests.compiler.networks import CHIP, made, tasks_of

IMX8MP = find_chip("imx8mp")


def addition(chip: Chip, scales: tuple[float, float], zero_points: tuple[int, int]) -> Convolution:
    def build(builder: ModelBuilder) -> Sequence[Value]:
        one, two = (
            builder.input(f"in{number}", (1, 4, 4, 1), np.uint8, quantization=affine(scale, zero))
            for number, (scale, zero) in enumerate(zip(scales, zero_points, strict=True))
        )
        return [builder.add(one, two, quantization=affine(2.0, 0))]

    (found,) = [task for task in tasks_of(made(build), chip) if isinstance(task, Convolution)]
    return found


@pytest.mark.parametrize("chip", [CHIP, IMX8MP], ids=["a311d", "imx8mp"])
@pytest.mark.parametrize("zero_points,bias", [((1, 0), 77), ((0, 1), -77), ((3, 0), 230), ((0, 3), -230)])
def test_halves_of_the_bias_are_rounded_away_from_zero(chip: Chip, zero_points: tuple[int, int], bias: int) -> None:
    """With scales of 1.0 and 0.3 a step between the zero points is 76.5 in units of 1 / 255."""
    assert addition(chip, (1.0, 0.3), zero_points).kernels.bias.tolist() == [bias]


@pytest.mark.parametrize("scales,weights", [((1.0, 0.4), [255, 102]), ((0.4, 1.0), [102, 255]), ((1, 1), [255, 255])])
def test_the_input_of_the_larger_scale_has_the_largest_weight(scales: tuple[float, float], weights: list[int]) -> None:
    assert addition(CHIP, scales, (0, 0)).kernels.values[0, :, 0, 0].tolist() == weights


@pytest.mark.parametrize("chip", [CHIP, IMX8MP], ids=["a311d", "imx8mp"])
@pytest.mark.parametrize(
    "shape,width",
    [((1, 32896, 1024, 1), 4096), ((1, 1, 65535, 1), 128)],
    ids=["more than the widest rows of a power of two hold", "as many columns as strides reach"],
)
def test_sums_of_any_size_are_seen_in_rows_that_fit(chip: Chip, shape: tuple[int, ...], width: int) -> None:
    def build(builder: ModelBuilder) -> Sequence[Value]:
        one, two = (builder.input(name, shape, np.uint8, quantization=affine(1.0, 0)) for name in ("one", "two"))
        return [builder.add(one, two, quantization=affine(2.0, 0))]

    plan = make_plan(made(build), Options(chip, Level.WIDE))
    assert plan.refusals == {}
    jobs = [task for part in plan.parts if isinstance(part, NpuPart) for task in part.tasks]
    sums = [job for job in jobs if isinstance(job, Convolution)]
    assert {job.target_frame.columns for job in sums} == {width}
    assert sum(job.output.bytes for job in sums) == math.prod(shape)
    assert all(max(job.output.rows, job.output.columns) <= MAX_SIZE for job in sums)
