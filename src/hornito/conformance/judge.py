# SPDX-License-Identifier: MIT
"""Is a device's result right? Each operator is compared with LiteRT's reference kernels on what it was really fed."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hornito.compiler import Options, Plan, compile_plan, make_plan
from hornito.compiler.rules import Refusal
from hornito.conformance.case import Case, Missing, Scope
from hornito.conformance.differences import Array, Difference, Run, compare_operator, error_bounds
from hornito.conformance.noise import reference_noise
from hornito.conformance.result import Result, Status
from hornito.conformance.whole import judge_whole
from hornito.driver import Device
from hornito.errors import Unsupported
from hornito.model import Graph, extract, read_model
from hornito.model.draw import Draw
from hornito.runtime import Session

Keep = Callable[[str, bytes, Sequence[Array]], str]  # the case's name, a model, its inputs; gives a command


def on_device(device: Device) -> Run:
    """Runs a plan on a device; gives every tensor that crosses a segment's edge."""

    def run(plan: Plan, values: Mapping[int, Array]) -> dict[int, Array]:
        session = Session(compile_plan(plan).archive, device, 1, trusted=True)
        try:
            return session.run(values)
        finally:
            session.close()

    return run


def judge(case: Case, options: Options, run: Run, seed: int, keep: Keep | None = None) -> Result:
    """Build the case's model, run it and compare. ``keep`` is handed what a failure can be repeated with.

    Raises DeviceError, and whatever else is no verdict about the case.
    """
    begin = time.perf_counter()

    def result(status: Status, **more: Any) -> Result:
        seconds = time.perf_counter() - begin
        return Result(case.name, case.family, status, seconds=seconds, row=case.row, column=case.column, **more)

    draw = Draw(case.name, seed)
    try:
        graph = read_model(case.make(draw))
    except Missing as missing:
        return result(Status.SKIPPED, reason=str(missing))
    plan = make_plan(graph, options)
    if refusal := _refusal(case, plan):
        rule = f"{refusal.kind}: {refusal.reason}"
        return result(Status.REFUSED, reason=f"{refusal.kind}: {refusal.text}", rule=rule)
    values = {index: _input(case, draw, graph, index) for index in graph.inputs}

    def failed(reason: str, numbers: dict[str, int], model: bytes, inputs: list[Array]) -> Result:
        saved = keep(case.name, model, inputs) if keep else ""
        return result(Status.FAIL, reason=reason, saved=saved, **numbers)

    if case.scope is Scope.RESULTS:
        assert case.tolerance is not None
        verdict = judge_whole(graph, list(values.values()), run, options, case.tolerance)
        numbers = {"worst": verdict.results.worst, "tolerance": case.tolerance}
        if verdict.failure:
            return failed(verdict.failure, numbers, graph.source, list(values.values()))
        return result(Status.PASS, **numbers)
    found = run(plan, values)
    bounds = error_bounds(plan)
    differences = [compare_operator(graph, operator, found, case.tolerance, bounds) for operator in graph.operators]
    worst = max(differences, key=lambda difference: (difference.excess, difference.worst))
    numbers = {"worst": worst.worst, "tolerance": worst.tolerance}
    if worst.excess <= 0:
        return result(Status.PASS, **numbers)
    return failed(str(worst), numbers, *_smallest(case, graph, worst, values, options, run))


def _smallest(
    case: Case, graph: Graph, failure: Difference, values: Mapping[int, Array], options: Options, run: Run
) -> tuple[bytes, list[Array]]:
    """A model of the operator alone and what it was fed, if it is wrong alone, too; else all of the case."""
    whole = graph.source, list(values.values())
    if len(graph.operators) == 1:
        return whole
    piece = read_model(extract(graph, [failure.operator.index], list(failure.inputs), failure.operator.outputs))
    plan = make_plan(piece, options)
    if plan.refusals:
        return whole
    found = run(plan, dict(zip(piece.inputs, failure.inputs.values(), strict=True)))
    again = compare_operator(piece, piece.operators[0], found, case.tolerance, error_bounds(plan))
    return (piece.source, list(failure.inputs.values())) if again.excess > 0 else whole


def _refusal(case: Case, plan: Plan) -> Refusal | None:
    """Why there is nothing to judge: of a small model nothing may be left to the CPU, of a whole network not all."""
    if plan.refusals and (case.scope is Scope.OPERATORS or not plan.uses_npu):
        return next(iter(plan.refusals.values()))
    return None


def _input(case: Case, draw: Draw, graph: Graph, index: int) -> Array:
    """Random bytes: the case's own, but for whole networks those that their tolerances are for."""
    tensor = graph.tensor(index)
    if tensor.dtype not in (np.uint8, np.int8):
        raise Unsupported(f"input T#{index} is of type {tensor.type_name}; cases are fed uint8 or int8")
    if case.scope is Scope.RESULTS and tensor.dtype == np.uint8:
        return reference_noise(tensor.shape)
    return draw.values(tensor.shape, np.uint8 if tensor.dtype == np.uint8 else np.int8)
