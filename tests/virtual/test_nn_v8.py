# SPDX-License-Identifier: MIT
"""Does version 8 compute exactly what the databook says of it, and refuse what only version 7 has?"""

from typing import Any

import numpy as np
import pytest

from hornito.hardware.chips import find_chip
from hornito.hardware.nn import NNDescriptor
from hornito.virtual.faults import Fault
from hornito.virtual.npu.executor import Executor
from tests.virtual.machine import (
    ADDRESSES,
    CHIP_V8,
    CODE,
    Bytes,
    Memory,
    as_bytes,
    execute,
    executor,
    nn_descriptor_v8,
    nn_stream,
    prepare,
)
from tests.virtual.reference import convolve, encode_v8

VECTORS = {
    "convolution": """
    A020010E 00A00500 4900003F 00A00508 0853400C 03C00280 F0004000 F0005000 00143000 00000000 00000000 00000800
    00000B80 00000000 00000800 09800200 00140014 99000014 60000000 03FFFFFF 00000000 03FFFFFF 02640307 00000000
    00000000 00000000 00000000 00000000 03FFFFFF 7F800000 FF800000 00000000 00000000 00000000""",
    "depthwise, first pixel": """
    9810018E 00A00500 49000000 00A00508 08504006 03C00240 F0005000 F0006000 000A3000 00000000 00000000 00000800
    00000A00 00000000 00000800 09800200 00140014 9900000A 00000000 03FFFFFF 00000000 03FFFFFF 02660307 00000000
    00000000 00000000 00000000 00000000 03FFFFFF 7F800000 FF800000 00000000 00000000 00000000""",
}


def run(descriptor: NNDescriptor, blob: bytes, image: Bytes) -> Bytes:
    return execute(as_bytes(descriptor), blob, image, chip=CHIP_V8)


@pytest.mark.parametrize("name", VECTORS)
def test_the_databooks_vectors_run(name: str) -> None:
    words = [int(word, 16) for word in VECTORS[name].split()]
    d = NNDescriptor.decode(words)
    rng = np.random.default_rng(8)
    planes = 1 if d.depthwise else d.channels
    weights = rng.integers(0, 256, (d.out_image_z_size, planes, 3, 3))
    biases = rng.integers(-20000, 20001, d.out_image_z_size).tolist()
    blob = encode_v8(weights, biases, d.coef_zero_point, d.kernels_per_core, 6, bool(d.depthwise))
    image = rng.integers(0, 256, 400 * d.channels, dtype=np.uint8)
    with Memory() as memory:
        memory.add(CODE, 136, np.array(words, "<u4").view(np.uint8))
        memory.add(d.kernel_address << 6, len(blob), np.frombuffer(blob, np.uint8))
        memory.add(d.in_image_address, len(image), image)
        size = d.out_image_z_size * d.out_image_x_stride * d.out_image_y_stride
        out = memory.add(d.out_image_address, size)
        executor(CHIP_V8).run(memory.space, nn_stream(CODE))
        expected = convolve(d, weights, biases, lambda address: int(image[address - d.in_image_address]), 8)
        assert [expected[d.out_image_address + place] for place in range(size)] == out[:size].tolist()


def test_inputs_and_border_are_taken_from_128() -> None:
    """One weight of 3, a border of 100: 3 * (100 - 128) where the kernel sees the border, else 3 * (in - 128)."""
    weights = np.zeros((1, 1, 3, 3), np.int64)
    weights[0, 0, 0, 0] = 3
    d = nn_descriptor_v8(offset=(-1, -1), in_image_border_const=100, scale=(0, 0), out_zero_point=128, **ADDRESSES)
    out = run(d, encode_v8(weights, [0], 0, 1), np.full(64, 130, np.uint8))[:36].reshape(6, 6)
    assert (out[0] == 128 - 84).all() and (out[:, 0] == 128 - 84).all()
    assert (out[1:, 1:] == 128 + 6).all()


def test_depthwise_reads_its_own_plane() -> None:
    weights = np.arange(1, 13).reshape(12, 1, 1, 1)
    image = np.repeat(np.arange(128, 140, dtype=np.uint8), 64)
    fields = {"kernel_xy_size": 1, "kernel_y_size": 1, "kernel_z_size": 12, "out_image_z_size": 12, "depthwise": 1}
    d = nn_descriptor_v8(**ADDRESSES, **fields, kernels_per_core=2, scale=(0, 0))
    out = run(d, encode_v8(weights, [0] * 12, 0, 2, depthwise=True), image)[: 12 * 36].reshape(12, 36)
    assert (out == (np.arange(12) * np.arange(1, 13))[:, None]).all()


@pytest.mark.parametrize("shift", [0, 1, 8, 20, 21, 22, 23, 24, 31, 32, 40, 63])
@pytest.mark.parametrize("multiplier", [0, 1, 0x2AAAAB, 0x7FFFFF])
def test_every_shift_is_exact(shift: int, multiplier: int) -> None:
    d = nn_descriptor_v8(scale=(multiplier, shift), out_zero_point=128, **ADDRESSES)
    for bias in (-(1 << 31) + 1, -(1 << 30) - 1, -3, -1, 0, 1, 1 << shift >> 1, (1 << 30) + 1, (1 << 31) - 1):
        bias = min(bias, (1 << 31) - 1)
        blob = encode_v8(np.zeros((1, 1, 3, 3), np.int64), [bias], 0, 1)
        exact = (bias * ((1 << 23) + multiplier) + (1 << (shift + 22))) >> (shift + 23)
        assert run(d, blob, np.zeros(64, np.uint8))[0] == max(0, min(exact + 128, 255))


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize(
    ("multiplier", "accumulator", "expected"), [(14795259, 2130763469, 3), (15240858, -2068466053, -4)]
)
def test_products_of_more_than_53_bits_are_exact(multiplier: int, accumulator: int, expected: int, dense: bool) -> None:
    """Products so near to 3.5 * 2 ** 53 that doubles take them for it, and round the other way."""
    assert abs(accumulator * multiplier) - (7 << 52) in (-1, 2)
    assert np.floor(float(accumulator) * multiplier / 2**53 + 0.5) == expected + 1
    d = nn_descriptor_v8(scale=(multiplier - (1 << 23), 30), out_zero_point=10, **ADDRESSES)
    blob = encode_v8(np.full((1, 1, 3, 3), int(dense)), [accumulator], 0, 1)
    assert run(d, blob, np.full(64, 128, np.uint8))[0] == 10 + expected


@pytest.mark.parametrize("bias", [(1 << 31) - 1, -(1 << 31)])
def test_an_accumulator_beyond_31_bits_is_a_fault(bias: int) -> None:
    d = nn_descriptor_v8(scale=(0, 30), **ADDRESSES)
    weights = np.full((1, 1, 3, 3), 1 if bias > 0 else 0)
    blob = encode_v8(weights, [bias], 0, 1)
    with Memory() as memory:
        out = prepare(memory, as_bytes(d), blob, np.full(64, 255, np.uint8), 7)
        with pytest.raises(Fault, match="accumulator of 214748"):
            executor(CHIP_V8).run(memory.space, nn_stream(CODE))
        assert (out == 7).all()


def test_the_largest_accumulator_is_no_fault() -> None:
    """A bias at the limit, and inputs below 128 that take it back."""
    d = nn_descriptor_v8(scale=(0, 30), **ADDRESSES)
    blob = encode_v8(np.full((1, 1, 3, 3), 255), [(1 << 31) - 1], 0, 1)
    exact = ((1 << 31) - 1 - 9 * 255 * 128 + (1 << 29)) >> 30
    assert run(d, blob, np.zeros(64, np.uint8))[0] == exact


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"no_z_offset": 0}, "no_z_offset = 0: always set on version 8"),
        ({"no_flush": 0}, "no_flush = 0: always set on version 8"),
        ({"scale": (0, 64)}, "post_shift 64: that it means -64 is inferred only"),
        ({"scale": (0, 127)}, "post_shift 127: that it means -1 is inferred only"),
        ({"depthwise": 1, "kernel_z_size": 2}, "depthwise = 1 with 2 input and 1 output channels"),
        ({"kernels_per_core": 2}, "2 kernels per core"),
        ({"kernel_cache_end_address": 0x40001}, "kernel_cache_end_address = 0x40001"),
    ],
)
def test_a_descriptor_that_does_not_fit_is_refused(fields: dict[str, Any], why: str) -> None:
    blob = encode_v8(np.ones((1, 1, 3, 3), np.int64), [0], 0, 1)
    with Memory() as memory:
        out = prepare(memory, as_bytes(nn_descriptor_v8(**ADDRESSES, **fields)), blob, np.zeros(64, np.uint8), 7)
        with pytest.raises(Fault, match=why) as caught:
            executor(CHIP_V8).run(memory.space, nn_stream(CODE))
        assert (caught.value.unit, caught.value.job) == ("NN", 0)
        assert (out == 7).all()


def test_a_malformed_blob_is_refused_where_it_lies() -> None:
    blob = bytearray(encode_v8(np.ones((1, 1, 3, 3), np.int64), [0], 0, 1))
    blob[1] = 4
    with pytest.raises(Fault, match="run_length_size = 4") as caught:
        run(nn_descriptor_v8(**ADDRESSES), bytes(blob), np.zeros(64, np.uint8))
    assert caught.value.address == ADDRESSES["kernel_address"] << 6


def test_changed_biases_are_noticed() -> None:
    """The last four bytes of the blob, which is no multiple of eight."""
    d = nn_descriptor_v8(scale=(0, 0), **ADDRESSES)
    blob = encode_v8(np.zeros((1, 1, 3, 3), np.int64), [5], 0, 1)
    with Memory() as memory:
        out = prepare(memory, as_bytes(d), blob, np.zeros(64, np.uint8))
        coefficients = memory.space.view(ADDRESSES["kernel_address"] << 6, len(blob))
        for bias in (5, 9, 5):
            coefficients[-4] = bias
            executor(CHIP_V8).run(memory.space, nn_stream(CODE))
            assert out[0] == bias


@pytest.mark.parametrize(
    "name",
    [
        "vipnano-si-plus-a0-6000000",
        "vip9000nano-si-b9-4000000",
        "vip9000nano-di-be-8000000",
        "vip9000nano-di-e8-8000000",
    ],
)
def test_the_other_chips_of_version_8_run(name: str) -> None:
    chip = find_chip(name)
    rng = np.random.default_rng(2)
    weights = rng.integers(0, 256, (20, 2, 3, 3))
    per_core = -(-20 // chip.nn_cores)
    d = nn_descriptor_v8(
        **ADDRESSES,
        **{"kernel_z_size": 2, "out_image_z_size": 20, "kernels_per_core": per_core},
        **{"kernel_cache_end_address": 0xA00, "out_zero_point": 128, "scale": (0, 10)},
    )
    image = rng.integers(0, 256, 128, dtype=np.uint8)
    with Memory() as memory:
        out = prepare(memory, as_bytes(d), encode_v8(weights, [0] * 20, 0, per_core, chip.nn_cores), image)
        Executor(chip).run(memory.space, nn_stream(CODE))
        expected = convolve(d, weights, [0] * 20, lambda address: int(image[address - d.in_image_address]), 8)
        assert out[:720].tolist() == [expected[d.out_image_address + place] for place in range(720)]
