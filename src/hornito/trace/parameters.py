# SPDX-License-Identifier: MIT
"""In which numbers do models differ? Sizes, strides, zero points and scales of every operator, by name."""

import dataclasses
import enum
from collections.abc import Iterator, Sequence
from fractions import Fraction

from hornito.errors import BadInput
from hornito.model import Graph, Tensor

_AXES = ("batch", "height", "width", "channels")


def parameters(graph: Graph) -> dict[str, Fraction]:
    """Every number of a network that a client may have to know, by operator and name."""
    found: dict[str, Fraction] = {}
    alone = len(graph.operators) == 1
    for operator in graph.operators:
        before = "" if alone else f"Op#{operator.index} "
        if operator.options is not None and dataclasses.is_dataclass(operator.options):
            for entry in dataclasses.fields(operator.options):
                found |= {f"{before}{entry.name}": value for value in _number(getattr(operator.options, entry.name))}
        for side, tensors in (("input", operator.inputs), ("output", operator.outputs)):
            for number, index in enumerate(tensors):
                if index >= 0:
                    name = f"{before}{side}" + (f" {number}" if len(tensors) > 1 else "")
                    found |= _tensor(name, graph.tensor(index))
    return found


def differing(graphs: Sequence[Graph]) -> dict[tuple[str, ...], tuple[Fraction, ...]]:
    """The parameters that are not the same in all models, with their values; those that always have equal values stand
    together. Raises BadInput for models of different operators, or that do not differ."""
    tables = [parameters(graph) for graph in graphs]
    if any(table.keys() != tables[0].keys() for table in tables):
        raise BadInput("the models do not have the same operators and tensors; only a number may differ between them")
    found: dict[tuple[Fraction, ...], list[str]] = {}
    for name in tables[0]:
        values = tuple(table[name] for table in tables)
        if len(set(values)) > 1:
            found.setdefault(values, []).append(name)
    if not found:
        raise BadInput("the models differ in no size, stride, zero point or scale")
    return {tuple(names): values for values, names in found.items()}


def _number(value: object) -> Iterator[Fraction]:
    if isinstance(value, enum.Enum):
        yield Fraction(list(type(value)).index(value))
    elif isinstance(value, bool | int):
        yield Fraction(int(value))
    elif isinstance(value, float):
        yield Fraction(value)


def _tensor(name: str, tensor: Tensor) -> dict[str, Fraction]:
    """Lengths of its axes, and its scale and zero point if it has one of each."""
    axes = _AXES if len(tensor.shape) == len(_AXES) else tuple(f"axis {axis}" for axis in range(len(tensor.shape)))
    found = {f"{name} {axis}": Fraction(length) for axis, length in zip(axes, tensor.shape, strict=True)}
    quantization = tensor.quantization
    if quantization is not None and len(quantization.scales) == 1:
        found[f"{name} scale"] = Fraction(float(quantization.scales[0]))
        found[f"{name} zero point"] = Fraction(int(quantization.zero_points[0]))
    return found
