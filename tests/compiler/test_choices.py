# SPDX-License-Identifier: MIT
"""Are tile, superblocks, caching and requantisation chosen as the databook says?"""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornito.compiler.requantisation import multiplier_and_shift, scale_factor
from hornito.compiler.sram import choose_caching, image_bytes
from hornito.compiler.tasks import Convolution, Shape
from hornito.compiler.tiling import Tile, ceil_div, choose_tile
from hornito.compiler.weights import Kernels
from hornito.errors import Unsupported
from hornito.hardware.chips import Chip, find_chip

A311D = find_chip("a311d")
TWO_CORES = find_chip("gcnanoultra31-vip2-15-0")
IMX8MP = find_chip("imx8mp")


def convolution(
    rows: int, outputs: int, kernel: int, *, columns: int = 0, stride: int = 1, first_pixel: bool = False
) -> Convolution:
    """A convolution with just what the tile depends on; sizes are the output's."""
    values = np.zeros((outputs, 1, kernel, kernel), np.uint8)
    zeros = np.zeros(outputs, np.int64)
    shape = Shape(rows, columns or rows, outputs)
    return Convolution(
        operator=0,
        source=0,
        target=1,
        input=shape,
        output=shape,
        kernels=Kernels(values, zeros, 1, 0, zeros),
        stride=stride,
        first_pixel=first_pixel,
        depthwise=False,
        runs=kernel != 1,
        offset_x=0,
        offset_y=0,
        relu=False,
        input_zero_point=0,
        output_zero_point=0,
        factor=1.0,
    )


# (output rows, channels, kernel, stride, first pixel): what the databook lists for the A311D, a two-core chip of
# version 7 and the i.MX8M Plus, as (tile x, tile y, interleave, superblocks).
TILES = {
    (4, 8, 3, 1, False): ((4, 4, 2, 1), (4, 4, 2, 1), (4, 4, 4, 1)),
    (7, 1024, 1, 1, False): ((7, 7, 2, 8), (7, 7, 2, 29), (7, 4, 4, 9)),
    (8, 16, 3, 1, False): ((8, 8, 2, 1), (8, 8, 2, 1), (8, 4, 4, 1)),
    (14, 512, 1, 1, False): ((14, 14, 2, 8), (14, 12, 2, 26), (14, 4, 4, 5)),
    (16, 64, 5, 1, False): ((16, 16, 4, 1), (16, 16, 4, 2), (16, 4, 2, 1)),
    (28, 256, 1, 1, False): ((28, 24, 2, 7), (28, 12, 2, 13), (28, 4, 2, 3)),
    (32, 32, 3, 1, False): ((32, 22, 2, 1), (32, 10, 2, 2), (32, 4, 2, 1)),
    (33, 32, 3, 1, False): ((33, 10, 1, 1), (33, 4, 1, 1), (33, 4, 1, 1)),
    (56, 128, 1, 1, False): ((56, 12, 1, 4), (56, 6, 1, 7), (56, 4, 1, 3)),
    (64, 64, 3, 1, False): ((64, 10, 1, 2), (64, 4, 1, 2), (64, 4, 1, 2)),
    (80, 256, 3, 1, False): ((64, 10, 1, 6), (64, 4, 1, 8), (64, 4, 1, 6)),
    (112, 32, 2, 2, False): ((64, 10, 1, 1), (64, 4, 1, 1), (64, 4, 1, 1)),
    (112, 64, 1, 1, False): ((64, 12, 1, 2), (64, 6, 1, 4), (64, 4, 1, 2)),
    (28, 256, 3, 2, True): ((56, 10, 1, 6), (56, 4, 1, 8), (56, 4, 1, 6)),
    (56, 128, 1, 2, True): ((64, 12, 1, 4), (64, 6, 1, 7), (64, 4, 1, 3)),
}


@pytest.mark.parametrize("case", TILES)
@pytest.mark.parametrize("chip,column", [(A311D, 0), (TWO_CORES, 1), (IMX8MP, 2)], ids=["a311d", "two cores", "imx8mp"])
def test_tiles_of_the_databook_s_table(case: tuple[int, int, int, int, bool], chip: Chip, column: int) -> None:
    rows, outputs, kernel, stride, first_pixel = case
    tile = choose_tile(convolution(rows, outputs, kernel, stride=stride, first_pixel=first_pixel), chip)
    assert (tile.width, tile.height, tile.interleave, tile.superblocks) == TILES[case][column]
    assert tile.kernels_per_core == ceil_div(ceil_div(outputs, chip.nn_cores), tile.superblocks)


# Rules that no golden file decides


def test_width_comes_from_rows_and_height_from_columns() -> None:
    tile = choose_tile(convolution(20, 16, 3, columns=9), A311D)
    assert (tile.width, tile.height) == (20, 9)


def test_height_is_limited_by_the_accumulators() -> None:
    """interleave * accumulator depth; no chip is so shallow, so an invented one shows it."""
    deep = dataclasses.replace(A311D, input_depth=100, accumulator_depth=6)
    tile = choose_tile(convolution(40, 8, 3, columns=4000), deep)
    assert (tile.interleave, tile.height) == (1, 6)
    tile = choose_tile(convolution(20, 8, 3, columns=4000), deep)
    assert (tile.interleave, tile.height) == (2, 12)


def test_no_more_than_127_kernels_fit_a_superblock() -> None:
    deep = dataclasses.replace(A311D, accumulator_depth=100_000)
    tile = choose_tile(convolution(64, 8 * 200, 3), deep)
    assert (tile.superblocks, tile.kernels_per_core) == (2, 100)
    tile = choose_tile(convolution(64, 8 * 127, 3), deep)
    assert (tile.superblocks, tile.kernels_per_core) == (1, 127)
    tile = choose_tile(convolution(64, 8 * 128, 3), deep)
    assert (tile.superblocks, tile.kernels_per_core) == (2, 64)


def test_a_tile_is_no_higher_than_127_rows() -> None:
    deep = dataclasses.replace(A311D, input_depth=129, accumulator_depth=100_000)
    assert [choose_tile(convolution(64, 8, rows, columns=4000), deep).height for rows in (4, 3, 2)] == [126, 127, 127]


@pytest.mark.parametrize("rows,interleave", [(8, 2), (9, 2), (16, 2), (17, 4), (18, 2), (30, 2), (33, 1), (34, 1)])
def test_interleave_of_wide_kernels(rows: int, interleave: int) -> None:
    """The narrowest tiles take the smaller number, base 8 included; here the kernel has 3 columns, or 5 at 17."""
    kernel = 5 if rows == 17 else 3
    expected = {17: 2}.get(rows, interleave)
    assert choose_tile(convolution(rows, 8, kernel), A311D).interleave == expected


def test_a_narrow_tile_with_a_very_wide_kernel_has_base_8_cut_to_4() -> None:
    """Beyond an extent of 18 the base counts: a tile of 8 with 12 columns would have 8, but 4 is the most."""
    assert choose_tile(convolution(8, 8, 12), A311D).interleave == 4


def test_odd_heights_are_rounded_down_where_the_model_has_a_stride() -> None:
    assert choose_tile(convolution(7, 8, 2, stride=2), A311D).height == 6
    assert choose_tile(convolution(7, 8, 2, stride=1), A311D).height == 7
    assert choose_tile(convolution(1, 8, 2, stride=2), A311D).height == 1


@given(st.integers(1, 300), st.integers(1, 2000), st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 2]), st.booleans())
def test_tiles_fit_the_descriptor_and_cover_every_kernel(
    rows: int, outputs: int, kernel: int, stride: int, first_pixel: bool
) -> None:
    conv = convolution(rows, outputs, kernel, stride=stride, first_pixel=first_pixel and stride == 2)
    for chip in (A311D, TWO_CORES, IMX8MP):
        tile = choose_tile(conv, chip)
        assert 1 <= tile.width <= 64 and 1 <= tile.height <= 127 and 1 <= tile.kernels_per_core <= 127
        per_core = -(-outputs // chip.nn_cores)
        assert (tile.superblocks - 1) * tile.kernels_per_core < per_core <= tile.superblocks * tile.kernels_per_core


# Caching

SRAM = 0x80000


def caching(
    coefficients: int, *, tile: tuple[int, int] = (8, 8), superblocks: int = 1, planes: int = 4, outputs: int = 16
) -> dict[str, Any]:
    image = image_bytes(Tile(*tile, 1, superblocks, 1), 3, planes)
    return dict(choose_caching(image, outputs, coefficients, SRAM))


def windows(found: dict[str, Any]) -> tuple[int, int, int, int]:
    return (
        *(found["kernel_cache_start_address"], found["kernel_cache_end_address"]),
        *(found["image_cache_start_address"], found["image_cache_end_address"]),
    )


def modes(found: dict[str, Any]) -> tuple[int, int]:
    return int(found["kernel_caching_mode"]), int(found["image_caching_mode"])


def pattern(found: dict[str, Any]) -> tuple[int, int, int]:
    return found["kernel_pattern_msb"], found["kernel_pattern_low"], found["kernel_pattern_high"]


def test_coefficients_that_fit_are_cached_whole() -> None:
    found = caching(0x1234)
    assert modes(found) == (1, 0) and windows(found) == (0x800, 0x1A80, 0, 0x800) and pattern(found) == (0, 0, 0)


@pytest.mark.parametrize("size,end", [(1, 0xA00), (0x200, 0xA00), (0x201, 0xA80)])
def test_the_window_ends_no_lower_than_a00(size: int, end: int) -> None:
    assert windows(caching(size))[1] == end


def test_coefficients_that_just_do_not_fit_are_cached_in_part() -> None:
    """The comparison is "less than": what would fill the SRAM to its last byte counts as too much."""
    assert modes(caching(SRAM - 0x800 - 1)) == (1, 0)
    found = caching(SRAM - 0x800)
    assert modes(found) == (2, 0) and windows(found) == (0x800, SRAM, 0, 0x800)


def test_the_window_is_clipped_at_the_end_of_the_sram() -> None:
    odd = 0x80000 - 64  # an SRAM that ends between two multiples of 128
    found = choose_caching(0, 16, odd - 0x801, odd)
    assert found["kernel_cache_end_address"] == odd
    assert modes(dict(found)) == (1, 0)


def test_small_images_lie_below_the_coefficients() -> None:
    found = caching(0x1000, superblocks=2)  # 10 * 10 -> 112 * 4 = 448 -> 512 bytes
    assert modes(found) == (1, 1) and windows(found) == (0x800, 0x1800, 0, 0x800)


@pytest.mark.parametrize("planes,image", [(18, 0x800), (19, 0x880)])
def test_images_of_800_bytes_and_more_lie_behind_the_coefficients(planes: int, image: int) -> None:
    found = caching(0x1000, superblocks=2, planes=planes)
    assert windows(found) == (0x800, 0x1800, 0x1800, 0x1800 + image)


def test_an_image_that_leaves_no_room_for_all_coefficients_cuts_them() -> None:
    image = 112 * 4096  # 10 * 10 pixels take 112 bytes a plane
    found = caching(0x20000, superblocks=2, planes=4096)
    assert modes(found) == (2, 1) and windows(found) == (0x800, SRAM - image, SRAM - image, SRAM)


def test_coefficients_that_fill_the_sram_leave_no_image() -> None:
    found = caching(SRAM, superblocks=2, planes=100)
    assert modes(found) == (2, 0) and windows(found) == (0x800, SRAM, 0, 0x800)


def test_an_image_as_large_as_the_sram_takes_all_of_it() -> None:
    found = caching(0x1000, superblocks=2, planes=SRAM // 112)  # 524,272 bytes, 128-aligned the SRAM's own size
    assert modes(found) == (2, 1) and windows(found) == (0x800, 0, 0, SRAM)


def test_an_image_larger_than_the_sram_leaves_the_end_at_zero() -> None:
    """As the reference driver writes it; start then lies behind end."""
    found = caching(0x1000, superblocks=2, planes=SRAM // 112 + 2)
    assert modes(found) == (2, 0) and windows(found) == (0x800, 0, 0, 0x800)


@pytest.mark.parametrize(
    "outputs,expected",
    [
        (2000, (0x13, 0x00080000, 0)),
        (1024, (0x13, 0x00080000, 0)),
        (1023, (0x3D, 0, 0x2AAAAAA0)),
        (512, (0x3D, 0, 0x2AAAAAA0)),
        (511, (0x3E, 0xFFFFAAAA, 0x7FFFFFFF)),
        (256, (0x3E, 0xFFFFAAAA, 0x7FFFFFFF)),
        (255, (0x06, 0x7E, 0)),
        (160, (0x06, 0x7E, 0)),
        (159, (0x3F, 0xFFFFFFFE, 0xFFFFFFFF)),
        (1, (0x3F, 0xFFFFFFFE, 0xFFFFFFFF)),
    ],
)
def test_patterns_of_partly_cached_coefficients(outputs: int, expected: tuple[int, int, int]) -> None:
    assert pattern(caching(SRAM, outputs=outputs)) == expected


@given(
    *(st.integers(64, 0x200000), st.integers(1, 64), st.integers(1, 64)),
    *(st.integers(1, 4), st.integers(1, 4096), st.sampled_from([0x20000, 0x80000, 0x100000])),
)
def test_windows_never_reach_beyond_the_sram(
    size: int, width: int, height: int, superblocks: int, planes: int, sram: int
) -> None:
    image = image_bytes(Tile(width, height, 1, superblocks, 1), 3, planes)
    found = choose_caching(image, 64, size, sram)
    assert found["kernel_cache_end_address"] <= sram and found["image_cache_end_address"] <= sram


# Requantisation


def test_the_databook_s_example() -> None:
    factor = scale_factor(0.0078125, 0.02, 0.05)
    assert int(np.float32(factor).view(np.uint32)) == 0x3B4CCCCC
    assert multiplier_and_shift(factor, 7) == (0x4CCC, 24)
    assert multiplier_and_shift(factor, 8) == (0x4CCCCC, 9)


def test_every_step_is_rounded_to_float32() -> None:
    """A division in double precision would give another last bit."""
    rng = np.random.default_rng(0)
    differing = 0
    for _ in range(200):
        one, two, three = (np.float32(scale) for scale in rng.uniform(0.001, 1, 3))
        stepwise = np.float32(np.float32(one * two) / three)
        exact = np.float32(float(one) * float(two) / float(three))
        assert scale_factor(float(one), float(two), float(three)) == float(stepwise)
        differing += bool(stepwise != exact)
    assert differing > 10


@given(st.floats(2.0**-100, 2.0**15, width=32))
def test_the_factor_is_cut_to_16_bits_of_mantissa(factor: float) -> None:
    multiplier, shift = multiplier_and_shift(factor, 7)
    assert 0 <= multiplier < 1 << 15 and 0 <= shift < 1 << 7
    effective = ((1 << 15) + multiplier) / 2.0**shift
    assert effective <= factor < effective * (1 + 2.0**-15)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("inf"), float("nan"), 2.0**16, 1e-45, 1e38])
def test_factors_that_the_shift_can_not_hold_are_refused(factor: float) -> None:
    with pytest.raises(Unsupported, match="requantisation factor"):
        multiplier_and_shift(factor, 7)


@pytest.mark.parametrize("exponent", [15, 14, 0, -1, -111, -112])
def test_powers_of_two_are_exact(exponent: int) -> None:
    assert multiplier_and_shift(2.0**exponent, 7) == (0, 15 - exponent)
