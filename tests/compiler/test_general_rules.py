# SPDX-License-Identifier: MIT
"""Does each rule of the general convolution, and of what is built of it, keep exactly what it names off the NPU?

Every case is an operator that plan level wide takes, with one thing about it changed in the graph.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from hornito.compiler import Level, Options, Unit, compile_graph, make_plan
from hornito.compiler.evidence import Trust
from hornito.compiler.operators import LOWERINGS, refusal, unknown
from hornito.hardware.chips import find_chip
from hornito.model import (
    Activation,
    AddOptions,
    Graph,
    ModelBuilder,
    Padding,
    Pool2DOptions,
    Quantization,
    TransposeConvOptions,
    Value,
    affine,
    per_axis,
)
from tests.compiler.networks import CHIP, Layer, altered, made

OPTIONS = Options(CHIP, Level.WIDE)
IMX8MP = find_chip("imx8mp")


def image(builder: ModelBuilder, *, rows: int = 8, columns: int = 8, channels: int = 4) -> Value:
    return builder.input("image", (1, rows, columns, channels), np.uint8, quantization=affine(0.05, 3))


def pool(builder: ModelBuilder) -> Sequence[Value]:
    return [builder.average_pool(image(builder), Pool2DOptions(Padding.VALID, 2, 2, 2, 2))]


def clamped(builder: ModelBuilder) -> Sequence[Value]:
    one, two = image(builder), image(builder)
    result = builder.tensor("sum", one.shape, np.uint8, quantization=affine(0.1, 4))
    builder.operator("ADD", [one, two], [result], AddOptions(Activation.RELU))
    return [result]


def mean(builder: ModelBuilder) -> Sequence[Value]:
    return [builder.mean(image(builder), (1, 2), quantization=affine(0.05, 3))]


def dense(builder: ModelBuilder) -> Sequence[Value]:
    value = builder.input("row", (1, 6), np.int8, quantization=affine(0.05, 3))
    weights, bias = np.arange(24, dtype=np.int8).reshape(4, 6), np.zeros(4, np.int32)
    scales = per_axis([0.01, 0.02, 0.03, 0.04], 0)
    return [builder.fully_connected(value, weights, bias, weights_quantization=scales, quantization=affine(0.05, 3))]


def turned(builder: ModelBuilder) -> Sequence[Value]:
    value = image(builder)
    inputs = [
        builder.constant("size", np.array((1, 16, 16, 5), np.int32)),
        builder.constant("weights", np.full((5, 3, 3, 4), 9, np.uint8), quantization=affine(0.02, 7)),
        value,
        builder.constant("bias", np.zeros(5, np.int32), quantization=affine(0.001)),
    ]
    result = builder.tensor("result", (1, 16, 16, 5), np.uint8, quantization=affine(0.05, 3))
    builder.operator("TRANSPOSE_CONV", inputs, [result], TransposeConvOptions(Padding.SAME, 2, 2))
    return [result]


BASES: dict[str, Callable[[], Graph]] = {
    "CONV_2D": lambda: Layer(8, 6, kernel=3).graph(),  # taller than wide
    "DEPTHWISE_CONV_2D": lambda: Layer(8, 6, depthwise=True).graph(),
    "ADD": lambda: made(clamped),
    "AVERAGE_POOL_2D": lambda: made(pool),
    "MEAN": lambda: made(mean),
    "FULLY_CONNECTED": lambda: made(dense),
    "TRANSPOSE_CONV": lambda: made(turned),
}


@dataclass(frozen=True)
class Case:
    """An operator that breaks one rule, by what is changed of its tensors ("in0", "out0") and options."""

    kind: str
    reason: str
    got: str
    tensors: dict[str, dict[str, Any]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    error: float = 0.1
    disabled: frozenset[Unit] = frozenset()

    def graph(self) -> Graph:
        return altered(BASES[self.kind](), self.tensors, self.options)


INT16 = {"type_name": "INT16", "dtype": np.dtype(np.int16)}
BATCH = {"shape": (2, 8, 8, 4)}
ZEROS = {"quantization": affine(0.05, 300)}
TWO = {"quantization": Quantization((0.5, 0.25), (0, 0), 3)}
TINY = {"quantization": affine(1e-10, 3)}
NN = frozenset({Unit.NN})
FOUR = "tensors of four dimensions and a batch of 1"
ZERO_POINTS = "zero points within the type"
PER_TENSOR = "one scale and one zero point each for input and output"
SCALES = "weights of one scale and one zero point, or of one scale an output channel and like zero points"
CONSTANT = "constant weights and a computed input"
BIAS = "a constant int32 bias for each output channel, or none"
BIASES = "a constant int32 bias for each output, or none"
RELU6 = "an activation of NONE, RELU, or RELU6 on an output whose greatest value is at most 6.0"
KERNEL = "a kernel within the unit's, zeros of a dilation counted, a stride taken away"
SIZES = "at most 65535 rows and columns, which is as far as strides reach"
PLANES = "at most 1048575 input planes, 65535 where strides or paddings are taken away first"
SHIFT = "input scale * each weight scale / output scale within the hardware's shift"
GROUPS = "at most 32 groups of output channels of like scale within the per-axis error"
SUMS = "sums within 32 bits whatever the input"
THREE = "input, weights and output all uint8 or all int8"
BOTH = "input and output all uint8 or all int8"
HUGE = {"data": np.full(8, 2**31 - 1, np.int32)}


def shaped(*shape: int) -> dict[str, Any]:
    return {"shape": shape}


def constant(*shape: int) -> dict[str, Any]:
    return {"shape": shape, "data": np.zeros(shape, np.uint8)}


def scaled(count: int, axis: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    scales = tuple(float(scale) for scale in rng.uniform(0.5, 1.0, count))
    return {"quantization": Quantization(scales, (0,) * count, axis)}


MANY: dict[str, dict[str, Any]] = {
    "in1": {"shape": (40, 3, 3, 4), "data": np.random.default_rng(1).integers(0, 256, (40, 3, 3, 4), dtype=np.uint8)}
    | scaled(40, 0),
    "in2": {"shape": (40,), "data": np.zeros(40, np.int32)},
    "out0": {"shape": (1, 8, 6, 40)},
}

CASES = [
    *(Case(kind, "the NN unit", "none (--disable nn)", disabled=NN) for kind in BASES if kind[0] != "D"),
    # Convolutions
    Case("CONV_2D", THREE, "INT16, UINT8", {"in0": INT16}),
    Case("CONV_2D", FOUR, "2x8x6x4, 1x8x6x8", {"in0": shaped(2, 8, 6, 4)}),
    Case("CONV_2D", "weights of four dimensions", "8x36", {"in1": constant(8, 36)}),
    Case("CONV_2D", PER_TENSOR, "T#0 with 2, T#3 with 1", {"in0": TWO}),
    Case("CONV_2D", SCALES, "2 along axis 3", {"in1": TWO}),
    Case("CONV_2D", SCALES, "none", {"in1": {"quantization": None}}),
    Case("CONV_2D", SCALES, "8 along axis 0", {"in1": {"quantization": Quantization((0.1,) * 8, (*range(8),), 0)}}),
    Case("DEPTHWISE_CONV_2D", SCALES, "4 along axis 0", {"in1": scaled(4, 0)}),
    Case("CONV_2D", ZERO_POINTS, "300, 3", {"in0": ZEROS}),
    Case("CONV_2D", CONSTANT, "computed input, computed weights", {"in1": {"data": None, "nbytes": 0}}),
    Case("CONV_2D", BIAS, "INT32 7", {"in2": {"shape": (7,)}}),
    Case(
        "CONV_2D",
        "input channels that are a multiple of the weights', output channels of their groups",
        "8x3x3x3 on 1x8x6x4",
        {"in1": constant(8, 3, 3, 3)},
    ),
    Case(
        "DEPTHWISE_CONV_2D",
        "input channels that are a multiple of the weights', output channels of their groups",
        "1x3x3x6 on 1x8x6x4",
        {"in1": constant(1, 3, 3, 6), "in2": {"shape": (6,)}, "out0": shaped(1, 8, 6, 6)},
    ),
    Case(
        "CONV_2D",
        "an output of the size that kernel, stride, dilation and padding give",
        "1x8x6x8 where 1x6x4x8 follows",
        options={"padding": Padding.VALID},
    ),
    Case("CONV_2D", RELU6, "TANH", options={"activation": Activation.TANH}),
    Case("CONV_2D", KERNEL, "13x3 where 11 is most", options={"dilation_height": 6}),
    Case("CONV_2D", SIZES, "65536", {"in0": shaped(1, 65536, 6, 4), "out0": shaped(1, 65536, 6, 8)}),
    Case(
        "CONV_2D",
        PLANES,
        "589824 made of 65536",
        {"in0": shaped(1, 8, 6, 65536), "in1": constant(8, 3, 3, 65536), "out0": shaped(1, 3, 2, 8)},
        {"stride_height": 3, "stride_width": 3},
    ),
    Case("CONV_2D", SHIFT, "1.5625e+06 to 1.5625e+06", {"out0": TINY}),
    Case("CONV_2D", GROUPS, "40 within 1e-09", MANY, error=1e-9),
    Case("CONV_2D", SUMS, "weights or a bias too large for that", {"in2": HUGE}),
    # Additions
    Case("ADD", RELU6, "TANH", options={"activation": Activation.TANH}),
    Case(
        "ADD",
        "at most 65535 rows, columns and channels",
        "1x1x65536x1",
        {place: shaped(1, 1, 65536, 1) for place in ("in0", "in1", "out0")},
    ),
    # Averages
    Case("AVERAGE_POOL_2D", "computed inputs", "the constant T#0", {"in0": constant(1, 8, 8, 4)}),
    Case("AVERAGE_POOL_2D", BOTH, "INT16, UINT8", {"in0": INT16}),
    Case("AVERAGE_POOL_2D", FOUR, "2x8x8x4, 1x4x4x4", {"in0": BATCH}),
    Case("AVERAGE_POOL_2D", PER_TENSOR, "T#0 with 2, T#1 with 1", {"in0": TWO}),
    Case("AVERAGE_POOL_2D", ZERO_POINTS, "300, 300", {"in0": ZEROS, "out0": ZEROS}),
    Case(
        "AVERAGE_POOL_2D",
        "the same scale and zero point for inputs and outputs",
        "0.05/3, 0.05/4",
        {"out0": {"quantization": affine(0.05, 4)}},
    ),
    Case(
        "AVERAGE_POOL_2D",
        "an output of the size that filter, stride and padding give",
        "1x4x4x5 where 1x4x4x4 follows",
        {"out0": shaped(1, 4, 4, 5)},
    ),
    Case(
        "AVERAGE_POOL_2D",
        "at most 25 regions of outputs that average over as many pixels",
        "35",
        {"in0": shaped(1, 8, 8, 4), "out0": shaped(1, 8, 8, 4)},
        {"padding": Padding.SAME, "filter_height": 7, "filter_width": 5, "stride_height": 1, "stride_width": 1},
    ),
    Case("AVERAGE_POOL_2D", RELU6, "TANH", options={"activation": Activation.TANH}),
    Case(
        "AVERAGE_POOL_2D",
        KERNEL,
        "12x2 where 11 is most",
        {"in0": shaped(1, 13, 8, 4), "out0": shaped(1, 2, 7, 4)},
        {"filter_height": 12, "stride_height": 1, "stride_width": 1},
    ),
    Case(
        "AVERAGE_POOL_2D",
        SIZES,
        "65536",
        {"in0": shaped(1, 8, 65536, 4), "out0": shaped(1, 7, 65535, 4)},
        {"stride_height": 1, "stride_width": 1},
    ),
    Case(
        "AVERAGE_POOL_2D",
        PLANES,
        "420000 made of 70000",
        {"in0": shaped(1, 8, 9, 70000), "out0": shaped(1, 4, 3, 70000)},
        {"stride_width": 3, "filter_width": 3},
    ),
    Case("MEAN", "computed inputs", "the constant T#0", {"in0": constant(1, 8, 8, 4)}),
    Case("MEAN", BOTH, "INT16, UINT8", {"in0": INT16}),
    Case("MEAN", FOUR, "2x8x8x4", {"in0": BATCH}),
    Case("MEAN", "height and width as constant axes", "(1, 3)", {"in1": {"data": np.array([1, -1])}}),
    Case("MEAN", "height and width as constant axes", "()", {"in1": {"data": None}}),
    Case("MEAN", "an output of one value a channel", "1x5", {"out0": shaped(1, 5)}),
    Case("MEAN", PER_TENSOR, "T#0 with 1, T#2 with 2", {"out0": TWO}),
    Case("MEAN", ZERO_POINTS, "3, 300", {"out0": ZEROS}),
    Case("MEAN", PLANES, "1080000 made of 2700", {"in0": shaped(1, 220, 220, 2700), "out0": shaped(1, 2700)}),
    Case(
        "MEAN",
        "input scale / pixels / output scale within the hardware's shift, and sums within 32 bits",
        "3.06373e+06",
        {"out0": {"quantization": affine(1e-12, 3)}},
    ),
    # Fully connected
    Case("FULLY_CONNECTED", THREE, "INT16, INT8", {"in0": INT16}),
    Case(
        "FULLY_CONNECTED",
        "an input of one row of as many values as the weights have columns",
        "2x3, 4x6",
        {"in0": shaped(2, 3)},
    ),
    Case(
        "FULLY_CONNECTED",
        "an output of one row of as many values as the weights have rows",
        "2x2",
        {"out0": shaped(2, 2)},
    ),
    Case("FULLY_CONNECTED", "weights in plain order", "a shuffled order", options={"weights_format": 1}),
    Case("FULLY_CONNECTED", PER_TENSOR, "T#0 with 2, T#3 with 1", {"in0": TWO}),
    Case("FULLY_CONNECTED", SCALES, "2 along axis 3", {"in1": TWO}),
    Case("FULLY_CONNECTED", ZERO_POINTS, "300, 3", {"in0": ZEROS}),
    Case("FULLY_CONNECTED", CONSTANT, "computed weights", {"in1": {"data": None}}),
    Case(
        "FULLY_CONNECTED",
        "a constant int32 bias for each output, or none",
        "INT32 4",
        {"in2": {"data": None}},
    ),
    Case("FULLY_CONNECTED", RELU6, "TANH", options={"activation": Activation.TANH}),
    Case(
        "FULLY_CONNECTED",
        PLANES,
        "1048576",
        {"in0": shaped(1, 1 << 20), "in1": constant(4, 1 << 20)},
    ),
    Case("FULLY_CONNECTED", SHIFT, "5e+06 to 2e+07", {"out0": TINY}),
    Case(
        "FULLY_CONNECTED",
        SUMS,
        "weights or a bias too large for that",
        {"in2": {"data": np.full(4, 2**31 - 1, np.int32)}},
    ),
    # Transposed convolutions
    Case("TRANSPOSE_CONV", THREE, "INT16, UINT8", {"in2": INT16}),
    Case("TRANSPOSE_CONV", FOUR, "2x8x8x4, 1x16x16x5", {"in2": BATCH}),
    Case(
        "TRANSPOSE_CONV",
        "weights of four dimensions and the input's channels",
        "5x3x3x3 on 1x8x8x4",
        {"in1": constant(5, 3, 3, 3)},
    ),
    Case("TRANSPOSE_CONV", PER_TENSOR, "T#0 with 1, T#4 with 2", {"out0": TWO}),
    Case("TRANSPOSE_CONV", SCALES, "2 along axis 3", {"in1": TWO}),
    Case("TRANSPOSE_CONV", ZERO_POINTS, "300, 3", {"in2": ZEROS}),
    Case(
        "TRANSPOSE_CONV",
        "constant weights and output size, and a computed input",
        "constant weights, computed size, computed input",
        {"in0": {"data": None, "nbytes": 0}},
    ),
    Case("TRANSPOSE_CONV", BIAS, "INT32 4", {"in3": {"shape": (4,)}}),
    Case(
        "TRANSPOSE_CONV",
        "an output of the size that kernel, stride and padding give, with SAME padding up to a stride less",
        "1x14x16x5 where 16x16x5 follows",
        {"out0": shaped(1, 14, 16, 5)},
    ),
    Case("TRANSPOSE_CONV", RELU6, "TANH", options={"activation": Activation.TANH}),
    Case(
        "TRANSPOSE_CONV",
        KERNEL,
        "12x3 where 11 is most",
        {"in1": constant(5, 12, 3, 4)},
    ),
    Case("TRANSPOSE_CONV", SIZES, "65536", {"in2": shaped(1, 8, 32768, 4), "out0": shaped(1, 16, 65536, 5)}),
    Case("TRANSPOSE_CONV", SHIFT, "1e+07 to 1e+07", {"out0": TINY}),
    Case(
        "TRANSPOSE_CONV",
        SUMS,
        "weights or a bias too large for that",
        {"in3": {"data": np.full(5, 2**31 - 1, np.int32)}},
    ),
]
# Rules that every operator here has by the same function; shown on one or two of them.
BY_ANOTHER = {
    "AVERAGE_POOL_2D": set(),
    "MEAN": {KERNEL, SIZES},
    "FULLY_CONNECTED": {KERNEL, SIZES, GROUPS},
    "TRANSPOSE_CONV": {PLANES, GROUPS, "sizes at which the TP unit can put the zeros between pixels"},
    "CONV_2D": set(),
    "ADD": {rule.need for rule in LOWERINGS["ADD"][0].rules},
}


@pytest.mark.parametrize("kind", BASES)
def test_the_operator_is_taken_as_it_is_and_marked(kind: str) -> None:
    graph = BASES[kind]()
    for chip in (CHIP, IMX8MP):
        plan = make_plan(graph, Options(chip, Level.WIDE))
        assert plan.refusals == {} and plan.evidence[0].trust is Trust.INFERRED
    assert make_plan(graph, Options(CHIP)).refusals


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.reason}; {case.got}")
def test_breaking_one_rule_is_refused_by_that_rule(case: Case) -> None:
    graph = case.graph()
    options = dataclasses.replace(OPTIONS, disabled=case.disabled, per_axis_error=case.error)
    found = refusal(graph, graph.operators[0], options)
    assert str(found) == f"Op#0 {case.kind}: needs {case.reason}; it has {case.got}"


@pytest.mark.parametrize("kind", BY_ANOTHER)
def test_every_rule_has_a_case(kind: str) -> None:
    (wide,) = [lowering for lowering in LOWERINGS[kind] if lowering.level is Level.WIDE]
    assert wide.basis.trust is Trust.INFERRED
    tested = {case.reason for case in CASES if case.kind.endswith(kind)}
    assert {rule.need for rule in wide.rules} - BY_ANOTHER[kind] == tested - BY_ANOTHER[kind]


@pytest.mark.parametrize("kind", unknown.FIELDS)
def test_operators_of_unknown_fields_say_which(kind: str) -> None:
    def build(builder: ModelBuilder) -> Sequence[Value]:
        value = image(builder)
        if kind == "MAX_POOL_2D":
            return [builder.max_pool(value, Pool2DOptions(Padding.VALID, 2, 2, 2, 2))]
        if kind == "MUL":
            result = builder.tensor("product", value.shape, np.uint8, quantization=affine(0.05, 3))
            builder.operator("MUL", [value, value], [result])
            return [result]
        return [builder.elementwise(kind, value, quantization=affine(1 / 256, 0))]

    for level in Level:
        why = make_plan(made(build), Options(CHIP, level)).refusals[0]
        assert str(why) == f"Op#0 {kind}: could be run by {unknown.FIELDS[kind]}, whose use is unknown"


@pytest.mark.parametrize("layer", [Layer(16, 8, kernel=11), Layer(16, 8, kernel=15)])
def test_kernels_up_to_the_chip_s_own_are_taken(layer: Layer) -> None:
    for chip in (CHIP, IMX8MP):
        compiled = compile_graph(layer.graph(), Options(chip, Level.WIDE))
        assert compiled.plan.uses_npu == (layer.kernel <= chip.max_kernel)
        for jobs in compiled.jobs:
            for job in jobs:
                if job.convolution is not None:
                    assert job.convolution.tile.height * job.convolution.tile.width > 1
