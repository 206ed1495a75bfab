# SPDX-License-Identifier: MIT
"""Does a device run a whole network right? Its results must be, and so must each of its operators.

Results are compared as the reference driver's test compares them, from which the tolerances come too: bytes in steps,
floats in 33rds, for the noise that this test feeds (noise.py). Deep networks amplify roundings, so with other inputs
even two of LiteRT's own sets of kernels can be further apart than that: by 18 behind MobileNetV1, 75 behind YOLOX.

Then the network runs again with every tensor as an output: the results must be the same to the last bit, and each
operator must be right on what it was really fed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hornito.compiler import Options, Plan, make_plan
from hornito.conformance.anchors import Anchors, find_anchors
from hornito.conformance.differences import (
    REFERENCE,
    Array,
    Difference,
    Run,
    compare_operator,
    error_bounds,
    litert,
    measure,
)
from hornito.errors import Unsupported
from hornito.model import Graph, extract, read_model


@dataclass(frozen=True)
class Verdict:
    """``results``: how far the results are off. ``failure``: why that is a failure, "" where it is none."""

    results: Difference
    failure: str = ""


def judge_whole(graph: Graph, values: Sequence[Array], run: Run, options: Options, tolerance: int) -> Verdict:
    """Run a network on ``values``, one for each input, and compare. Raises DeviceError, and Unsupported for results
    that are neither bytes nor the ranking of an SSD."""
    anchors = find_anchors(graph)
    if anchors is not None:
        # What differs in the last digit may rank elsewhere. So all boxes and scores are compared, not the best ones.
        before = [operator.index for operator in graph.operators[:-1]]
        graph = read_model(extract(graph, before, graph.inputs, graph.operators[-1].inputs[:2]))
    for index in graph.outputs:
        if graph.tensor(index).type_name not in ("UINT8", "INT8"):
            raise Unsupported(f"output T#{index} is of type {graph.tensor(index).type_name}; no way to compare it")
    given = dict(zip(graph.inputs, values, strict=True))
    plan = make_plan(graph, options)
    seen = run(plan, given)
    found = [seen[index] for index in graph.outputs]
    wanted = litert(graph.source, REFERENCE).run(list(values))
    last = graph.producer(graph.outputs[-1])
    assert last is not None
    results = measure(last, _pairs(anchors, found, wanted), tolerance, given)
    inside = _look_inside(graph, plan, given, run, options, found)
    if results.excess > 0:
        cause = inside or "each operator is right on what it was fed, so the network amplifies roundings"
        return Verdict(results, f"{results}; {cause}")
    return Verdict(results, inside)


def _pairs(anchors: Anchors | None, found: list[Array], wanted: list[Array]) -> list[tuple[Array, Array]]:
    """What was found and what is wanted, as they are to be compared."""
    if anchors is not None:
        found, wanted = ([anchors.boxes(places), anchors.shares(scores)] for places, scores in (found, wanted))
    return list(zip(found, wanted, strict=True))


def _look_inside(
    graph: Graph, plan: Plan, values: Mapping[int, Array], run: Run, options: Options, found: Sequence[Array]
) -> str:
    """What is wrong with an operator that the NPU runs, on what it was really fed; "" where nothing is."""
    inner = [
        output
        for operator in graph.operators
        if operator.index not in plan.refusals
        for output in operator.outputs
        if output not in graph.outputs
    ]
    every = [operator.index for operator in graph.operators]
    open_graph = read_model(extract(graph, every, graph.inputs, (*graph.outputs, *inner)))
    open_plan = make_plan(open_graph, options)
    seen = run(open_plan, dict(zip(open_graph.inputs, values.values(), strict=True)))
    for index, place, value in zip(graph.outputs, open_graph.outputs, found, strict=False):
        if not np.array_equal(value, seen[place]):
            return f"T#{index} changes when inner tensors are outputs, too"
    bounds = error_bounds(open_plan)
    for operator in open_graph.operators:
        if operator.index not in open_plan.refusals:
            inside = compare_operator(open_graph, operator, seen, None, bounds)
            if inside.excess > 0:
                return str(inside)
    return ""
