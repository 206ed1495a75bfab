# SPDX-License-Identifier: MIT
"""Does an NN job compute exactly what the databook says, and refuse what it gives no meaning to?"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.errors import Unsupported
from hornito.hardware.chips import Chip, find_chip
from hornito.virtual.faults import Fault, MMUFault
from hornito.virtual.npu.executor import Executor
from hornito.virtual.npu.nn import NNUnit
from tests.virtual.machine import (
    ADDRESSES,
    CHIP,
    CHIP_V8,
    CODE,
    COEFFICIENTS,
    INPUT,
    OUTPUT,
    Memory,
    as_bytes,
    execute,
    executor,
    nn_descriptor,
    nn_descriptor_v8,
    nn_stream,
    prepare,
)
from tests.virtual.reference import Weights, convolve, encode, encode_v8


def ones(outputs: int = 1, planes: int = 1, kernel: int = 3) -> bytes:
    return encode(np.ones((outputs, planes, kernel, kernel), np.int64), [0] * outputs, 0, 0, 1, 36)


@pytest.mark.parametrize("chip", [CHIP, CHIP_V8], ids=lambda chip: f"version {chip.nn_version}")
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_job_agrees_with_the_plain_model(chip: Chip, data: st.DataObject) -> None:
    def number(low: int, high: int, name: str) -> int:
        return data.draw(st.integers(low, high), name)

    step = data.draw(st.sampled_from([1, 2]), "step")
    kernel_x, kernel_y = number(1, 5, "kernel x"), number(1, 5, "kernel y")
    out_x, out_y = number(1, 9, "out x"), number(1, 7, "out y")
    outputs = data.draw(st.sampled_from([1, 2, 8, 9, 24]), "outputs")
    depthwise = data.draw(st.booleans(), "depthwise")
    planes = outputs if depthwise else number(1, 9, "planes")
    native = chip.depthwise and depthwise and outputs not in range(2, chip.nn_cores)
    v8 = chip.nn_version == 8
    x, y = number(1, 12, "x"), number(1, 12, "y")
    d = (nn_descriptor_v8 if v8 else nn_descriptor)(
        depthwise=int(native),
        pooling=3 if step == 2 else 0,
        pooling_xy_size=2 - step,
        kernel_xy_size=kernel_x,
        kernel_y_size=kernel_y,
        kernel_z_size=planes,
        kernels_per_core=number(1, -(-outputs // min(outputs, chip.nn_cores)), "per core"),
        in_image_x_size=x,
        in_image_y_size=y,
        in_image_x_stride=x + number(0, 2, "in x stride"),
        in_image_y_stride=y + number(0, 2, "in y stride"),
        in_image_border_const=number(0, 255, "border"),
        offset=(number(-13 if v8 else -5, 3, "offset x"), number(-13 if v8 else -5, 3, "offset y")),
        out_image_x_size=step * out_x,
        out_image_y_size=step * out_y,
        out_image_z_size=outputs,
        out_image_x_stride=out_x + number(0, 2, "out x stride"),
        out_image_y_stride=out_y + number(0, 2, "out y stride"),
        coef_zero_point=number(0, 255, "weight zero point"),
        out_zero_point=number(0, 255, "out zero point"),
        relu=number(0, 1, "relu"),
        scale=(number(0, 0x7FFFFF if v8 else 0x7FFF, "multiplier"), number(3, 25, "shift") + (0 if v8 else 15)),
        **ADDRESSES,
    )
    rng = np.random.default_rng(number(0, 1 << 32, "seed"))
    weights: Weights = rng.integers(0, 256, (outputs, planes, kernel_y, kernel_x))
    if depthwise:
        weights[~np.eye(outputs, dtype=bool)] = d.coef_zero_point
    biases = rng.integers(-(1 << 20), 1 << 20, outputs).tolist()
    plane = d.out_image_x_stride * d.out_image_y_stride
    if native:
        weights = weights[np.arange(outputs), np.arange(outputs)][:, None]
    if v8:
        blob = encode_v8(weights, biases, d.coef_zero_point, d.kernels_per_core, chip.nn_cores, native)
    else:
        blob = encode(weights, biases, d.coef_zero_point, number(0, 5, "zrl"), d.kernels_per_core, plane)
    image = rng.integers(0, 256, 0x10000, dtype=np.uint8)
    expected = np.full(0x10000, 0x5A, np.uint8)
    model = convolve(d, weights, biases, lambda address: int(image[address - INPUT]), chip.nn_version)
    for address, value in model.items():
        expected[address - OUTPUT] = value
    assert (execute(as_bytes(d), blob, image, 0x5A, chip) == expected).all()


@pytest.mark.parametrize(("value", "expected"), [(1, 1), (3, 2), (-1, 0), (-3, -1), (-5, -2), (5, 3)])
def test_halves_are_rounded_up(value: int, expected: int) -> None:
    """bias * 2^15 / 2^16: every odd bias is a tie."""
    d = nn_descriptor(scale=(0, 16), out_zero_point=100, **ADDRESSES)
    blob = encode(np.zeros((1, 1, 3, 3), np.int64), [value], 0, 0, 1, 36)
    assert (execute(as_bytes(d), blob, np.zeros(64, np.uint8))[:36] == 100 + expected).all()


def test_pointwise_window_below_the_image_sees_the_border() -> None:
    size = {
        f"{part}_{axis}_{what}": 1 for part in ("in_image", "out_image") for axis in "xy" for what in ("size", "stride")
    }
    d = nn_descriptor(
        kernel_xy_size=1, kernel_y_size=1, in_image_border_const=7, offset=(0, 1), scale=(0, 15), **size, **ADDRESSES
    )
    blob = encode(np.full((1, 1, 1, 1), 2), [3], 0, 0, 1, 1)
    assert execute(as_bytes(d), blob, np.full(64, 100, np.uint8))[0] == 2 * 7 + 3


@pytest.mark.parametrize("shift", [0, 1, 15, 60, 127])
def test_every_shift_is_exact(shift: int) -> None:
    d = nn_descriptor(scale=(0x7FFF, shift), out_zero_point=128, **ADDRESSES)
    for bias in (-(1 << 31) + 1, -1, 0, 1, (1 << 31) - 1):
        blob = encode(np.zeros((1, 1, 3, 3), np.int64), [bias], 0, 0, 1, 36)
        exact = ((bias * 0xFFFF) + (1 << shift >> 1)) >> shift
        assert execute(as_bytes(d), blob, np.zeros(64, np.uint8))[0] == max(0, min(exact + 128, 255))


def test_sums_beyond_float32_stay_exact() -> None:
    """400 planes of 3x3 weights of 255: sums near 2^28, where float32 knows only every 16th integer."""
    planes = 400
    rng = np.random.default_rng(5)
    weights = rng.integers(128, 256, (1, planes, 3, 3))
    image = rng.integers(0, 256, planes * 9, dtype=np.uint8)
    total = int((weights.reshape(-1) * image).sum())
    d = nn_descriptor(
        kernel_z_size=planes,
        **{"in_image_x_size": 3, "in_image_y_size": 3, "in_image_x_stride": 3, "in_image_y_stride": 3},
        **{"out_image_x_size": 1, "out_image_y_size": 1, "out_image_x_stride": 1, "out_image_y_stride": 1},
        scale=(0, 15),
        **ADDRESSES,
    )
    for distance in (0, 1, 100, 200):
        blob = encode(weights, [distance - total], 0, 0, 1, 1)
        assert execute(as_bytes(d), blob, image)[0] == distance


@pytest.mark.parametrize("bias", [(1 << 31) - 1, -(1 << 31)])
def test_an_accumulator_beyond_31_bits_is_a_fault(bias: int) -> None:
    d = nn_descriptor(scale=(0, 47), **ADDRESSES)
    weights = np.full((1, 1, 3, 3), 1 if bias > 0 else 0)
    with Memory() as memory:
        out = prepare(memory, as_bytes(d), encode(weights, [bias], 0, 0, 1, 36), np.full(64, 255, np.uint8), 7)
        with pytest.raises(Fault, match="accumulator"):
            executor().run(memory.space, nn_stream(CODE))
        assert (out == 7).all()


def test_memory_is_obeyed_as_it_is_now() -> None:
    d = nn_descriptor(scale=(0, 15), **ADDRESSES)
    with Memory() as memory:
        out = prepare(memory, as_bytes(d), ones(), np.ones(64, np.uint8))
        coefficients = memory.space.view(COEFFICIENTS, 128)
        for weight in (1, 5, 1):
            coefficients[67] = weight
            executor().run(memory.space, nn_stream(CODE))
            assert out[0] == 8 + weight
        memory.space.view(CODE, 136)[88] = 1  # the weights' zero point
        executor().run(memory.space, nn_stream(CODE))
        assert out[0] == 0


def test_in_place_reads_the_input_as_it_was() -> None:
    fields = {**ADDRESSES, "out_image_address": INPUT + 1}
    one_by_one = {"kernel_xy_size": 1, "kernel_y_size": 1, "out_image_x_size": 8, "out_image_y_size": 8}
    d = nn_descriptor(scale=(0, 15), **one_by_one, out_image_x_stride=8, out_image_y_stride=8, **fields)
    with Memory() as memory:
        prepare(memory, as_bytes(d), encode(np.full((1, 1, 1, 1), 2), [0], 0, 0, 1, 64), np.arange(65, dtype=np.uint8))
        executor().run(memory.space, nn_stream(CODE))
        assert memory.space.view(INPUT, 65).tolist() == [0, *range(0, 128, 2)]


def test_what_was_decoded_is_forgotten_within_bounds() -> None:
    unit = NNUnit(CHIP, cache_bytes=2000)
    with Memory() as memory:
        prepare(memory, as_bytes(nn_descriptor(**ADDRESSES)), ones(), np.ones(64, np.uint8))
        descriptor = memory.space.view(CODE, 136).view("<u4")
        for address in range(COEFFICIENTS, COEFFICIENTS + 30 * 64, 64):
            memory.space.view(address, 128)[:] = np.frombuffer(ones(), np.uint8)
            descriptor[5] = address >> 6
            unit.run(memory.space, CODE)
        assert sum(entry.nbytes for entry in unit._decoded.values()) <= 2000


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"no_z_offset": 1}, "no_z_offset = 1: never set on version 7"),
        ({"no_flush": 1}, "no_flush = 1: never set on version 7"),
        ({"depthwise": 1}, "depthwise = 1: never set on vipnano-qi-88-0"),
        ({"in_image_x_offset_bit_4": 1}, "in_image_x_offset_bit_4 = 1"),
        ({"post_multiplier_15_to_22": 1}, "post_multiplier 0x8000"),
        ({"pooling_xy_size": 0}, "pooling_xy_size = 0 with pooling = 0"),
        ({"pooling": 3, "pooling_xy_size": 0, "out_image_x_size": 5}, "out_image_x_size = 5: must be even"),
        ({"kernel_xy_size": 12}, "kernel_xy_size = 12"),
        ({"kernel_y_size": 0}, "kernel_y_size = 0"),
        ({"kernel_z_size": 0}, "channels = 0"),
        ({"in_image_x_size": 0}, "in_image_x_size = 0"),
        ({"out_image_z_size": 0}, "out_image_z_size = 0"),
        ({"kernels_per_core": 2}, "2 kernels per core"),
        ({"out_image_tile_x_size": 65}, "out_image_tile_x_size = 65"),
        ({"out_image_tile_y_size": 0}, "out_image_tile_y_size = 0"),
        ({"out_image_tile_y_size": 23}, "out_image_tile_y_size = 23: .* enough for 22"),
        ({"out_image_tile_x_size": 40, "out_image_tile_y_size": 11}, "out_image_tile_y_size = 11: .* enough for 10"),
        ({"kernels_per_core": 22}, "kernels_per_core = 22: .* hold 21"),
        (
            {"image_caching_mode": 1, "image_cache_start_address": 0x900, "image_cache_end_address": 0xB00},
            "image_cache_start_address = 0x900: both caches have byte 0x900",
        ),
        ({"in_image_border_const": 256}, "in_image_border_const = 256"),
        ({"out_image_x_stride": 5}, "out_image_x_size = 6 does not fit out_image_x_stride = 5"),
        ({"out_image_y_stride": 5}, "out_image_y_size = 6 does not fit out_image_y_stride = 5"),
        ({"kernel_cache_end_address": 0x80001}, "kernel_cache_end_address = 0x80001"),
        ({"image_cache_end_address": 0x80001}, "image_cache_end_address = 0x80001"),
    ],
)
def test_a_descriptor_that_does_not_fit_is_refused(fields: dict[str, Any], why: str) -> None:
    with Memory() as memory:
        out = prepare(memory, as_bytes(nn_descriptor(**ADDRESSES, **fields)), ones(), np.zeros(64, np.uint8), 7)
        with pytest.raises(Fault, match=why) as caught:
            executor().run(memory.space, nn_stream(CODE))
        assert (caught.value.unit, caught.value.job) == ("NN", 0)
        assert (out == 7).all()


@pytest.mark.parametrize(
    ("word", "value", "why"),
    [(0, 1, "layer_type = 0x1"), (2, 0x80, "brick_mode"), (4, 0, "rounding_mode"), (23, 4, "w23"), (29, 0, "further4")],
)
def test_an_unknown_value_is_refused(word: int, value: int, why: str) -> None:
    words = as_bytes(nn_descriptor(**ADDRESSES)).copy()
    words.view("<u4")[word] = value
    with pytest.raises(Fault, match=why) as caught:
        execute(words, ones(), np.zeros(64, np.uint8))
    assert caught.value.address == CODE


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"in_image_address": INPUT + 0x10000 - 63}, INPUT + 0x10000),
        ({"in_image_address": INPUT - 1}, INPUT - 1),
        ({"in_image_address": 0xFFFFFFFF}, 0xFFFFFFFF),
        ({"out_image_address": OUTPUT + 0x10000 - 35}, OUTPUT + 0x10000),
        ({"out_image_address": 0}, 0),
        ({"kernel_address": (COEFFICIENTS >> 6) + 64}, COEFFICIENTS + 0x1000),
        ({"kernel_address": 0}, 0),
    ],
)
def test_an_address_outside_every_buffer_is_refused(fields: dict[str, int], address: int) -> None:
    with Memory() as memory:
        out = prepare(memory, as_bytes(nn_descriptor(**ADDRESSES | fields)), ones(), np.zeros(64, np.uint8), 7)
        with pytest.raises(MMUFault) as caught:
            executor().run(memory.space, nn_stream(CODE))
        assert (caught.value.unit, caught.value.job, caught.value.address) == ("MMU", 0, address)
        assert (out == 7).all()


def test_only_the_pixels_that_are_read_must_be_mapped() -> None:
    fields = {"in_image_y_size": 100, "in_image_address": INPUT + 0x10000 - 64}
    assert execute(as_bytes(nn_descriptor(**ADDRESSES | fields)), ones(), np.zeros(64, np.uint8))[0] == 0


def test_a_descriptor_outside_every_buffer_is_refused() -> None:
    with Memory() as memory:
        prepare(memory, as_bytes(nn_descriptor(**ADDRESSES)), ones(), np.zeros(64, np.uint8))
        with pytest.raises(MMUFault) as caught:
            executor().run(memory.space, nn_stream(CODE + 0x1000))
        assert caught.value.address == CODE + 0x1000


@pytest.mark.parametrize("name", ["vippico-v3-99-2000000", "gcnanoultra31-vip2-15-0"])
def test_a_chip_of_unproven_format_is_refused(name: str) -> None:
    with pytest.raises(Unsupported, match=name):
        Executor(find_chip(name))


def test_a_chip_without_first_pixel_pooling_refuses_it() -> None:
    unit = NNUnit(find_chip("vipnano-qi-7d-0"))
    with Memory() as memory:
        words = as_bytes(nn_descriptor(pooling=3, pooling_xy_size=0, **ADDRESSES))
        prepare(memory, words, ones(), np.zeros(64, np.uint8))
        with pytest.raises(Fault, match="no first-pixel pooling"):
            unit.run(memory.space, CODE)
