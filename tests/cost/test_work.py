# SPDX-License-Identifier: MIT
"""Are multiplications and bytes counted as one would by hand?"""

import dataclasses

from hornito.compiler.convolution import encode_convolution
from hornito.compiler.moves import move_descriptors
from hornito.compiler.tasks import Detranspose, Pad, Reshuffle, Shape
from hornito.cost import Tiling, Work, move_work, nn_work, side_by_side, tiling_of
from hornito.hardware.chips import Chip, find_chip
from hornito.hardware.nn import CachingMode, NNDescriptor, Pooling
from tests.compiler.networks import Layer, convolution_of

A311D = find_chip("a311d")  # 8 cores
IMX8MP = find_chip("imx8mp")  # 6 cores, depthwise of its own


def descriptor(layer: Layer, chip: Chip) -> NNDescriptor:
    return encode_convolution(convolution_of(layer, chip), chip).descriptor


def test_a_3x3_layer_of_one_superblock_reads_its_image_once() -> None:
    """8x8x4 to 8x8x16: 64 pixels, 9 places, 4 planes, 16 outputs."""
    for chip in (A311D, IMX8MP):
        work = nn_work(descriptor(Layer(8, inputs=4, outputs=16), chip), 1000, chip)
        assert (work.macs, work.coefficient_bytes) == (64 * 9 * 4 * 16, 1000)
        assert (work.read, work.written) == (work.coefficient_reads + work_image(chip), 8 * 8 * 16)
        assert work.traffic == work.read + 1024


def work_image(chip: Chip) -> int:
    """Version 7 has one tile of 8x8. Version 8 has two of 8x4, which read rows 0..4 and 3..7: ten in place of eight."""
    return 8 * 8 * 4 if chip is A311D else 8 * 10 * 4


def test_macs_of_1x1_kernels_are_told_apart() -> None:
    work = nn_work(descriptor(Layer(8, inputs=4, outputs=16, kernel=1), A311D), 0, A311D)
    assert work.pointwise_macs == work.macs == 64 * 4 * 16


def test_depthwise_is_dense_on_version_7_and_not_on_version_8() -> None:
    layer = Layer(8, inputs=12, depthwise=True)
    assert nn_work(descriptor(layer, A311D), 0, A311D).macs == 64 * 9 * 12 * 12
    assert nn_work(descriptor(layer, IMX8MP), 0, IMX8MP).macs == 64 * 9 * 12


def test_first_pixel_pooling_computes_four_times_what_it_writes() -> None:
    layer = Layer(8, inputs=4, outputs=16, kernel=1, stride=2)
    for chip in (A311D, IMX8MP):
        found = descriptor(layer, chip)
        assert found.pooling == Pooling.FIRST_PIXEL
        work = nn_work(found, 0, chip)
        assert (work.macs, work.written) == (8 * 8 * 4 * 16, 4 * 4 * 16)


def test_an_image_that_is_not_cached_is_read_for_every_superblock() -> None:
    """40 outputs on 8 cores are 5 a core, on 6 cores 7: with 2 at a time that makes 3 and 4 superblocks."""
    for chip, passes, tiles in ((A311D, 3, 1), (IMX8MP, 4, 2)):
        found = dataclasses.replace(
            descriptor(Layer(8, inputs=4, outputs=40), chip),
            kernels_per_core=2,
            image_caching_mode=CachingMode.NONE,
        )
        # Version 8 keeps no coefficients either: each of its tiles reads them again.
        assert nn_work(found, 100, chip).read == tiles * 100 + passes * work_image(chip)
        cached = nn_work(dataclasses.replace(found, image_caching_mode=CachingMode.FULL), 100, chip)
        assert cached.read == tiles * 100 + work_image(chip)
        assert cached.cached == (passes - 1) * work_image(chip)


def wide(**fields: int) -> NNDescriptor:
    """100x20 to 100x20, 3x3 SAME, 4 planes, 16 outputs on an A311D, in tiles of 64x8: two across, three down."""
    layer = descriptor(Layer(8, inputs=4, outputs=16), A311D)
    sizes = {"in_image_x_size": 100, "in_image_y_size": 20, "out_image_x_size": 100, "out_image_y_size": 20}
    tile = {"out_image_tile_x_size": 64, "out_image_tile_y_size": 8}
    return dataclasses.replace(layer, **(sizes | tile | fields))


def test_tiles_read_their_halos() -> None:
    """Columns: 0..64 and 63..99 of the image, 65 + 37. Rows: 0..8, 7..16 and 15..19, 9 + 10 + 5."""
    assert tiling_of(wide(), A311D) == Tiling(
        tiles=6, superblocks=1, lines=2 * 20, input_pixels=(65 + 37) * (9 + 10 + 5)
    )
    work = nn_work(wide(), 1000, A311D)
    assert work.read == 1000 + 102 * 24 * 4
    assert work.written == 100 * 20 * 16


def test_idle_lanes_are_counted_for_tiles_that_leave_some() -> None:
    """A line of 64 for 36 columns; 14 columns of a 3x3 kernel share a line with 14 others."""
    work = nn_work(wide(), 0, A311D)
    assert (work.macs, work.lane_macs) == (100 * 20 * 9 * 4 * 16, 128 * 20 * 9 * 4 * 16)
    small = nn_work(descriptor(Layer(14, inputs=4, outputs=16), A311D), 0, A311D)
    assert small.lane_macs == 7 * 64 * 9 * 4 * 16
    assert (small.macs, small.pointwise_lane_macs) == (14 * 14 * 9 * 4 * 16, 0)


def test_a_core_with_a_kernel_less_waits_for_the_others() -> None:
    """17 outputs on 8 cores take as long as 24."""
    work = nn_work(descriptor(Layer(64, inputs=4, outputs=17), A311D), 0, A311D)
    assert (work.macs, work.lane_macs) == (64 * 64 * 9 * 4 * 17, 64 * 64 * 9 * 4 * 24)


def test_coefficients_are_read_for_each_tile_but_for_what_is_kept() -> None:
    full = nn_work(wide(kernel_caching_mode=CachingMode.FULL), 1000, A311D)
    none = nn_work(wide(kernel_caching_mode=CachingMode.NONE), 1000, A311D)
    window = {"kernel_cache_start_address": 0x800, "kernel_cache_end_address": 0x800 + 600}
    partial = nn_work(wide(kernel_caching_mode=CachingMode.PARTIAL, **window), 1000, A311D)
    assert [work.coefficient_reads for work in (full, none, partial)] == [1000, 6 * 1000, 1000 + 5 * 400]
    assert [work.cached for work in (full, none, partial)] == [5 * 1000, 0, 5 * 600]


def test_planes_beyond_the_first_field_count() -> None:
    found = dataclasses.replace(descriptor(Layer(8, inputs=4, outputs=16), A311D), kernel_z_size2=1)
    assert nn_work(found, 0, A311D).macs == 64 * 9 * (16384 + 4) * 16


def test_moves_read_and_write_each_byte_once() -> None:
    shape = Shape(4, 6, 5)
    assert move_work(move_descriptors(Detranspose(0, 0, 1, shape, shape, 3), A311D)) == Work(
        read=120, written=120, moved=120
    )


def test_borders_are_written_but_not_read() -> None:
    pad = Pad(0, 0, 1, Shape(4, 6, 5), Shape(6, 8, 5), 3)
    for chip in (A311D, IMX8MP):  # 5 planes on 4 cores and on 3: two for the busiest
        found = move_work(move_descriptors(pad, chip))
        assert found == Work(read=120, written=6 * 8 * 5, moved=6 * 8 * 2)


def test_a_reshuffle_writes_all_phases_and_reads_what_is_there() -> None:
    """9x9 with one row and column of padding to four phases of 5x5: 10x10 places, of which 9x9 lie inside;
    the first of three cores has two of five rows."""
    move = Reshuffle(0, 0, 1, Shape(9, 9, 2), Shape(5, 5, 8), 3, pad_x=1, pad_y=1)
    assert move_work(move_descriptors(move, IMX8MP)) == Work(read=162, written=200, moved=80)


def test_work_adds_up() -> None:
    one, two = Work(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), Work(10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
    assert one + two == Work(11, 22, 33, 44, 55, 66, 77, 88, 99, 110)


def test_tp_cores_work_side_by_side() -> None:
    parts = [Work(read=5, written=6, moved=6), Work(read=3, written=4, moved=4)]
    assert side_by_side(parts) == Work(read=8, written=10, moved=6)
