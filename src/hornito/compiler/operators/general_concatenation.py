# SPDX-License-Identifier: MIT
"""CONCATENATION of any numbers of channels, or along the outermost dimension of the model's order: views.

Inputs of another scale or zero point than the output's are scaled first.

Source: databook, lowering.md ("CONCATENATION and SPLIT"): a tensor is where its buffer has it, so any may follow any.
"""

from hornito.compiler.operators import common, rescale, strided
from hornito.compiler.rules import Candidate, Rule, shapes
from hornito.compiler.segment import Segment, plain, planar, same_steps, shape_of
from hornito.model.graph import Activation, ConcatenationOptions, Tensor


def _options(c: Candidate) -> ConcatenationOptions:
    assert isinstance(c.operator.options, ConcatenationOptions)
    return c.operator.options


def _axis(c: Candidate) -> int:
    return _options(c).axis % max(len(c.target.shape), 1)


def _outermost(c: Candidate) -> bool:
    """Do the parts follow each other in the model's order of bytes?"""
    return all(length == 1 for length in c.target.shape[: _axis(c)])


def _matches(c: Candidate) -> bool:
    axis = _axis(c)
    others = {(*tensor.shape[:axis], *tensor.shape[axis + 1 :]) for tensor in common.data(c)}
    ranks = {len(tensor.shape) for tensor in common.data(c)}
    return len(others) == len(ranks) == 1 and sum(t.shape[axis] for t in c.operands) == c.target.shape[axis]


RULES: tuple[Rule, ...] = (
    *strided.basics(common.data, lambda c: c.operands, same=False),
    Rule("an output as large as the inputs together", _matches, lambda c: shapes(*common.data(c))),
    Rule(
        "the channels as axis, or only dimensions of 1 before it",
        lambda c: (len(c.target.shape) == 4 and _axis(c) == 3) or _outermost(c),
        lambda c: f"axis {_options(c).axis} of {shapes(c.target)}",
    ),
    Rule(
        "no activation",
        lambda c: _options(c).activation is Activation.NONE,
        lambda c: _options(c).activation.name,
    ),
    rescale.factors_fit(common.data),
)


def _rescaled(segment: Segment, c: Candidate, place: int, tensor: Tensor) -> tuple[int, Tensor]:
    """An operand at the output's scale and zero point."""
    if not rescale.changes(tensor, c.target):
        return place, tensor
    made = segment.scratch(tensor, shape_of(tensor))
    rescale.add_jobs(segment, c, (place, made), (tensor, c.target))
    return made, tensor


def lower(segment: Segment, c: Candidate) -> None:
    """The inputs become parts of the output."""
    if not _outermost(c):
        parts = [_rescaled(segment, c, segment.source(c.operator, tensor), tensor) for tensor in c.operands]
        segment.join(c.operator, parts, segment.target(c.target), shape_of(c.target))
        segment.finish(c.operator, c.target, zero=0)
        return
    parts = [_rescaled(segment, c, segment.interleaved(c.operator, tensor), tensor) for tensor in c.operands]
    if same_steps(c.target, planar(c.target), plain(c.target)):
        segment.flat_target(c.target)
    segment.join(c.operator, parts, c.target.index, shape_of(c.target))
