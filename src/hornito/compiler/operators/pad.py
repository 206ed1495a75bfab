# SPDX-License-Identifier: MIT
"""PAD: which can the NPU run, and as which jobs?

Source: databook, lowering.md ("PAD") and tp-descriptor.md ("Pad by one on all four sides").
"""

from hornito.compiler.operators import common
from hornito.compiler.rules import Candidate, Rule, shapes, zero_point
from hornito.compiler.segment import Segment, shape_of
from hornito.compiler.tasks import Pad
from hornito.model.graph import Tensor

BORDER = ((0, 0), (1, 1), (1, 1), (0, 0))


def _data(c: Candidate) -> list[Tensor]:
    return [c.source, c.target]


def _paddings(c: Candidate) -> tuple[tuple[int, ...], ...]:
    data = c.operand(1).data
    return tuple(tuple(int(size) for size in row) for row in data) if data is not None and data.ndim == 2 else ()


RULES: tuple[Rule, ...] = (
    common.NN_IN_USE,
    common.computed(lambda c: [c.source]),
    common.one_type("input and output", _data),
    common.single_images(_data),
    Rule("a border of one pixel on all four sides", lambda c: _paddings(c) == BORDER, lambda c: str(_paddings(c))),
    Rule(
        "an output larger by that border",
        lambda c: c.target.shape == (1, c.source.shape[1] + 2, c.source.shape[2] + 2, c.source.shape[3]),
        lambda c: shapes(*_data(c)),
    ),
    common.per_tensor("input and output", _data),
    common.zero_points(_data),
    common.same_quantisation(_data),
)


def lower(segment: Segment, c: Candidate) -> None:
    """[transpose] pad [detranspose]."""
    place = segment.source(c.operator, c.source)
    before, after = shape_of(c.source), shape_of(c.target)
    segment.add(Pad(c.operator.index, place, segment.target(c.target), before, after, zero_point(c.source)))
    segment.finish(c.operator, c.target)
