# SPDX-License-Identifier: MIT
"""SPLIT of channels: views of the input's planes, and no job at all.

Source: databook, lowering.md ("CONCATENATION and SPLIT").
"""

from hornito.compiler.operators import common
from hornito.compiler.rules import Candidate, Rule, shapes
from hornito.compiler.segment import Segment
from hornito.model.graph import Tensor


def _data(c: Candidate) -> list[Tensor]:
    return [c.operand(1), *c.results]


def _axis(c: Candidate) -> int | None:
    axis = c.operand(0).data
    return int(axis.reshape(-1)[0]) if axis is not None and axis.size == 1 else None


RULES: tuple[Rule, ...] = (
    common.NN_IN_USE,
    common.computed(lambda c: [c.operand(1)]),
    common.one_type("input and outputs", _data),
    common.single_images(_data),
    Rule("the channels as constant axis", lambda c: _axis(c) in (3, -1), lambda c: str(_axis(c))),
    Rule(
        "outputs of the same shape, together as large as the input",
        lambda c: (
            len({t.shape for t in c.results}) == 1
            and c.operand(1).shape == (*c.target.shape[:3], c.target.shape[3] * len(c.results))
        ),
        lambda c: shapes(*_data(c)),
    ),
    common.per_tensor("input and outputs", _data),
    common.zero_points(_data),
    common.same_quantisation(_data),
)


def lower(segment: Segment, c: Candidate) -> None:
    """The outputs become parts of the input."""
    whole = segment.source(c.operator, c.operand(1))
    segment.part(c.operator, (whole, c.operand(1)), [(segment.target(tensor), tensor) for tensor in c.results])
    for tensor in c.results:
        segment.finish(c.operator, tensor)
