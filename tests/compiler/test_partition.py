# SPDX-License-Identifier: MIT
"""Do operators go together as TFLite's delegates take them?"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.compiler import Options, Unit, make_plan
from hornito.compiler.partition import Group, partition
from hornito.compiler.plan import CpuPart, MovePart, NpuPart, operators_of
from hornito.compiler.tasks import Convolution, Detranspose, Reshuffle, Transpose
from hornito.model import Conv2DOptions, Graph, ModelBuilder, Value, affine
from tests.compiler import goldens
from tests.compiler.networks import CHIP, Layer, made, tasks_of

SAME = Layer(4, inputs=4, outputs=4, kernel=1)


def image(builder: ModelBuilder, name: str = "image") -> Value:
    return builder.input(name, (1, 4, 4, 4), np.uint8, quantization=affine(0.05, 3))


def npu(builder: ModelBuilder, value: Value) -> Value:
    return SAME.add(builder, value)


def cpu(builder: ModelBuilder, value: Value) -> Value:
    return builder.elementwise("LOGISTIC", value, quantization=affine(1 / 256, 0))


def joined(builder: ModelBuilder, *values: Value) -> Value:
    return builder.concatenation(values, 3)


def groups_of(build: Callable[[ModelBuilder], Sequence[Value]]) -> list[tuple[bool, list[int]]]:
    graph = made(build)
    refused = frozenset(operator.index for operator in graph.operators if operator.kind != "CONV_2D")
    return [(group.accepted, [op.index for op in group.operators]) for group in partition(graph, refused)]


def test_a_chain_alternates() -> None:
    assert groups_of(lambda b: [npu(b, cpu(b, npu(b, npu(b, image(b)))))]) == [
        (True, [0, 1]),
        (False, [2]),
        (True, [3]),
    ]


def test_the_first_operator_decides_the_first_kind() -> None:
    assert groups_of(lambda b: [npu(b, cpu(b, image(b)))]) == [(False, [0]), (True, [1])]


def test_a_group_need_not_be_contiguous() -> None:
    """Operators 0, 1 are for the NPU and the CPU, 2 for the NPU on the input: it joins 0."""

    def build(b: ModelBuilder) -> Sequence[Value]:
        source = image(b)
        return [cpu(b, npu(b, source)), npu(b, source)]

    assert groups_of(build) == [(True, [0, 2]), (False, [1])]


def test_what_waits_for_the_other_kind_opens_a_later_group() -> None:
    def build(b: ModelBuilder) -> Sequence[Value]:
        source = image(b)
        left = npu(b, source)  # 0
        right = cpu(b, source)  # 1
        both = joined(b, left, right)  # 2, for the CPU
        return [npu(b, left), Layer(4, inputs=8, outputs=1).add(b, both)]  # 3, 4

    assert groups_of(build) == [(True, [0, 3]), (False, [1, 2]), (True, [4])]


def test_absent_inputs_and_constants_need_no_waiting() -> None:
    def build(b: ModelBuilder) -> Sequence[Value]:
        weights = b.constant("weights", np.zeros((4, 1, 1, 4), np.uint8), quantization=affine(0.02, 7))
        result = b.tensor("result", (1, 4, 4, 4), np.uint8, quantization=affine(0.05, 3))
        b.operator("CONV_2D", [image(b), weights, None], [result], Conv2DOptions())
        return [result]

    assert made(build).operators[0].inputs[2] == -1
    assert groups_of(build) == [(True, [0])]


def only_group(build: Callable[[ModelBuilder], Sequence[Value]]) -> Group:
    (group,) = partition(made(build), frozenset())
    return group


def test_inputs_and_outputs_of_a_group() -> None:
    def build(b: ModelBuilder) -> Sequence[Value]:
        first = npu(b, image(b))
        second = npu(b, first)
        return [second, first]

    group = only_group(build)
    graph = made(build)
    assert group.inputs == graph.inputs
    assert group.outputs == (graph.operators[0].outputs[0], graph.operators[1].outputs[0])


def test_an_output_that_nobody_wants_does_not_leave() -> None:
    def build(b: ModelBuilder) -> Sequence[Value]:
        source = image(b)
        npu(b, source)
        return [npu(b, source)]

    assert len(only_group(build).outputs) == 1


def _random_graph(choices: list[tuple[bool, int]]) -> Graph:
    def build(b: ModelBuilder) -> Sequence[Value]:
        values = [image(b)]
        for is_npu, source in choices:
            values.append((npu if is_npu else cpu)(b, values[source % len(values)]))
        return values[1:]

    return made(build)


def _databook(graph: Graph, refused: frozenset[int]) -> list[list[int]]:
    """The databook's algorithm, word by word."""
    placed: list[list[int]] = []
    done: set[int] = set()
    ready = {-1, *graph.inputs, *(tensor.index for tensor in graph.tensors if tensor.is_constant)}
    while len(done) < len(graph.operators):
        kind = next(op.index in refused for op in graph.operators if op.index not in done and ready >= set(op.inputs))
        members: set[int] = set()
        while True:
            before = len(members)
            for op in graph.operators:
                if op.index not in done and (op.index in refused) == kind and ready >= set(op.inputs):
                    members.add(op.index)
                    done.add(op.index)
                    ready |= set(op.outputs)
            if len(members) == before:
                break
        placed.append(sorted(members))
    return placed


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 100)), min_size=1, max_size=10))
def test_groups_are_those_of_the_databook_s_algorithm_and_run_in_order(choices: list[tuple[bool, int]]) -> None:
    graph = _random_graph(choices)
    refused = frozenset(op.index for op in graph.operators if op.kind != "CONV_2D")
    groups = partition(graph, refused)
    assert [[op.index for op in group.operators] for group in groups] == _databook(graph, refused)
    known = set(graph.inputs)
    for group in groups:
        assert known.issuperset(group.inputs)
        known.update(group.outputs)
    assert known.issuperset(graph.outputs)


def test_mobilenet_is_two_partitions_of_27_and_1(shared: Path) -> None:
    plan = goldens.compiled(shared, goldens.WHOLE).plan
    sizes = [len(operators_of(plan, part)) for part in plan.parts if isinstance(part, NpuPart)]
    assert sizes == [27, 1]
    first, *_, second = plan.parts
    assert isinstance(first, NpuPart) and isinstance(second, CpuPart)
    assert len(first.tasks) == 30


# Jobs around the convolutions


def kinds(graph: Graph) -> list[type]:
    return [type(task) for task in tasks_of(graph)]


def test_planes_stay_planes_between_convolutions() -> None:
    graph = made(lambda b: [npu(b, npu(b, image(b)))])
    assert kinds(graph) == [Transpose, Convolution, Convolution, Detranspose]


def test_an_input_is_transposed_for_each_consumer() -> None:
    def build(b: ModelBuilder) -> Sequence[Value]:
        source = image(b)
        return [npu(b, source), npu(b, source)]

    tasks = tasks_of(made(build))
    assert [type(task) for task in tasks] == [Transpose, Convolution, Detranspose] * 2
    assert tasks[0].writes != tasks[3].writes and tasks[0].reads == tasks[3].reads


def test_a_result_that_is_consumed_and_an_output_is_turned_back_too() -> None:
    """The reference driver leaves it in planes."""

    def build(b: ModelBuilder) -> Sequence[Value]:
        first = npu(b, image(b))
        return [first, npu(b, first)]

    assert kinds(made(build)) == [Transpose, Convolution, Detranspose, Convolution, Detranspose]


def test_one_channel_needs_no_turning() -> None:
    one = Layer(4, inputs=1, outputs=1, kernel=3)
    assert kinds(one.graph()) == [Convolution]


def test_stride_2_is_reshuffled_first() -> None:
    assert kinds(Layer(stride=2).graph()) == [Transpose, Reshuffle, Convolution, Detranspose]
    assert kinds(Layer(inputs=1, stride=2).graph()) == [Reshuffle, Convolution, Detranspose]


# Without units


def test_without_nn_all_is_left_to_the_cpu() -> None:
    plan = make_plan(Layer().graph(), Options(CHIP, disabled=frozenset({Unit.NN})))
    assert [type(part) for part in plan.parts] == [CpuPart] and not plan.uses_npu
    assert str(plan.refusals[0]) == "Op#0 CONV_2D: needs the NN unit; it has none (--disable nn)"


def test_without_tp_moves_split_the_segment() -> None:
    plan = make_plan(Layer(stride=2).graph(), Options(CHIP, disabled=frozenset({Unit.TP})))
    assert [type(part) for part in plan.parts] == [MovePart, NpuPart, MovePart]
    before, middle, after = plan.parts
    assert isinstance(before, MovePart) and isinstance(middle, NpuPart) and isinstance(after, MovePart)
    assert [type(move) for move in before.moves] == [Transpose, Reshuffle]
    assert [type(task) for task in middle.tasks] == [Convolution]
    assert before.outputs == middle.inputs and middle.outputs == after.inputs
    assert after.outputs == plan.graph.outputs and before.inputs == plan.graph.inputs


def test_without_tp_a_result_used_twice_leaves_its_part() -> None:
    def build(b: ModelBuilder) -> Sequence[Value]:
        first = npu(b, image(b))
        return [first, npu(b, first)]

    plan = make_plan(made(build), Options(CHIP, disabled=frozenset({Unit.TP})))
    known = set(plan.graph.inputs)
    for part in plan.parts:
        assert known.issuperset(part.inputs)
        known.update(part.outputs)
    assert known.issuperset(plan.graph.outputs)


@pytest.mark.parametrize("disabled", [{Unit.NN}, {Unit.NN, Unit.TP}])
def test_without_nn_there_is_nothing_to_move(disabled: set[Unit]) -> None:
    plan = make_plan(Layer(stride=2).graph(), Options(CHIP, disabled=frozenset(disabled)))
    assert [type(part) for part in plan.parts] == [CpuPart]
