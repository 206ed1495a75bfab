# SPDX-License-Identifier: MIT
"""Does each rule keep exactly what it names off the NPU, and say operator, rule and value?

Most cases are an accepted operator with one thing about it changed in the graph, so that no other rule can be meant.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from hornito.compiler import Level, Options, Unit, compile_graph, compile_plan, estimate, make_plan, rows
from hornito.compiler.evidence import Trust
from hornito.compiler.operators import LOWERINGS, NO_WAY, refusal
from hornito.compiler.plan import EDGE
from hornito.errors import Unsupported
from hornito.hardware.chips import CHIPS, CoefficientFormat, find_chip
from hornito.model import (
    Activation,
    FullyConnectedOptions,
    Graph,
    ModelBuilder,
    Padding,
    Quantization,
    Value,
    affine,
)
from tests.compiler.networks import CHIP, Layer, altered, made

OPTIONS = Options(CHIP)


def image(builder: ModelBuilder, name: str = "image", zero_point: int = 3) -> Value:
    return builder.input(name, (1, 4, 4, 4), np.uint8, quantization=affine(0.05, zero_point))


def addition(builder: ModelBuilder) -> Sequence[Value]:
    one, two = image(builder), image(builder, "other")
    return [builder.add(one, two, quantization=affine(0.1, 4))]


def fully_connected(builder: ModelBuilder) -> Sequence[Value]:
    value = builder.input("row", (1, 6), np.uint8, quantization=affine(0.05, 3))
    weights, bias = np.arange(24, dtype=np.uint8).reshape(4, 6), np.zeros(4, np.int32)
    scales = {"weights_quantization": affine(0.02, 7), "quantization": affine(0.05, 3)}
    return [builder.fully_connected(value, weights, bias, options=FullyConnectedOptions(), **scales)]


BASES: dict[str, Callable[[], Graph]] = {
    "CONV_2D": lambda: Layer().graph(),
    "DEPTHWISE_CONV_2D": lambda: Layer(depthwise=True).graph(),
    "ADD": lambda: made(addition),
    "FULLY_CONNECTED": lambda: made(fully_connected),
    "CONCATENATION": lambda: made(lambda b: [b.concatenation([image(b), image(b, "other")], 3)]),
    "SPLIT": lambda: made(lambda b: b.split(image(b), 2, 3)),
    "PAD": lambda: made(lambda b: [b.pad(image(b), [(0, 0), (1, 1), (1, 1), (0, 0)])]),
}


@dataclass(frozen=True)
class Case:
    """An operator that breaks one rule. ``tensors``: changes to its tensors, by "in0", "in1", ..., "out0", ...;
    ``options``: to its options. ``got``: the value that the message ends with."""

    kind: str
    reason: str
    got: str
    tensors: dict[str, dict[str, Any]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    disabled: frozenset[Unit] = frozenset()

    def graph(self) -> Graph:
        return altered(BASES[self.kind](), self.tensors, self.options)


TWO_SCALES = Quantization((0.5, 0.25), (0, 0), 3)
INT16 = {"type_name": "INT16", "dtype": np.dtype(np.int16)}
ZEROS = {"quantization": affine(0.05, 300)}
ONE_TYPE = "{} all uint8 or all int8"
FOUR = "tensors of four dimensions and a batch of 1"
PER_TENSOR = "one scale and one zero point each for {}"
ZERO_POINTS = "zero points within the type"
CONSTANTS = "computed inputs"
MOVED = "the same scale and zero point for inputs and outputs"
NO_ACTIVATION = "no activation"
RELU6 = "an activation of NONE, RELU, or RELU6 on an output whose greatest value is at most 6.0"
SHIFT = "input scale * weight scale / output scale within the hardware's shift"
SUMS = "sums within 32 bits whatever the input"
LARGE = np.full(8, (1 << 31) - 1, np.int32)
CONTENT = np.zeros((1, 4, 4, 4), np.uint8)
BATCH = {"shape": (2, 4, 4, 4)}


def shaped(*shape: int) -> dict[str, Any]:
    return {"shape": shape}


def constant(*shape: int) -> dict[str, Any]:
    return {"shape": shape, "data": np.zeros(shape, np.uint8)}


CASES = [
    *(
        Case(kind, "the NN unit", "none (--disable nn)", disabled=frozenset({Unit.NN}))
        for kind in ("CONV_2D", "ADD", "FULLY_CONNECTED", "CONCATENATION", "SPLIT", "PAD")
    ),
    # Convolutions
    Case("CONV_2D", ONE_TYPE.format("input, weights and output"), "INT16, UINT8", {"in0": INT16}),
    Case("CONV_2D", FOUR, "2x8x8x4, 1x8x8x8", {"in0": shaped(2, 8, 8, 4)}),
    Case("CONV_2D", FOUR, "1x8x8x4, 1x8x8x8", {"in0": {"shape_signature": (1, -1, 8, 4)}}),
    Case("CONV_2D", FOUR, "1x8x8x4, 64x8", {"out0": shaped(64, 8)}),
    Case("CONV_2D", "weights of four dimensions", "8x36", {"in1": constant(8, 36)}),
    Case(
        "CONV_2D",
        PER_TENSOR.format("input, weights, bias and output"),
        "T#0 with 1, T#1 with 2, T#2 with 1, T#3 with 1",
        {"in1": {"quantization": TWO_SCALES}},
    ),
    Case(
        "CONV_2D",
        PER_TENSOR.format("input, weights, bias and output"),
        "T#0 with 1, T#1 with 1, T#2 with 1, T#3 with no",
        {"out0": {"quantization": None}},
    ),
    Case("CONV_2D", ZERO_POINTS, "300, 7, 3", {"in0": ZEROS}),
    Case(
        "CONV_2D",
        "constant weights and a computed input",
        "computed input, computed weights",
        {"in1": {"data": None, "nbytes": 0}},
    ),
    Case(
        "CONV_2D",
        "constant weights and a computed input",
        "constant input, constant weights",
        {"in0": constant(1, 8, 8, 4)},
    ),
    Case(
        "CONV_2D",
        "a constant int32 bias for each output channel, or none",
        "INT32 7",
        {"in2": {"shape": (7,), "data": np.zeros(7, np.int32)}},
    ),
    Case(
        "CONV_2D",
        "a constant int32 bias for each output channel, or none",
        "INT64 8",
        {"in2": {"type_name": "INT64"}},
    ),
    Case(
        "CONV_2D",
        "a constant int32 bias for each output channel, or none",
        "INT32 8",
        {"in2": {"data": None}},
    ),
    Case("CONV_2D", "a dilation of 1", "2x1", options={"dilation_height": 2}),
    Case("CONV_2D", "equal strides of 1 or 2", "1x2", options={"stride_width": 2}),
    Case("CONV_2D", "equal strides of 1 or 2", "3x3", options={"stride_height": 3, "stride_width": 3}),
    Case(
        "DEPTHWISE_CONV_2D",
        "a depth multiplier of 1",
        "8 outputs of 4 channels",
        {"in1": constant(1, 3, 3, 8), "in2": {"shape": (8,)}, "out0": shaped(1, 8, 8, 8)},
        {"depth_multiplier": 2},
    ),
    Case(
        "CONV_2D",
        "weights with as many channels as the input",
        "8x3x3x2 on 1x8x8x4",
        {"in1": constant(8, 3, 3, 2)},
    ),
    Case("CONV_2D", "a kernel of 1x1, 3x3 or 5x5", "7x7", {"in1": constant(8, 7, 7, 4)}),
    Case("CONV_2D", "a kernel of 1x1, 3x3 or 5x5", "3x1", {"in1": constant(8, 3, 1, 4)}),
    Case(
        "CONV_2D",
        "an image no taller than wide",
        "1x9x8x4",
        {"in0": shaped(1, 9, 8, 4), "out0": shaped(1, 9, 8, 8)},
    ),
    Case(
        "CONV_2D",
        "an output of the size that kernel, stride and padding give",
        "1x8x8x8 where 1x6x6x8 follows",
        options={"padding": Padding.VALID},
    ),
    Case("CONV_2D", RELU6, "TANH", options={"activation": Activation.TANH}),
    Case("CONV_2D", RELU6, "RELU6", options={"activation": Activation.RELU6}),  # 252 * 0.05 is 12.6
    Case(
        "CONV_2D",
        "at most 8191 rows and columns, counted before pooling",
        "8192",
        {"in0": shaped(1, 8, 8192, 4), "out0": shaped(1, 8, 8192, 8)},
    ),
    Case(
        "CONV_2D",
        "at most 16383 input planes and output channels",
        "16384",
        {"in0": shaped(1, 8, 8, 4096), "in1": constant(8, 3, 3, 4096), "out0": shaped(1, 4, 4, 8)},
        {"stride_height": 2, "stride_width": 2},
    ),
    Case("CONV_2D", SUMS, "weights or a bias too large for that", {"in2": {"data": LARGE}}),
    Case("CONV_2D", SHIFT, "1.5625e+06", {"out0": {"quantization": affine(1e-10, 3)}}),
    # ADD
    Case("ADD", CONSTANTS, "the constant T#1", {"in1": {"data": CONTENT}}),
    Case("ADD", ONE_TYPE.format("inputs and output"), "INT16, UINT8", {"in1": INT16}),
    Case("ADD", FOUR, "2x4x4x4, 2x4x4x4, 2x4x4x4", {"in0": BATCH, "in1": BATCH, "out0": BATCH}),
    Case("ADD", "inputs and output of the same shape", "1x4x4x4, 1x1x1x4, 1x4x4x4", {"in1": shaped(1, 1, 1, 4)}),
    Case(
        "ADD",
        PER_TENSOR.format("inputs and output"),
        "T#0 with 1, T#1 with 2, T#2 with 1",
        {"in1": {"quantization": TWO_SCALES}},
    ),
    Case("ADD", ZERO_POINTS, "3, 3, 300", {"out0": ZEROS}),
    Case("ADD", NO_ACTIVATION, "RELU", options={"activation": Activation.RELU}),
    Case(
        "ADD",
        "a tensor that can be seen as an image of at most 8191 by 8191",
        "1x1x1x8209",
        {place: shaped(1, 1, 1, 8209) for place in ("in0", "in1", "out0")},  # a prime
    ),
    Case(
        "ADD",
        "at most 8191 rows and columns, and 8191 channels",
        "1x1x8192x2",
        {place: shaped(1, 1, 8192, 2) for place in ("in0", "in1", "out0")},
    ),
    Case(
        "ADD",
        "scales whose ratio fits 8 bits, and a result's that fits the hardware's shift",
        "a factor of 1.96078e+06",
        {"out0": {"quantization": affine(1e-10, 3)}},
    ),
    # FULLY_CONNECTED
    Case("FULLY_CONNECTED", ONE_TYPE.format("input, weights and output"), "INT16, UINT8", {"in0": INT16}),
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
    Case(
        "FULLY_CONNECTED",
        PER_TENSOR.format("input, weights, bias and output"),
        "T#0 with 1, T#1 with 2, T#2 with 1, T#3 with 1",
        {"in1": {"quantization": TWO_SCALES}},
    ),
    Case("FULLY_CONNECTED", ZERO_POINTS, "300, 7, 3", {"in0": ZEROS}),
    Case(
        "FULLY_CONNECTED",
        "constant weights and a computed input",
        "computed weights",
        {"in1": {"data": None}},
    ),
    Case(
        "FULLY_CONNECTED",
        "a constant int32 bias for each output, or none",
        "INT32 4",
        {"in2": {"data": None}},
    ),
    Case("FULLY_CONNECTED", RELU6, "TANH", options={"activation": Activation.TANH}),
    Case(
        "FULLY_CONNECTED",
        "at most 16383 planes and outputs",
        "16384",
        {"in0": shaped(1, 16384), "in1": constant(4, 16384)},
    ),
    Case("FULLY_CONNECTED", SUMS, "weights or a bias too large for that", {"in2": {"data": LARGE[:4]}}),
    Case("FULLY_CONNECTED", SHIFT, "1e+07", {"out0": {"quantization": affine(1e-10, 3)}}),
    # CONCATENATION
    Case("CONCATENATION", CONSTANTS, "the constant T#1", {"in1": {"data": CONTENT}}),
    Case("CONCATENATION", ONE_TYPE.format("inputs and output"), "INT16, UINT8", {"in1": INT16}),
    Case("CONCATENATION", FOUR, "2x4x4x4, 1x4x4x4, 1x4x4x8", {"in0": BATCH}),
    Case("CONCATENATION", "the channels as axis", "2", options={"axis": 2}),
    Case("CONCATENATION", "inputs of the same shape", "1x4x4x4, 1x4x4x2", {"in1": shaped(1, 4, 4, 2)}),
    Case("CONCATENATION", "an output as large as the inputs together", "1x4x4x9", {"out0": shaped(1, 4, 4, 9)}),
    Case("CONCATENATION", NO_ACTIVATION, "RELU", options={"activation": Activation.RELU}),
    Case(
        "CONCATENATION",
        PER_TENSOR.format("inputs and output"),
        "T#0 with 2, T#1 with 1, T#2 with 1",
        {"in0": {"quantization": TWO_SCALES}},
    ),
    Case("CONCATENATION", ZERO_POINTS, "300, 300, 300", {place: ZEROS for place in ("in0", "in1", "out0")}),
    Case("CONCATENATION", MOVED, "0.05/3, 0.05/4, 0.05/3", {"in1": {"quantization": affine(0.05, 4)}}),
    # SPLIT
    Case("SPLIT", CONSTANTS, "the constant T#0", {"in1": {"data": CONTENT}}),
    Case("SPLIT", ONE_TYPE.format("input and outputs"), "INT16, UINT8", {"in1": INT16}),
    Case("SPLIT", FOUR, "2x4x4x4, 1x4x4x2, 1x4x4x2", {"in1": BATCH}),
    Case("SPLIT", "the channels as constant axis", "2", {"in0": {"data": np.array(2, np.int32)}}),
    Case("SPLIT", "the channels as constant axis", "None", {"in0": {"data": None}}),
    Case(
        "SPLIT",
        "outputs of the same shape, together as large as the input",
        "1x4x4x4, 1x4x4x3, 1x4x4x1",
        {"out0": shaped(1, 4, 4, 3), "out1": shaped(1, 4, 4, 1)},
    ),
    Case(
        "SPLIT",
        PER_TENSOR.format("input and outputs"),
        "T#0 with 1, T#2 with no, T#3 with 1",
        {"out0": {"quantization": None}},
    ),
    Case("SPLIT", ZERO_POINTS, "300, 300, 300", {place: ZEROS for place in ("in1", "out0", "out1")}),
    Case("SPLIT", MOVED, "0.05/3, 0.05/3, 0.05/9", {"out1": {"quantization": affine(0.05, 9)}}),
    # PAD
    Case("PAD", CONSTANTS, "the constant T#0", {"in0": {"data": CONTENT}}),
    Case("PAD", ONE_TYPE.format("input and output"), "INT16, UINT8", {"out0": INT16}),
    Case("PAD", FOUR, "2x4x4x4, 1x6x6x4", {"in0": BATCH}),
    Case(
        "PAD",
        "a border of one pixel on all four sides",
        "((0, 0), (1, 1), (1, 2), (0, 0))",
        {"in1": {"data": np.array([(0, 0), (1, 1), (1, 2), (0, 0)], np.int32)}},
    ),
    Case("PAD", "a border of one pixel on all four sides", "()", {"in1": {"data": None}}),
    Case("PAD", "an output larger by that border", "1x4x4x4, 1x6x7x4", {"out0": shaped(1, 6, 7, 4)}),
    Case(
        "PAD",
        PER_TENSOR.format("input and output"),
        "T#0 with no, T#2 with 1",
        {"in0": {"quantization": None}},
    ),
    Case("PAD", ZERO_POINTS, "300, 300", {"in0": ZEROS, "out0": ZEROS}),
    Case("PAD", MOVED, "0.05/3, 0.04/3", {"out0": {"quantization": affine(0.04, 3)}}),
]


@pytest.mark.parametrize("kind", BASES)
def test_the_operator_is_taken_as_it_is(kind: str) -> None:
    graph = BASES[kind]()
    assert refusal(graph, graph.operators[0], OPTIONS) is None


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.reason}; {case.got}")
def test_breaking_one_rule_is_refused_by_that_rule(case: Case) -> None:
    graph = case.graph()
    options = dataclasses.replace(OPTIONS, disabled=case.disabled)
    found = refusal(graph, graph.operators[0], options)
    assert str(found) == f"Op#0 {case.kind}: needs {case.reason}; it has {case.got}"


@pytest.mark.parametrize("kind", BASES)
def test_every_rule_has_a_case(kind: str) -> None:
    proven = [lowering for lowering in LOWERINGS[kind] if lowering.level is Level.PROVEN]
    rules = {rule.need for lowering in proven for rule in lowering.rules}
    if kind == "DEPTHWISE_CONV_2D":
        assert LOWERINGS[kind] == LOWERINGS["CONV_2D"]
        kind = "CONV_2D"
    tested = {case.reason for case in CASES if case.kind.endswith(kind)}
    assert tested == rules


@pytest.mark.parametrize(
    "layer",
    [
        Layer(1, 8191, inputs=1, outputs=1, kernel=1),
        Layer(2, 4095, inputs=1, outputs=1, stride=2),
        Layer(1, inputs=16383, outputs=2, kernel=1),
        Layer(1, inputs=2, outputs=16383, kernel=1),
        Layer(activation=Activation.RELU),
        Layer(kernel=5, padding=Padding.VALID),
        Layer(8, 9),
    ],
)
def test_what_just_keeps_the_rules_is_taken_and_compiles(layer: Layer) -> None:
    compiled = compile_graph(layer.graph(), OPTIONS)
    assert compiled.plan.refusals == {} and compiled.plan.uses_npu


def test_relu6_is_taken_where_saturation_does_it() -> None:
    graph = Layer(activation=Activation.RELU6).graph()
    for scale, taken in ((6.0 / 252, True), (6.01 / 252, False)):
        tensors = list(graph.tensors)
        out = graph.operators[0].outputs[0]
        tensors[out] = dataclasses.replace(tensors[out], quantization=affine(scale, 3))
        found = refusal(dataclasses.replace(graph, tensors=tuple(tensors)), graph.operators[0], OPTIONS)
        assert (found is None) == taken


def test_operators_without_a_lowering_are_refused_by_name() -> None:
    graph = made(lambda b: [b.elementwise("TANH", image(b), quantization=affine(1 / 128, 128))])
    assert str(make_plan(graph, OPTIONS).refusals[0]) == f"Op#0 TANH: {NO_WAY}"


def test_every_proven_way_is_of_an_operator_with_cases() -> None:
    proven = {kind for kind, ways in LOWERINGS.items() if any(way.level is Level.PROVEN for way in ways)}
    assert proven == set(BASES)


def test_results_too_wide_to_turn_back_are_refused_but_for_inner_ones() -> None:
    wide = Layer(1, 4096, inputs=1, outputs=8, kernel=1)
    plan = make_plan(wide.graph(), OPTIONS)
    assert str(plan.refusals[0]) == f"Op#0 CONV_2D: needs {EDGE}; it has 32768"

    def inner(builder: ModelBuilder) -> Sequence[Value]:
        value = wide.add(builder, wide.input(builder))
        return [Layer(1, 4096, inputs=8, outputs=1, kernel=1).add(builder, value)]

    assert make_plan(made(inner), OPTIONS).refusals == {}
    narrower = Layer(1, 4095, inputs=1, outputs=8, kernel=1)
    assert make_plan(narrower.graph(), OPTIONS).refusals == {}


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_chips_of_unproven_coefficients_are_refused(chip: Any) -> None:
    graph = Layer().graph()
    if chip.coefficient_format is not CoefficientFormat.UNPROVEN:
        assert make_plan(graph, Options(chip)).uses_npu
        return
    plan = make_plan(graph, Options(chip))
    assert rows(estimate(plan))[-1].work.traffic > 0
    with pytest.raises(Unsupported, match=f"chip {chip.name}: its coefficient format is unproven; use --device cpu"):
        compile_plan(plan)


def test_signed_models_are_taken_but_marked() -> None:
    graph = Layer().graph()
    signed: dict[str, Any] = {"type_name": "INT8", "dtype": np.dtype(np.int8)}
    tensors = [
        dataclasses.replace(tensor, **signed) if tensor.type_name == "UINT8" else tensor for tensor in graph.tensors
    ]
    assert make_plan(graph, OPTIONS).evidence[0].trust is Trust.SILICON
    plan = make_plan(dataclasses.replace(graph, tensors=tuple(tensors)), OPTIONS)
    assert plan.evidence[0].trust is Trust.INFERRED


def test_the_default_chip_is_the_proven_one() -> None:
    assert find_chip("vipnano-qi") is CHIP
