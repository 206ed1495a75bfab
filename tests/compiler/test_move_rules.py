# SPDX-License-Identifier: MIT
"""Does each rule of operators that only move bytes keep exactly what it names off the NPU?

Every case is an operator that plan level wide takes, with one thing about it changed in the graph.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from hornito.compiler import Level, Options, Unit, make_plan
from hornito.compiler.evidence import Trust
from hornito.compiler.operators import LOWERINGS, MOVES, refusal
from hornito.compiler.operators.strided import FEW, FIXED
from hornito.compiler.plan import IDLE
from hornito.model import Activation, Graph, ModelBuilder, Quantization, Value, affine
from tests.compiler.networks import CHIP, Layer, altered, made

OPTIONS = Options(CHIP, Level.WIDE)
Build = Callable[[ModelBuilder, Value], Sequence[Value]]


def image(builder: ModelBuilder, shape: Sequence[int] = (1, 4, 6, 4)) -> Value:
    return builder.input(f"image{shape}", shape, np.uint8, quantization=affine(0.05, 3))


def _operator(kind: str, shape: Sequence[int], *constants: Any, count: int = 1) -> Build:
    """An operator that the builder has no method for, with constants of int32 behind its first input."""

    def build(builder: ModelBuilder, value: Value) -> Sequence[Value]:
        more = [builder.constant(f"c{number}", np.array(one, np.int32)) for number, one in enumerate(constants)]
        results = [
            builder.tensor(f"result{number}", shape, np.uint8, quantization=value.quantization)
            for number in range(count)
        ]
        builder.operator(kind, [value, *more], results)
        return results

    return build


BUILDS: dict[str, Build] = {
    "CONCATENATION": lambda b, v: [b.concatenation([v, image(b, (1, 4, 6, 2))], 3)],
    "SPLIT": lambda b, v: b.split(v, 2, 2),
    "SPLIT_V": lambda b, v: [splits(b, v)],
    "PAD": lambda b, v: [b.pad(v, [(0, 0), (2, 0), (1, 3), (0, 1)])],
    "PADV2": lambda b, v: [b.pad(v, [(0, 0), (2, 0), (1, 3), (0, 1)], 3)],
    "SPACE_TO_DEPTH": lambda b, v: [b.space_to_depth(v, 2)],
    "DEPTH_TO_SPACE": lambda b, v: [b.depth_to_space(v, 2)],
    "TRANSPOSE": lambda b, v: [b.transpose(v, (0, 2, 3, 1))],
    "STRIDED_SLICE": lambda b, v: [b.strided_slice(v, (0, 1, 0, 0), (1, 4, 5, 4), (1, 1, 2, 1))],
    "SLICE": _operator("SLICE", (1, 2, 5, 4), (0, 1, 1, 0), (1, 2, -1, 4)),
    "RESIZE_NEAREST_NEIGHBOR": lambda b, v: [b.resize_nearest(v, 8, 12)],
    "QUANTIZE": lambda b, v: [b.quantize(v, np.int8, affine(0.05, 5))],
    "RESHAPE": lambda b, v: [b.reshape(v, (1, 24, 4))],
    "SQUEEZE": _operator("SQUEEZE", (4, 6, 4)),
    "EXPAND_DIMS": _operator("EXPAND_DIMS", (1, 1, 4, 6, 4), 0),
    "RELU": lambda b, v: [b.elementwise("RELU", v, quantization=affine(0.02, 0))],
    "RELU6": lambda b, v: [b.elementwise("RELU6", v, quantization=affine(0.02, 0))],
}
# Their bytes may get another scale.
RESCALED = ("CONCATENATION", "QUANTIZE", "RELU", "RELU6")
CLAMPED = ("RELU", "RELU6")


def splits(builder: ModelBuilder, value: Value) -> Value:
    sizes, axis = (builder.constant(name, np.array(n, np.int32)) for name, n in (("sizes", (1, 5)), ("axis", 2)))
    results = [builder.tensor(f"part{n}", (1, 4, n, 4), np.uint8, quantization=value.quantization) for n in (1, 5)]
    builder.operator("SPLIT_V", [value, sizes, axis], results)
    return results[1]


def graph_of(kind: str) -> Graph:
    return made(lambda builder: BUILDS[kind](builder, image(builder)))


@dataclass(frozen=True)
class Case:
    """An operator that breaks one rule: changes to its tensors, by "in0", ..., "out0", ..., and to its options."""

    kind: str
    reason: str
    got: str
    tensors: dict[str, dict[str, Any]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    disabled: frozenset[Unit] = frozenset()

    def graph(self) -> Graph:
        return altered(graph_of(self.kind), self.tensors, self.options)


def shaped(*shape: int) -> dict[str, Any]:
    return {"shape": shape}


def integers(*values: Any) -> dict[str, Any]:
    data = np.array(values, np.int32)
    return {"shape": data.shape, "data": data}


def value_of(kind: str) -> str:
    """The input that is moved."""
    return "in1" if kind == "SPLIT" else "in0"


INT16 = {"type_name": "INT16", "dtype": np.dtype(np.int16)}
LARGER = "an output larger by constant borders"
BORDERS = "((0, 0), (2, 0), (1, 3), (0, 1))"
SLICED = "an output of the slice's sizes"
SCALED = "input scales / output scale within the hardware's shift"
ACTIVATION = "an activation of NONE, RELU, or RELU6 on an output whose greatest value is at most 6.0"
TOGETHER = "an output as large as the inputs together"


def _basics(kind: str) -> list[Case]:
    """The cases that every move has. What the messages end with is of no interest in most of them."""
    value = value_of(kind)
    types = (
        "an input and an output of uint8 or int8" if kind == "QUANTIZE" else "input and output all uint8 or all int8"
    )
    two = Quantization((0.5, 0.25), (0, 0), 3)
    far = {"quantization": affine(0.05, 300)}
    cases = [
        Case(kind, "the NN unit", "none (--disable nn)", disabled=frozenset({Unit.NN})),
        Case(kind, "computed inputs", "the constant ", {value: {"data": np.zeros((1, 4, 6, 4), np.uint8)}}),
        Case(kind, types, "", {value: INT16}),
        Case(kind, FIXED, "", {value: {"shape": (2, 4, 6, 4)}}),
        Case(kind, FIXED, "", {value: {"shape_signature": (1, -1, 6, 4)}}),
        Case(kind, "one scale and one zero point each for input and output", "T#", {value: {"quantization": two}}),
        Case(kind, "zero points within the type", "", {value: far, "out0": far}),
    ]
    if kind in RESCALED:
        cases.append(Case(kind, SCALED, "0.05, ", {"out0": {"quantization": affine(1e-12, 0)}}))
    else:
        moved = "the same scale and zero point for inputs and outputs"
        cases.append(Case(kind, moved, "0.05/3, ", {"out0": {"quantization": affine(0.05, 9)}}))
    return cases


CASES = [
    *(case for kind in BUILDS for case in _basics(kind)),
    Case("CONCATENATION", TOGETHER, "1x4x6x4, 1x4x6x2, 1x4x6x7", {"out0": shaped(1, 4, 6, 7)}),
    Case("CONCATENATION", TOGETHER, "1x4x6x4, 1x4x5x2, 1x4x6x6", {"in1": shaped(1, 4, 5, 2)}),
    Case(
        "CONCATENATION",
        "the channels as axis, or only dimensions of 1 before it",
        "axis 2 of 1x4x12x4",
        {"in1": shaped(1, 4, 6, 4), "out0": shaped(1, 4, 12, 4)},
        {"axis": 2},
    ),
    Case("CONCATENATION", "no activation", "RELU", options={"activation": Activation.RELU}),
    *(
        Case(kind, "a constant axis", "None", {axis: {"data": None}})
        for kind, axis in (("SPLIT", "in0"), ("SPLIT_V", "in2"))
    ),
    *(
        Case(kind, "outputs that are together as large as the input", "1x4x6x4, 1x4x", {"out0": shaped(1, 4, 2, 4)})
        for kind in ("SPLIT", "SPLIT_V")
    ),
    *(
        case
        for kind in ("PAD", "PADV2")
        for case in (
            Case(kind, LARGER, f"1x4x6x4, 1x6x10x6 with {BORDERS}", {"out0": shaped(1, 6, 10, 6)}),
            Case(kind, LARGER, "1x4x6x4, 1x6x10x5 with ()", {"in1": {"data": None}}),
        )
    ),
    Case("PADV2", "a border of the zero point", "4", {"in2": {"data": np.array(4, np.uint8)}}),
    Case("PADV2", "a border of the zero point", "None", {"in2": {"data": None}}),
    *(
        Case(kind, "output sizes that follow from the input's and the block's", f"{sizes} with blocks of 3", {}, size)
        for size in ({"size": 3},)
        for kind, sizes in (("SPACE_TO_DEPTH", "1x4x6x4, 1x2x3x16"), ("DEPTH_TO_SPACE", "1x4x6x4, 1x8x12x1"))
    ),
    Case("TRANSPOSE", "a constant order of all dimensions", "None", {"in1": {"data": None}}),
    Case("TRANSPOSE", "a constant order of all dimensions", "(0, 1, 1, 2)", {"in1": integers(0, 1, 1, 2)}),
    Case("TRANSPOSE", "an output of the input's sizes in that order", "1x4x6x4, 1x4x6x4", {"out0": shaped(1, 4, 6, 4)}),
    Case(
        "STRIDED_SLICE",
        "constant begins, ends and strides, one for each dimension",
        "(0, 1, 0, 0), None, (1, 1, 2, 1)",
        {"in2": {"data": None}},
    ),
    Case(
        "STRIDED_SLICE",
        "constant begins, ends and strides, one for each dimension",
        "(0, 1), (1, 4, 5, 4), (1, 1, 2, 1)",
        {"in1": integers(0, 1)},
    ),
    *(
        Case("STRIDED_SLICE", "no ellipses and no new axes", "StridedSliceOptions(", options={mask: 2})
        for mask in ("ellipsis_mask", "new_axis_mask")
    ),
    Case("STRIDED_SLICE", "strides of at least 1", "(1, -1, 1, 1)", {"in3": integers(1, -1, 1, 1)}),
    Case("STRIDED_SLICE", SLICED, "1x4x6x4, 1x3x3x4", options={"begin_mask": 2}),
    Case("STRIDED_SLICE", SLICED, "1x4x6x4, 1x3x3x4", {"in1": integers(0, 4, 0, 0)}),
    *(
        Case("SLICE", "constant begins and sizes, one for each dimension", got, change)
        for got, change in (
            ("None, (1, 2, -1, 4)", {"in1": {"data": None}}),
            ("(0, 1, 1, 0), (1, 2)", {"in2": integers(1, 2)}),
        )
    ),
    Case("SLICE", SLICED, "1x4x6x4, 1x2x5x4", {"in1": integers(0, 3, 1, 0)}),
    Case("SLICE", SLICED, "1x4x6x4, 1x2x5x4", {"in1": integers(0, -1, 1, 0)}),
    Case(
        "RESIZE_NEAREST_NEIGHBOR",
        "an output with the input's channels",
        "1x4x6x4, 1x8x12x5",
        {"out0": shaped(1, 8, 12, 5)},
    ),
    Case("QUANTIZE", "an output of the input's sizes", "1x4x6x5", {"out0": shaped(1, 4, 6, 5)}),
    *(Case(kind, "an output of the input's sizes", "1x4x6x5", {"out0": shaped(1, 4, 6, 5)}) for kind in CLAMPED),
    Case("RELU6", ACTIVATION, "RELU6", {"out0": {"quantization": affine(0.03, 0)}}),
    *(
        Case(kind, "an output of as many elements as the input", "1x4x6x4, 1x25x4", {"out0": shaped(1, 25, 4)})
        for kind in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
    ),
    # What takes too many descriptors
    Case(
        "STRIDED_SLICE",  # no two bytes side by side, and no like distances to take together
        FEW,
        "1x66x67x133, 1x66x66x67",
        {
            **{"in0": shaped(1, 66, 67, 133), "in1": integers(0, 0, 0, 0), "in2": integers(1, 66, 66, 133)},
            **{"in3": integers(1, 1, 1, 2), "out0": shaped(1, 66, 66, 67)},
        },
    ),
    Case("RESIZE_NEAREST_NEIGHBOR", FEW, "1x4x6x4, 1x36x54x4", {"out0": shaped(1, 36, 54, 4)}),
]
# The rule of few descriptors is one and the same for all; these show it.
SHOW_FEW = {"RESIZE_NEAREST_NEIGHBOR", "STRIDED_SLICE"}


@pytest.mark.parametrize("kind", BUILDS)
def test_the_operator_is_taken_as_it_is_and_marked(kind: str) -> None:
    graph = graph_of(kind)
    plan = make_plan(graph, OPTIONS)
    assert plan.refusals == {} and plan.evidence[0].trust is Trust.INFERRED
    assert make_plan(graph, Options(CHIP)).refusals


def test_all_moves_are_here() -> None:
    assert set(BUILDS) - set(CLAMPED) == MOVES


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.reason}; {case.got}")
def test_breaking_one_rule_is_refused_by_that_rule(case: Case) -> None:
    graph = case.graph()
    found = refusal(graph, graph.operators[0], dataclasses.replace(OPTIONS, disabled=case.disabled))
    assert str(found).startswith(f"Op#0 {case.kind}: needs {case.reason}; it has {case.got}")


@pytest.mark.parametrize("kind", BUILDS)
def test_every_rule_has_a_case(kind: str) -> None:
    (wide,) = [lowering for lowering in LOWERINGS[kind] if lowering.level is Level.WIDE]
    tested = {case.reason for case in CASES if case.kind == kind}
    rules = {rule.need for rule in wide.rules} - (set() if kind in SHOW_FEW else {FEW})
    if kind == "PAD":  # whose border is always the zero point
        rules -= {"a border of the zero point"}
    if kind == "RELU":  # which any output takes
        rules -= {ACTIVATION}
    assert tested == rules


# Moves that bring nothing


def test_moves_between_operators_of_the_cpu_stay_there() -> None:
    def build(b: ModelBuilder) -> Sequence[Value]:
        value = b.elementwise("LOGISTIC", image(b), quantization=affine(1 / 256, 0))
        return [b.elementwise("LOGISTIC", b.transpose(value, (0, 2, 1, 3)), quantization=affine(1 / 256, 0))]

    plan = make_plan(made(build), OPTIONS)
    assert not plan.uses_npu
    assert str(plan.refusals[1]) == f"Op#1 TRANSPOSE: needs {IDLE}; it has none"


def test_moves_next_to_a_convolution_go_with_it() -> None:
    layer = Layer(8, inputs=4, outputs=4)

    def build(b: ModelBuilder) -> Sequence[Value]:
        value = b.elementwise("LOGISTIC", layer.input(b), quantization=affine(0.0078125, 5))
        first = b.transpose(b.space_to_depth(layer.add(b, value), 2), (0, 2, 1, 3))
        return [first, b.reshape(value, (1, 64, 4))]

    plan = make_plan(made(build), OPTIONS)
    assert set(plan.refusals) == {0, 4}
    assert plan.refusals[4].reason == f"needs {IDLE}"


def test_a_network_of_moves_alone_may_be_the_npu_s() -> None:
    graph = graph_of("TRANSPOSE")
    assert make_plan(graph, OPTIONS).uses_npu
    without = make_plan(graph, dataclasses.replace(OPTIONS, disabled=frozenset({Unit.TP})))
    assert not without.uses_npu and without.refusals[0].reason == f"needs {IDLE}"
