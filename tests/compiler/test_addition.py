# SPDX-License-Identifier: MIT
"""Which weights and which bias has an addition?"""

from collections.abc import Sequence

import numpy as np
import pytest

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
