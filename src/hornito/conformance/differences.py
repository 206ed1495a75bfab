# SPDX-License-Identifier: MIT
"""How far is an operator's result from LiteRT's on the same inputs, and how far may it be?"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.compiler import Plan
from hornito.compiler.operators import MOVES
from hornito.compiler.plan import NpuPart
from hornito.compiler.report import real_macs
from hornito.compiler.tasks import Convolution
from hornito.errors import HornitoError
from hornito.model import Graph, Operator, extract
from hornito.runtime.litert import CpuModel

Array = NDArray[Any]
# Runs a plan on its inputs, which are arrays by tensor; gives every tensor that the CPU gets to see.
Run = Callable[[Plan, Mapping[int, Array]], Mapping[int, Array]]

REFERENCE, OPTIMISED = "BUILTIN_REF", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"  # LiteRT's sets of kernels

# Multiplications from which LiteRT's optimised kernels judge first. They round a little differently now and then, never
# by more than 1; the reference kernels, a dozen times slower, decide whatever they do not let pass.
LARGE = 2_000_000_000
FLOAT_STEPS = 33  # in 1.0, where results are floats: what the reference driver's test takes a tolerance for


@dataclass(frozen=True)
class Difference:
    """How far an operator's result is from LiteRT's, and how far it may be: in steps, or where results are floats in
    FLOAT_STEPS, rounded up. ``inputs``: what it was fed, by tensor."""

    operator: Operator
    worst: int
    tolerance: int
    wrong: int
    elements: int
    inputs: Mapping[int, Array]

    @property
    def excess(self) -> int:
        return self.worst - self.tolerance

    def __str__(self) -> str:
        return (
            f"Op#{self.operator.index} {self.operator.kind}: {self.wrong} of {self.elements} values differ by more "
            f"than {self.tolerance}, one by {self.worst}"
        )


def tolerance(graph: Graph, operator: Operator, error_bound: int = 0) -> int:
    """How far the NPU's result may be from the reference kernels': it rounds its own way, ADD's weights have 8
    bits, and per-axis weights that share scales have an ``error_bound``."""
    if operator.kind in MOVES:
        return 0
    if operator.kind != "ADD":
        return 1 + error_bound
    scales = [
        quantization.scale
        for index in (*operator.inputs, *operator.outputs)
        if (quantization := graph.tensor(index).quantization) is not None
    ]
    *inputs, output = scales
    return 1 + math.ceil(max(inputs) / (2 * output))


def error_bounds(plan: Plan) -> dict[int, int]:
    """What the plan says of operators, by index: how many steps per-axis weights that share scales may cost."""
    bounds: dict[int, int] = {}
    for part in plan.parts:
        for task in part.tasks if isinstance(part, NpuPart) else ():
            if isinstance(task, Convolution):
                bounds[task.operator] = max(task.off_by, bounds.get(task.operator, 0))
    return bounds


def measure(
    operator: Operator, pairs: Sequence[tuple[Array, Array]], allowed: int, inputs: Mapping[int, Array]
) -> Difference:
    """``pairs``: what was found, what is wanted."""
    worst = wrong = elements = 0
    for found, wanted in pairs:
        if found.dtype != wanted.dtype or found.shape != wanted.shape:
            raise HornitoError(f"the device gives {found.dtype}{found.shape}, LiteRT {wanted.dtype}{wanted.shape}")
        if found.dtype.kind == "f":
            distance = np.ceil(np.abs(found - wanted) * FLOAT_STEPS)
        else:
            distance = np.abs(found.astype(np.int16) - wanted.astype(np.int16))
        worst = max(worst, int(distance.max(initial=0)))
        wrong += int(np.count_nonzero(distance > allowed))
        elements += distance.size
    return Difference(operator, worst, allowed, wrong, elements, inputs)


def compare_operator(
    graph: Graph, operator: Operator, found: Mapping[int, Array], allowed: int | None, bounds: Mapping[int, int]
) -> Difference:
    """An operator's result against LiteRT's on the same inputs, which the device itself may have computed. ``bounds``:
    what ``error_bounds`` says of the plan; ``allowed``: a tolerance that replaces what follows from the operator."""
    inputs = {index: found[index] for index in operator.inputs if index >= 0 and not graph.tensor(index).is_constant}
    limit = tolerance(graph, operator, bounds.get(operator.index, 0)) if allowed is None else allowed
    model = graph.source
    if len(graph.operators) > 1 or graph.inputs != tuple(inputs) or graph.outputs != operator.outputs:
        model = extract(graph, [operator.index], list(inputs), operator.outputs)

    def compared(resolver: str) -> Difference:
        wanted = litert(model, resolver).run(list(inputs.values()))
        pairs = [(found[index], value) for index, value in zip(operator.outputs, wanted, strict=True)]
        return measure(operator, pairs, limit, inputs)

    if real_macs(graph, operator) > LARGE:
        quick = compared(OPTIMISED)
        if quick.excess <= 0:
            return quick
    return compared(REFERENCE)


def litert(model: bytes, resolver: str) -> CpuModel:
    """LiteRT with the kernels of that name; its results are right but for the last bit with any."""
    from ai_edge_litert.interpreter import OpResolverType

    # A process of its own that looks whether LiteRT survives is not needed: this is one, and the models are ours.
    settings = {"experimental_op_resolver_type": OpResolverType[resolver]}
    return CpuModel(model, "model", 1, trusted=True, settings=settings)
