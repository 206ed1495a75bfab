# SPDX-License-Identifier: MIT
"""Do groups of output channels keep what they promise? Against exact sums of the model's own weights and scales."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hornito.compiler.grouping import LEAST_SPREAD, Group, Scales, group_channels
from hornito.compiler.weights import Kernels, dilated, on_seen_planes, part, without_stride

ZERO = 128


def kernels(count: int, planes: int, size: int, seed: int = 0) -> Kernels:
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 256, (count, planes, size, size), dtype=np.uint8)
    bias = rng.integers(-5000, 5000, count).astype(np.int64)
    return Kernels(values, np.zeros(count, np.int64), planes, ZERO, bias)


def results(layer: Kernels, scales: Scales, values: NDArray[np.int64]) -> NDArray[np.float64]:
    """What each channel gives for input values [case, weight], in output steps before rounding, [channel, case]."""
    weights = layer.values.reshape(layer.count, -1).astype(np.float64) - layer.zero
    sums = weights @ (values - scales.input_zero_point).T.astype(np.float64) + layer.bias[:, None]
    return np.asarray(sums * np.array([[scales.factor(scale)] for scale in scales.weights]))


def painted(groups: list[Group], count: int, values: NDArray[np.int64], zero: int) -> NDArray[np.float64]:
    """What the groups' jobs leave behind, one after the other; NaN where none has written."""
    found = np.full((count, len(values)), np.nan)
    for group in groups:
        weights = group.kernels.values.reshape(group.kernels.count, -1).astype(np.float64) - group.kernels.zero
        sums = weights @ (values - zero).T.astype(np.float64) + group.kernels.bias[:, None]
        found[group.first : group.first + group.kernels.count] = sums * group.factor
    return found


@given(
    st.lists(st.floats(0.001, 0.1), min_size=1, max_size=12),
    st.sampled_from([0.0, 0.02, 0.1, 1.0]),
    st.integers(0, 255),
    st.integers(0, 1000),
)
@settings(deadline=None)
def test_results_stay_within_both_measures(scales: list[float], bound: float, zero: int, seed: int) -> None:
    layer = kernels(len(scales), 4, 3, seed)
    given_scales = Scales(0.05, tuple(float(np.float32(scale)) for scale in scales), 0.3, zero)
    groups = group_channels(layer, given_scales, bound)
    rng = np.random.default_rng(seed)
    even = rng.integers(0, 256, (400, 36))
    ends = rng.choice([0, 255], (200, 36))
    # The inputs that make each channel's difference as large as it can get, up and down.
    worst = []
    for group in groups:
        for row in range(group.kernels.count):
            channel = group.first + row
            ratio = given_scales.weights[channel] / max(given_scales.weights)
            error = group.kernels.values[row].ravel().astype(float) - ZERO
            error -= (layer.values[channel].ravel().astype(float) - ZERO) * ratio
            worst += [np.where(error > 0, 255, 0), np.where(error > 0, 0, 255)]
    values = np.concatenate([even, ends, np.array(worst)])
    exact = results(layer, given_scales, values)
    difference = np.abs(painted(groups, layer.count, values, zero) - exact)
    slack = 1e-5 * np.abs(exact).max()  # factors are rounded to float32
    most = max(group.worst for group in groups)
    assert difference.max() <= most + slack
    spread = np.sqrt((difference[:, :400] ** 2).mean(axis=1))
    own = np.maximum(exact[:, :400].std(axis=1), LEAST_SPREAD)
    assert (spread <= 1.3 * bound * own + slack).all()  # 400 cases say only roughly how far all of them spread
    assert sum(group.own for group in groups) == layer.count


def test_the_largest_difference_is_met() -> None:
    """By the inputs that the derivation names, for a single kernel of a group of two scales."""
    layer, scales = kernels(2, 1, 3), Scales(0.05, (0.01, 0.003), 0.01, 50)
    (group,) = group_channels(layer, scales, 1.0)
    error = (group.kernels.values[1].ravel().astype(float) - ZERO) - (
        layer.values[1].ravel().astype(float) - ZERO
    ) * 0.3
    values = np.array([np.where(error > 0, 255, 0), np.where(error > 0, 0, 255)])
    difference = np.abs(painted([group], 2, values, 50) - results(layer, scales, values)).max()
    assert group.worst * 0.9 < difference <= group.worst * 1.0001


def test_sums_of_weights_are_kept() -> None:
    layer, scales = kernels(6, 16, 3), Scales(0.05, (0.01, 0.003, 0.0071, 0.0099, 0.0013, 0.005), 0.3, 0)
    (group,) = group_channels(layer, scales, 1.0)
    wanted = layer.sums * np.array(scales.weights) / 0.01
    assert np.abs(group.kernels.sums - wanted).max() <= 0.5 + 1e-9
    assert group.kernels.bias.tolist() == [
        math.floor(b * s / 0.01 + 0.5) for b, s in zip(layer.bias, scales.weights, strict=True)
    ]


def test_what_rounding_a_bias_adds_counts() -> None:
    """At twice its scale the second channel's weights are whole, and its bias lies between two steps."""
    layer = Kernels(np.full((2, 1, 1, 2), ZERO + 6, np.uint8), np.zeros(2, np.int64), 1, ZERO, np.array([0, 7]))
    scales = Scales(1.0, (0.5, 0.25), 1.0, 0)
    (group,) = group_channels(layer, scales, 1.0)
    assert group.worst == group.spread == 0.5 * 0.5


def test_channels_far_below_are_computed_anew_in_runs() -> None:
    layer = kernels(7, 8, 3)
    scales = Scales(0.05, (0.01, 1e-5, 1e-5, 0.01, 0.009, 1.1e-5, 0.01), 1e-4, 128)
    groups = group_channels(layer, scales, 0.05)
    assert [(group.first, group.kernels.count, group.own) for group in groups] == [(0, 7, 4), (1, 2, 2), (5, 1, 1)]
    assert (groups[0].kernels.values[[1, 2, 5]] == ZERO).all() and (groups[0].kernels.bias[[1, 2, 5]] == 0).all()


def test_without_any_error_each_scale_has_its_job() -> None:
    layer = kernels(5, 8, 3)
    groups = group_channels(layer, Scales(0.05, (0.01, 0.01, 0.007, 0.01, 0.003), 1.0, 128), 0.0)
    assert sorted((group.first, group.own) for group in groups) == [(0, 3), (2, 1), (4, 1)]
    assert all(group.worst == group.spread == 0 for group in groups)


def small(weights: list[int], bias: int) -> Kernels:
    """A channel of one large weight, and a channel of these; all but the first are small, whole at their own scale."""
    values = np.zeros((2, 1, 1, len(weights)), np.int64)
    values[0, 0, 0, 0], values[1, 0, 0] = 100, weights
    return Kernels((values + ZERO).astype(np.uint8), np.zeros(2, np.int64), 1, ZERO, np.array([0, bias]))


EVEN = np.array(list(itertools.product(range(256), repeat=2)))  # all inputs of two bytes, each as likely
# Of the second channel: weights, bias, zero point of the input. Both are halved, and what they lose has one sign.
SMALL = {
    "sums that stay": ([7, 9], 0, 128),
    "a sum that rises": ([7, 20], 0, 3),
    "a bias that rises": ([7, 20], 7, 3),
    "weights of which none is kept": ([1, 0], 0, 128),
}


def spreads(layer: Kernels, scales: Scales) -> tuple[float, float]:
    """For all inputs there are: the root mean square of the second channel's error, and of its own results."""
    (group,) = group_channels(layer, scales, 1.0)
    exact = results(layer, scales, EVEN)[1]
    error = painted([group], 2, EVEN, scales.input_zero_point)[1] - exact
    return float(np.sqrt((error**2).mean())), float(exact.std())


@pytest.mark.parametrize("form", SMALL)
def test_spread_is_the_root_mean_square_over_all_inputs(form: str) -> None:
    weights, bias, zero = SMALL[form]
    layer, scales = small(weights, bias), Scales(1.0, (0.5, 0.25), 4.0, zero)
    (group,) = group_channels(layer, scales, 1.0)
    assert group.spread == pytest.approx(spreads(layer, scales)[0], rel=1e-6)


@pytest.mark.parametrize("output", [1.0, 1000.0], ids=["of its own spread", "of the least spread that counts"])
@pytest.mark.parametrize("form", ["sums that stay", "a sum that rises", "a bias that rises"])
def test_channels_share_a_job_up_to_the_bound(form: str, output: float) -> None:
    weights, bias, zero = SMALL[form]
    layer, scales = small(weights, bias), Scales(1.0, (0.5, 0.25), output, zero)
    error, own = spreads(layer, scales)
    assert (own > 5.0) == (output == 1.0)
    bound = error / max(own, 5.0)
    assert len(group_channels(layer, scales, bound * 1.001)) == 1
    assert len(group_channels(layer, scales, bound * 0.999)) == 2


# Transforms of kernels


@pytest.mark.parametrize(("steps", "shape"), [((1, 1), (3, 2)), ((2, 1), (5, 2)), ((3, 4), (7, 5))])
def test_dilation_puts_zeros_between_weights(steps: tuple[int, int], shape: tuple[int, int]) -> None:
    layer = kernels(2, 3, 3)
    layer = Kernels(layer.values[:, :, :, :2], layer.first_plane, 3, ZERO, layer.bias)
    found = dilated(layer, *steps)
    assert found.values.shape == (2, 3, *shape)
    assert np.array_equal(found.values[:, :, :: steps[0], :: steps[1]], layer.values)
    assert np.array_equal(found.sums, layer.sums)


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
def test_strides_part_weights_by_their_phase(down: int, across: int, rows: int, columns: int) -> None:
    values = np.random.default_rng(1).integers(0, 256, (2, 3, rows, columns), dtype=np.uint8)
    found = without_stride(Kernels(values, np.array([0, 1]), 4, 7, np.zeros(2, np.int64)), down, across)
    assert found.planes == 4 * down * across and found.first_plane.tolist() == [0, down * across]
    assert (found.rows, found.columns) == (-(-rows // down), -(-columns // across))
    for plane in range(3):
        for row in range(down * found.rows):
            for column in range(across * found.columns):
                place = down * across * plane + across * (row % down) + column % across
                got = found.values[:, place, row // down, column // across]
                inside = row < rows and column < columns
                assert (got == (values[:, plane, row, column] if inside else 7)).all()


def test_planes_that_no_kernel_sees_are_left_out() -> None:
    layer = Kernels(np.zeros((4, 2, 1, 1), np.uint8), np.array([0, 2, 4, 6]), 8, ZERO, np.zeros(4, np.int64))
    some, first = on_seen_planes(part(layer, 1, 3))
    assert (first, some.planes, some.first_plane.tolist()) == (2, 4, [0, 2])
    assert on_seen_planes(layer) == (layer, 0)
