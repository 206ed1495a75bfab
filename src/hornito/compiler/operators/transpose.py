# SPDX-License-Identifier: MIT
"""TRANSPOSE: any order of dimensions, by TP."""

from hornito.compiler.operators import strided
from hornito.compiler.operators.strided import Walks
from hornito.compiler.rules import Candidate, Rule, shapes
from hornito.compiler.segment import Segment, Steps
from hornito.compiler.tasks import Walk
from hornito.model.graph import Tensor


def _order(c: Candidate) -> tuple[int, ...]:
    rank = len(c.source.shape)
    return tuple(place + rank if place < 0 else place for place in strided.constants(c, 1) or ())


def _expected(c: Candidate) -> tuple[int, ...]:
    return tuple(c.source.shape[place] for place in _order(c))


def _walks(c: Candidate, target: Tensor) -> Walks:
    def walks(before: Steps, after: Steps) -> tuple[Walk, ...]:
        steps = tuple(before[place] for place in _order(c))
        return (Walk(0, 0, strided.copied(target.shape, steps, after)),)

    return walks


RULES: tuple[Rule, ...] = (
    *strided.basics(),
    Rule(
        "a constant order of all dimensions",
        lambda c: sorted(_order(c)) == list(range(len(c.source.shape))),
        lambda c: str(strided.constants(c, 1)),
    ),
    Rule(
        "an output of the input's sizes in that order",
        lambda c: c.target.shape == _expected(c),
        lambda c: shapes(c.source, c.target),
    ),
    strided.few(_walks),
)


def lower(segment: Segment, c: Candidate) -> None:
    """One move."""
    strided.move(segment, c, c.source, c.target, _walks(c, c.target))
