# SPDX-License-Identifier: MIT
"""CONCATENATION of channels: planes behind each other in memory, and no job at all.

Source: databook, lowering.md ("CONCATENATION and SPLIT").
"""

from hornito.compiler.operators import common
from hornito.compiler.rules import Candidate, Rule, shapes
from hornito.compiler.segment import Segment, shape_of
from hornito.model.graph import Activation, ConcatenationOptions


def _options(c: Candidate) -> ConcatenationOptions:
    assert isinstance(c.operator.options, ConcatenationOptions)
    return c.operator.options


RULES: tuple[Rule, ...] = (
    common.NN_IN_USE,
    common.computed(lambda c: c.operands),
    common.one_type("inputs and output", common.data),
    common.single_images(common.data),
    Rule("the channels as axis", lambda c: _options(c).axis in (3, -1), lambda c: str(_options(c).axis)),
    Rule(
        "inputs of the same shape",
        lambda c: len({tensor.shape for tensor in c.operands}) == 1,
        lambda c: shapes(*c.operands),
    ),
    Rule(
        "an output as large as the inputs together",
        lambda c: c.target.shape == (*c.source.shape[:3], c.source.shape[3] * len(c.operands)),
        lambda c: shapes(c.target),
    ),
    Rule(
        "no activation",
        lambda c: _options(c).activation is Activation.NONE,
        lambda c: _options(c).activation.name,
    ),
    common.per_tensor("inputs and output", common.data),
    common.zero_points(common.data),
    common.same_quantisation(common.data),
)


def lower(segment: Segment, c: Candidate) -> None:
    """The inputs become parts of the output."""
    forgets = c.options.as_reference and segment.computes(c.source)
    parts = [
        (segment.untouched(tensor) if forgets else segment.source(c.operator, tensor), tensor) for tensor in c.operands
    ]
    whole = segment.target(c.target)
    segment.join(c.operator, parts, whole, shape_of(c.target))
    segment.finish(c.operator, c.target, zero=0)
