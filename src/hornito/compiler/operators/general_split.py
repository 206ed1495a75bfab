# SPDX-License-Identifier: MIT
"""SPLIT and SPLIT_V along any dimension: a view for each result whose elements lie side by side, a move by TP else."""

from itertools import accumulate

from hornito.compiler.operators import strided
from hornito.compiler.operators.slices import Range, sliced
from hornito.compiler.operators.strided import Walks
from hornito.compiler.rules import Candidate, Rule, shapes
from hornito.compiler.segment import Segment
from hornito.model.graph import Tensor


def _value(c: Candidate) -> Tensor:
    return c.operand(0 if c.operator.kind == "SPLIT_V" else 1)


def _axis(c: Candidate) -> int | None:
    found = strided.constants(c, 2 if c.operator.kind == "SPLIT_V" else 0)
    rank = len(_value(c).shape)
    return found[0] % rank if found and len(found) == 1 and -rank <= found[0] < rank else None


def _data(c: Candidate) -> list[Tensor]:
    return [_value(c), *c.results]


def _matches(c: Candidate) -> bool:
    axis, value = _axis(c), _value(c)
    assert axis is not None
    others = {(*tensor.shape[:axis], *tensor.shape[axis + 1 :]) for tensor in _data(c)}
    ranks = {len(tensor.shape) for tensor in _data(c)}
    return len(others) == len(ranks) == 1 and sum(t.shape[axis] for t in c.results) == value.shape[axis]


def _walks(c: Candidate, target: Tensor) -> Walks:
    axis, value = _axis(c), _value(c)
    assert axis is not None
    firsts = accumulate((tensor.shape[axis] for tensor in c.results), initial=0)
    first = next(first for first, tensor in zip(firsts, c.results, strict=False) if tensor is target)
    ranges = [Range(0, length) for length in value.shape]
    ranges[axis] = Range(first, target.shape[axis])
    return sliced(tuple(ranges))


RULES: tuple[Rule, ...] = (
    *strided.basics(_data, lambda c: [_value(c)]),
    Rule("a constant axis", lambda c: _axis(c) is not None, lambda c: str(_axis(c))),
    Rule("outputs that are together as large as the input", _matches, lambda c: shapes(*_data(c))),
    strided.few(_walks, _value),
)


def lower(segment: Segment, c: Candidate) -> None:
    """The outputs become parts of the input, or copies of them."""
    for target in c.results:
        strided.move(segment, c, _value(c), target, _walks(c, target))
