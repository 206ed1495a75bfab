# SPDX-License-Identifier: MIT
"""Are multiplications and bytes counted as one would by hand?"""

import dataclasses

from hornito.compiler.convolution import encode_convolution
from hornito.compiler.moves import move_descriptors
from hornito.compiler.tasks import Detranspose, Pad, Reshuffle, Shape
from hornito.cost import Work, move_work, nn_work
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
        assert work == Work(macs=64 * 9 * 4 * 16, coefficient_bytes=1000, read=1000 + 8 * 8 * 4, written=8 * 8 * 16)
        assert work.traffic == 1000 + 256 + 1024


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
    for chip, passes in ((A311D, 3), (IMX8MP, 4)):
        found = dataclasses.replace(
            descriptor(Layer(8, inputs=4, outputs=40), chip),
            kernels_per_core=2,
            image_caching_mode=CachingMode.NONE,
        )
        assert nn_work(found, 100, chip).read == 100 + passes * 256
        cached = dataclasses.replace(found, image_caching_mode=CachingMode.FULL)
        assert nn_work(cached, 100, chip).read == 100 + 256


def test_planes_beyond_the_first_field_count() -> None:
    found = dataclasses.replace(descriptor(Layer(8, inputs=4, outputs=16), A311D), kernel_z_size2=1)
    assert nn_work(found, 0, A311D).macs == 64 * 9 * (16384 + 4) * 16


def test_moves_read_and_write_each_byte_once() -> None:
    shape = Shape(4, 6, 5)
    assert move_work(move_descriptors(Detranspose(0, 0, 1, shape, shape, 3), A311D)) == Work(read=120, written=120)


def test_borders_are_written_but_not_read() -> None:
    pad = Pad(0, 0, 1, Shape(4, 6, 5), Shape(6, 8, 5), 3)
    for chip in (A311D, IMX8MP):  # 4 cores and 3
        assert move_work(move_descriptors(pad, chip)) == Work(read=120, written=6 * 8 * 5)


def test_a_reshuffle_writes_all_phases_and_reads_what_is_there() -> None:
    """9x9 with one row and column of padding to four phases of 5x5: 10x10 places, of which 9x9 lie inside."""
    move = Reshuffle(0, 0, 1, Shape(9, 9, 2), Shape(5, 5, 8), 3, pad_x=1, pad_y=1)
    assert move_work(move_descriptors(move, IMX8MP)) == Work(read=162, written=200)


def test_work_adds_up() -> None:
    assert Work(1, 2, 3, 4, 5) + Work(10, 20, 30, 40, 50) == Work(11, 22, 33, 44, 55)
