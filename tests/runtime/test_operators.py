# SPDX-License-Identifier: MIT
"""Are the operators that are no convolutions right, on both generations of the NPU, signed and unsigned?"""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hornito.compiler import Level, Options, Unit, compile_plan, make_plan
from hornito.driver import Device
from hornito.model import FullyConnectedOptions, ModelBuilder, Padding, Pool2DOptions, Value, affine, read_model
from hornito.runtime import Session
from tests.runtime.conftest import Devices
from tests.runtime.networks import Array, Dtype, furthest, litert, noise
from tests.runtime.test_accuracy import on_npu

CHIPS = ("vipnano-qi-88-0", "vipnano-si-plus-9f-6000000")
DTYPES: tuple[Dtype, ...] = (np.uint8, np.int8)
SHAPES = ((8, 8, 4), (7, 9, 16), (5, 5, 32), (1, 1, 10), (13, 17, 3), (4, 6, 1), (56, 56, 168))


def given_input(builder: ModelBuilder, name: str, shape: tuple[int, ...], dtype: Dtype, scale: float) -> Value:
    """An input whose zero point is off the middle."""
    return builder.input(name, shape, dtype, quantization=affine(scale, 100 + int(np.iinfo(dtype).min)))


def differ(found: list[Array], wanted: list[Array]) -> int:
    """The greatest difference of any output."""
    return max(furthest(mine, theirs) for mine, theirs in zip(found, wanted, strict=True))


def addition_bound(scales: tuple[float, float], output: float) -> int:
    """How far an ADD, whose weights have 8 bits, may be from the exact result, in steps of the output."""
    return 1 + math.ceil(max(scales) / (2 * output))


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_addition_is_within_its_bound(chip: str, dtype: Dtype, shape: tuple[int, ...], devices: Devices) -> None:
    builder, scales = ModelBuilder(), (0.02, 0.05)
    values = [given_input(builder, name, (1, *shape), dtype, scale) for name, scale in zip("ab", scales, strict=True)]
    builder.output(builder.add(*values, quantization=affine(0.06, 3 + int(np.iinfo(dtype).min))))
    inputs = [noise((1, *shape), dtype, seed) for seed in (1, 2)]
    model = builder.build()
    assert differ(on_npu(model, inputs, devices(chip)), litert(model, inputs)) <= addition_bound(scales, 0.06)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chip=st.sampled_from(CHIPS),
    dtype=st.sampled_from(DTYPES),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 20)),
    scales=st.tuples(*[st.floats(1e-3, 1.0)] * 2),
    zeros=st.tuples(*[st.integers(0, 255)] * 3),
)
def test_any_addition_is_within_its_bound(
    chip: str,
    dtype: Dtype,
    shape: tuple[int, int, int],
    scales: tuple[float, float],
    zeros: tuple[int, int, int],
    devices: Devices,
) -> None:
    least = int(np.iinfo(dtype).min)
    builder = ModelBuilder()
    values = [
        builder.input(name, (1, *shape), dtype, quantization=affine(scale, zero + least))
        for name, scale, zero in zip("ab", scales, zeros, strict=False)
    ]
    output = float(np.float32(max(scales) * 1.1))
    builder.output(builder.add(*values, quantization=affine(output, zeros[2] + least)))
    inputs = [noise((1, *shape), dtype, seed) for seed in (3, 4)]
    model = builder.build()
    assert differ(on_npu(model, inputs, devices(chip)), litert(model, inputs)) <= addition_bound(scales, output)


def moves(builder: ModelBuilder, dtype: Dtype) -> tuple[list[tuple[int, ...]], list[Value]]:
    """Concatenation, padding and splitting, with tensors that several operators want and that also leave."""
    shape = (1, 5, 7, 4)
    a, b = (given_input(builder, name, shape, dtype, 0.02) for name in "ab")
    both = builder.concatenation([a, b], 3)
    padded = builder.pad(both, [(0, 0), (1, 1), (1, 1), (0, 0)])
    halves = builder.split(padded, 2, 3)
    again = builder.concatenation([halves[1], halves[0]], 3)
    return [shape, shape], [both, *halves, again]


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("disabled", [(), (Unit.TP,)], ids=["all", "no TP"])
def test_views_and_moves_are_exact(chip: str, dtype: Dtype, disabled: tuple[Unit, ...], devices: Devices) -> None:
    builder = ModelBuilder()
    shapes, outputs = moves(builder, dtype)
    builder.output(*outputs)
    inputs = [noise(shape, dtype, seed) for seed, shape in enumerate(shapes)]
    model = builder.build()
    assert differ(on_npu(model, inputs, devices(chip), *disabled), litert(model, inputs)) == 0


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_tensor_in_two_places_is_copied(chip: str, dtype: Dtype, devices: Devices) -> None:
    builder = ModelBuilder()
    shape = (1, 6, 6, 8)
    a, b = (given_input(builder, name, shape, dtype, 0.02) for name in "ab")
    one = builder.pad(a, [(0, 0), (1, 1), (1, 1), (0, 0)])
    two = builder.pad(b, [(0, 0), (1, 1), (1, 1), (0, 0)])
    least = int(np.iinfo(dtype).min)
    double = builder.add(one, one, quantization=affine(0.05, least + 90))
    mixed = builder.add(two, one, quantization=affine(0.05, least + 90))
    builder.output(double, mixed, builder.concatenation([one, two, one], 3))
    inputs = [noise(shape, dtype, seed) for seed in (5, 6)]
    model = builder.build()
    found, expected = on_npu(model, inputs, devices(chip)), litert(model, inputs)
    assert differ(found[:2], expected[:2]) <= addition_bound((0.02, 0.02), 0.05)
    assert differ(found[2:], expected[2:]) == 0


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("length", "outputs"), [(1, 5), (128, 10), (560, 1), (1280, 33), (1021, 16)])
def test_fully_connected_is_within_one(chip: str, dtype: Dtype, length: int, outputs: int, devices: Devices) -> None:
    builder = ModelBuilder()
    value = given_input(builder, "row", (1, length), dtype, 0.02)
    zero = 0 if dtype is np.int8 else 130
    weights = noise((outputs, length), dtype, 7)
    if dtype is np.int8:
        weights = np.maximum(weights, np.int8(-127))
    bias: Array = np.random.default_rng(8).integers(-20000, 20000, outputs, dtype=np.int32)
    scale = affine(0.01 * math.sqrt(length), int(np.iinfo(dtype).min) + 120)
    result = builder.fully_connected(
        value,
        weights,
        bias,
        weights_quantization=affine(0.01, zero),
        quantization=scale,
        options=FullyConnectedOptions(),
    )
    builder.output(result)
    inputs = [noise((1, length), dtype, 9)]
    model = builder.build()
    assert differ(on_npu(model, inputs, devices(chip)), litert(model, inputs)) <= 1


def test_copy_of_a_tensor_of_many_rows_is_laid_out_to_fit(devices: Devices) -> None:
    builder = ModelBuilder()
    value = given_input(builder, "image", (1, 128, 128, 1), np.uint8, 0.02)
    weights = np.full((600, 1, 1, 1), 90, np.uint8)
    many = builder.conv2d(
        value,
        weights,
        np.zeros(600, np.int32),
        weights_quantization=affine(0.01, 30),
        quantization=affine(0.05, 100),
    )
    double = builder.add(many, many, quantization=affine(0.1, 100))
    few = builder.conv2d(
        double,
        np.full((2, 1, 1, 600), 31, np.uint8),
        np.zeros(2, np.int32),
        weights_quantization=affine(0.01, 30),
        quantization=affine(1.0, 100),
    )
    builder.output(few)
    inputs = [noise((1, 128, 128, 1), np.uint8, 1)]
    model = builder.build()
    assert differ(on_npu(model, inputs, devices("vipnano-qi")), litert(model, inputs)) <= 2


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["RELU", "RELU6"])
@pytest.mark.parametrize(("shape", "scale"), [((7, 9, 16), 0.0234), ((5, 5, 1), 0.01), ((13, 11, 31), 0.007)])
def test_lone_activations_are_within_one(
    chip: str, dtype: Dtype, kind: str, shape: tuple[int, ...], scale: float, devices: Devices
) -> None:
    """On an input of the model, on what a convolution gives, at scales of their own and at the same one."""
    builder, zero = ModelBuilder(), int(np.iinfo(dtype).min)
    value = builder.input("image", (1, *shape), dtype, quantization=affine(0.0234, zero + 90))
    if kind == "RELU6":
        scale = min(scale, 6 / 255 * 0.999)
    quantization = affine(scale, zero if kind == "RELU6" else zero + 20)
    made = builder.elementwise(kind, value, quantization=quantization)
    computed = builder.average_pool(value, Pool2DOptions(Padding.SAME, 1, 1, 2, 2))
    same = builder.elementwise("RELU", computed, quantization=computed.quantization)
    builder.output(made, same)
    inputs, model = [noise((1, *shape), dtype, 5)], builder.build()
    wanted = litert(model, inputs)
    for level in (Level.WIDE, Level.FAST):
        assert differ(at_level(model, inputs, devices(chip), level), wanted) <= 1


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("axis", [1, 3])
@pytest.mark.parametrize("scales", [(0.02, 0.05), (0.05, 0.02), (0.3, 0.02)])
def test_parts_of_a_concatenation_may_have_scales_of_their_own(
    chip: str, axis: int, scales: tuple[float, float], devices: Devices
) -> None:
    """LiteRT scales uint8 tensors only."""
    builder, shape = ModelBuilder(), (1, 5, 7, 12)
    values = [
        builder.input(name, shape, np.uint8, quantization=affine(scale, zero))
        for name, scale, zero in zip("abc", (*scales, 0.03), (100, 7, 50), strict=True)
    ]
    builder.output(builder.concatenation(values, axis, quantization=affine(0.03, 50)))
    inputs = [noise(shape, np.uint8, seed) for seed in (6, 7, 8)]
    model = builder.build()
    assert differ(at_level(model, inputs, devices(chip), Level.WIDE), litert(model, inputs)) <= 1


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("scales", [(0.02, 0.05), (0.05, 0.02), (0.5, 0.002)])
@pytest.mark.parametrize("dtypes", [(np.uint8, np.int8), (np.int8, np.int8)])
def test_quantisation_to_another_scale_is_within_one(
    chip: str, scales: tuple[float, float], dtypes: tuple[Dtype, Dtype], devices: Devices
) -> None:
    builder, shape = ModelBuilder(), (1, 9, 11, 5)
    value = given_input(builder, "image", shape, dtypes[0], scales[0])
    builder.output(builder.quantize(value, dtypes[1], affine(scales[1], 3)))
    inputs, model = [noise(shape, dtypes[0], 9)], builder.build()
    assert differ(at_level(model, inputs, devices(chip), Level.WIDE), litert(model, inputs)) <= 1


def at_level(model: bytes, values: list[Array], device: Device, level: Level) -> list[Array]:
    """A model's outputs at a plan level that takes all of it."""
    graph = read_model(model)
    plan = make_plan(graph, Options(device.chip, level))
    assert plan.refusals == {}
    session = Session(compile_plan(plan).archive, device, trusted=True)
    try:
        found = session.run(dict(zip(graph.inputs, values, strict=True)))
        return [found[index] for index in graph.outputs]
    finally:
        session.close()
