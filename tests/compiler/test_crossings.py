# SPDX-License-Identifier: MIT
"""Are there as few crossings between NPU and CPU as there can be, in groups that can run?"""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.compiler import Level, Options, Unit, compile_graph, crossings, make_plan, outlook, rows
from hornito.compiler.crossings import MOST_OPERATORS, _Network, cost, fewest_crossings
from hornito.compiler.partition import Group, group_of, partition
from hornito.compiler.plan import NpuPart
from hornito.model import Graph, ModelBuilder, Value, affine
from tests.compiler.networks import CHIP, made
from tests.compiler.test_partition import cpu, image, npu

WIDE = Options(CHIP, Level.WIDE)
Choices = list[tuple[bool, int, int]]


def two(b: ModelBuilder, kind: str, one: Value, other: Value) -> Value:
    result = b.tensor(f"{kind}{one.index} {other.index}", one.shape, np.uint8, quantization=affine(0.05, 3))
    b.operator(kind, [one, other], [result])
    return result


def network(choices: Choices) -> Graph:
    """Operators for either unit, of two inputs by turns. What nobody uses, and every fifth value, is an output."""

    def build(b: ModelBuilder) -> Sequence[Value]:
        values = [image(b)]
        used: set[int] = set()
        for number, (is_npu, first, second) in enumerate(choices):
            places = [first % len(values)] + ([second % len(values)] if number % 2 else [])
            used.update(places)
            if number % 2:
                values.append(two(b, "ADD" if is_npu else "MAXIMUM", *(values[place] for place in places)))
            else:
                values.append((npu if is_npu else cpu)(b, values[places[0]]))
        return [value for place, value in enumerate(values) if place and (place not in used or place % 5 == 0)]

    return made(build)


def refused(graph: Graph) -> frozenset[int]:
    return frozenset(op.index for op in graph.operators if op.kind not in ("CONV_2D", "ADD"))


def numbers(groups: Sequence[Group]) -> list[tuple[bool, list[int]]]:
    return [(group.accepted, [op.index for op in group.operators]) for group in groups]


networks = st.lists(st.tuples(st.booleans(), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=12)


@settings(deadline=None, max_examples=80)
@given(networks)
def test_groups_run_in_order_hold_each_operator_once_and_cross_no_more_than_before(choices: Choices) -> None:
    graph = network(choices)
    groups = fewest_crossings(graph, refused(graph))
    assert cost(groups, graph) <= cost(partition(graph, refused(graph)), graph)
    assert sorted(op.index for group in groups for op in group.operators) == list(range(len(graph.operators)))
    known = set(graph.inputs)
    for group in groups:
        assert known.issuperset(group.inputs)
        done = set(known) | {tensor.index for tensor in graph.tensors if tensor.is_constant}
        for operator in group.operators:
            assert done.issuperset(operator.inputs)
            assert group.accepted == (operator.index not in refused(graph))
            done.update(operator.outputs)
        known.update(group.outputs)
    assert known.issuperset(graph.outputs)
    assert numbers(groups) == numbers(fewest_crossings(graph, refused(graph)))


@settings(deadline=None, max_examples=60)
@given(networks, st.booleans())
def test_costs_that_are_added_up_are_those_of_the_groups(choices: Choices, accepted_first: bool) -> None:
    graph = network(choices)
    search = _Network(graph, refused(graph), accepted_first)
    earliest = search.earliest()
    for layers in (earliest, search.latest(max(earliest) + 2), search.improved(earliest)):
        assert search.cost(layers) == cost(search.groups(layers), graph)


# Networks on which the search needs each of its beginnings, and its moves: with one left out the cost is higher.
@pytest.mark.parametrize(
    ("kinds", "sources", "expected"),
    [
        ("NCCNC", (43, 48, 70, 24, 16, 5, 6, 9, 16, 51), (4, 1, 256)),  # the CPU begins
        ("NCCNNNCNNN", (32, 87, 66, 25, 54, 35, 32, 72, 3, 83, 75, 74, 89, 4, 76, 36, 45, 87, 38, 92), (9, 2, 576)),
        ("CNNNNCNN", (69, 18, 72, 48, 28, 63, 90, 48, 20, 76, 94, 38, 53, 2, 39, 62), (9, 2, 576)),  # moves
        ("NCNNNNCCCN", (84, 0, 90, 91, 75, 71, 8, 24, 94, 17, 21, 52, 36, 77, 34, 10, 54, 24, 8, 33), (7, 2, 448)),
        ("NNCNNNCCN", (23, 12, 39, 77, 78, 18, 57, 40, 69, 10, 85, 87, 96, 52, 27, 60, 61, 81), (8, 2, 512)),
    ],
)
def test_search_begins_at_all_ends_and_moves(kinds: str, sources: Sequence[int], expected: tuple[int, ...]) -> None:
    graph = network(list(zip((kind == "N" for kind in kinds), sources[::2], sources[1::2], strict=True)))
    assert cost(fewest_crossings(graph, refused(graph)), graph) == expected


def test_cost_counts_tensors_then_segments_then_bytes() -> None:
    graph = made(lambda b: [npu(b, cpu(b, npu(b, image(b))))])
    assert cost(partition(graph, refused(graph)), graph) == (4, 2, 256)


def _best(graph: Graph) -> int:
    """The fewest tensors that can cross: of all groups of all orders."""
    operators, keep = graph.operators, refused(graph)
    before = [
        {place for place, other in enumerate(operators) if set(other.outputs) & set(op.inputs)} for op in operators
    ]
    best = 1 << 30
    for first in (True, False):
        allowed = [range(int((op.index not in keep) != first), len(operators) + 1, 2) for op in operators]
        for layers in itertools.product(*allowed):
            if any(layers[other] > layer for layer, others in zip(layers, before, strict=True) for other in others):
                continue
            groups = [
                group_of(
                    graph,
                    (layer % 2 == 0) == first,
                    [op for op, own in zip(operators, layers, strict=True) if own == layer],
                )
                for layer in sorted(set(layers))
            ]
            best = min(best, cost(groups, graph)[0])
    return best


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=6))
def test_small_networks_have_the_fewest_crossings_of_all(choices: Choices) -> None:
    graph = network(choices)
    assert cost(fewest_crossings(graph, refused(graph)), graph)[0] == _best(graph)


def test_an_operator_waits_for_the_segment_that_uses_it() -> None:
    """TFLite's way computes the first convolution on its own, ahead of the CPU."""

    def build(b: ModelBuilder) -> Sequence[Value]:
        source = image(b)
        early = npu(b, source)  # 0
        return [two(b, "ADD", early, cpu(b, source))]  # 2, and 1 for the CPU

    graph = made(build)
    assert numbers(partition(graph, refused(graph))) == [(True, [0]), (False, [1]), (True, [2])]
    assert numbers(fewest_crossings(graph, refused(graph))) == [(False, [1]), (True, [0, 2])]


def test_long_networks_are_not_searched() -> None:
    choices = [(number % 3 > 0, number, number) for number in range(MOST_OPERATORS + 1)]
    graph = network(choices)
    assert numbers(fewest_crossings(graph, refused(graph))) == numbers(partition(graph, refused(graph)))


def test_crossings_are_listed_with_what_they_cost() -> None:
    graph = made(lambda b: [npu(b, cpu(b, npu(b, image(b))))])
    compiled = compile_graph(graph, WIDE)
    found = crossings(compiled)
    assert [(one.segment, one.direction) for one in found] == [(0, "in"), (0, "out"), (2, "in"), (2, "out")]
    assert {one.bytes for one in found} == {64}
    assert {one.turned for one in found} == {128}  # read and written
    parts = compiled.plan.parts
    assert sum(len(part.inputs) + len(part.outputs) for part in parts if isinstance(part, NpuPart)) == 4


def test_the_next_level_is_told_what_it_brings() -> None:
    def build(b: ModelBuilder) -> Sequence[Value]:
        return [npu(b, b.transpose(npu(b, image(b)), (0, 2, 1, 3))), cpu(b, image(b, "other"))]

    graph = made(build)
    found = outlook(make_plan(graph, Options(CHIP)))
    assert found is not None
    assert (found.level, found.on_cpu, found.brought, found.macs_on_cpu) == (Level.WIDE, 2, 1, 0)
    assert outlook(make_plan(graph, WIDE)) is None
    assert outlook(make_plan(made(lambda b: [npu(b, image(b))]), Options(CHIP))) is None


def test_views_are_shown_with_the_shape_that_they_had() -> None:
    graph = made(lambda b: [b.reshape(npu(b, npu(b, image(b))), (1, 2, 8, 4))])
    (row,) = [row for row in rows(compile_graph(graph, WIDE)) if row.unit is Unit.VIEW]
    assert (row.operation, row.input, row.output) == ("RESHAPE", (1, 4, 4, 4), (1, 2, 8, 4))
