# SPDX-License-Identifier: MIT
"""RESHAPE, SQUEEZE and EXPAND_DIMS: the same bytes with other sizes, a view unless planes have to be turned back.

Planes of as many channels are the same bytes whatever their rows and columns; else the model's order is.
"""

from hornito.compiler.operators import strided
from hornito.compiler.rules import Candidate, Rule, shapes
from hornito.compiler.segment import Segment, plain, planar, same_steps

RULES: tuple[Rule, ...] = (
    *strided.basics(),
    Rule(
        "an output of as many elements as the input",
        lambda c: c.source.elements == c.target.elements,
        lambda c: shapes(c.source, c.target),
    ),
)


def lower(segment: Segment, c: Candidate) -> None:
    """A view, or turned back a copy."""
    source, target = c.source, c.target
    place, steps = segment.lies(source)
    planes = not same_steps(source, steps, plain(source))
    if planes and len(target.shape) == 4 and source.shape[3] == target.shape[3]:
        segment.view(c.operator, (place, source), (segment.target(target), target))
        segment.finish(c.operator, target)
        return
    if same_steps(target, planar(target), plain(target)):
        segment.flat_target(target)
    # A result that is not planes is turned by whoever wants them.
    if planes:
        segment.move(c.operator, (place, steps), (target.index, plain(source)), source)
    else:
        segment.view(c.operator, (place, source), (target.index, target))
