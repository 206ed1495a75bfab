# SPDX-License-Identifier: MIT
"""STRIDED_SLICE and SLICE: every n-th element of a range of each dimension, by TP.

Source: TFLite's StridedSlice (strided_slice_logic.h): how begins, ends and masks are read.
"""

from dataclasses import dataclass

from hornito.compiler.operators import strided
from hornito.compiler.operators.strided import Walks
from hornito.compiler.rules import Candidate, Rule, shapes
from hornito.compiler.segment import Segment, Steps
from hornito.compiler.tasks import Loop, Walk
from hornito.model.graph import StridedSliceOptions


@dataclass(frozen=True)
class Range:
    """What is taken of one dimension; ``kept``: the result has the dimension too."""

    first: int
    count: int
    step: int = 1
    kept: bool = True


def sliced(ranges: tuple[Range, ...]) -> Walks:
    """The walk over the elements that the ranges name."""

    def walks(before: Steps, after: Steps) -> tuple[Walk, ...]:
        steps = iter(after)
        loops = []
        for step, part in zip(before, ranges, strict=True):
            loops.append(Loop(part.count, step * part.step, next(steps) if part.kept else 0))
        first = sum(step * part.first for step, part in zip(before, ranges, strict=True))
        return (Walk(first, 0, tuple(loops)),)

    return walks


def _options(c: Candidate) -> StridedSliceOptions:
    options = c.operator.options
    return options if isinstance(options, StridedSliceOptions) else StridedSliceOptions()


def _places(c: Candidate) -> tuple[tuple[int, int, int], ...] | None:
    """Begin, end and stride of each dimension as the model has them, or None where they are not all constant."""
    columns = [strided.constants(c, number) for number in (1, 2, 3)]
    begin, end, step = columns
    if begin is None or end is None or step is None or not len(begin) == len(end) == len(step) == len(c.source.shape):
        return None
    return tuple(zip(begin, end, step, strict=True))


def _plain_masks(c: Candidate) -> bool:
    return not (_options(c).ellipsis_mask or _options(c).new_axis_mask)


def _strided_ranges(c: Candidate) -> tuple[Range, ...]:
    options = _options(c)
    found = []
    for number, ((begin, end, step), length) in enumerate(zip(_places(c) or (), c.source.shape, strict=True)):
        bit = 1 << number
        first = 0 if options.begin_mask & bit else _within(begin, length)
        if options.shrink_axis_mask & bit:
            found.append(Range(_within(begin, length), 1, 1, kept=False))
            continue
        if options.offset:
            end += begin
        last = length if options.end_mask & bit else _within(end, length)
        found.append(Range(first, max(-(-(last - first) // step), 0), step))
    return tuple(found)


def _within(place: int, length: int) -> int:
    """A place counted from the end where it is negative, and held within the dimension."""
    return min(max(place + length if place < 0 else place, 0), length)


def _slice_ranges(c: Candidate) -> tuple[Range, ...]:
    begins, sizes = strided.constants(c, 1) or (), strided.constants(c, 2) or ()
    return tuple(
        Range(first, length - first if size == -1 else size)
        for first, size, length in zip(begins, sizes, c.source.shape, strict=True)
    )


def _inside(c: Candidate, ranges: tuple[Range, ...]) -> bool:
    """Do the ranges lie within the input and give the output's sizes?"""
    within = all(
        part.first >= 0 and part.count > 0 and part.first + (part.count - 1) * part.step < length
        for part, length in zip(ranges, c.source.shape, strict=True)
    )
    return within and c.target.shape == tuple(part.count for part in ranges if part.kept)


STRIDED_RULES: tuple[Rule, ...] = (
    *strided.basics(),
    Rule(
        "constant begins, ends and strides, one for each dimension",
        lambda c: _places(c) is not None,
        lambda c: ", ".join(str(strided.constants(c, number)) for number in (1, 2, 3)),
    ),
    Rule("no ellipses and no new axes", _plain_masks, lambda c: str(_options(c))),
    Rule(
        "strides of at least 1",
        lambda c: all(step >= 1 for _, _, step in _places(c) or ()),
        lambda c: str(tuple(step for _, _, step in _places(c) or ())),
    ),
    Rule(
        "an output of the slice's sizes",
        lambda c: _inside(c, _strided_ranges(c)),
        lambda c: shapes(c.source, c.target),
    ),
    strided.few(lambda c, _: sliced(_strided_ranges(c))),
)
SLICE_RULES: tuple[Rule, ...] = (
    *strided.basics(),
    Rule(
        "constant begins and sizes, one for each dimension",
        lambda c: all(len(strided.constants(c, number) or ()) == len(c.source.shape) for number in (1, 2)),
        lambda c: ", ".join(str(strided.constants(c, number)) for number in (1, 2)),
    ),
    Rule(
        "an output of the slice's sizes",
        lambda c: _inside(c, _slice_ranges(c)),
        lambda c: shapes(c.source, c.target),
    ),
    strided.few(lambda c, _: sliced(_slice_ranges(c))),
)


def lower_strided(segment: Segment, c: Candidate) -> None:
    """One move, or a view of elements that lie side by side."""
    strided.move(segment, c, c.source, c.target, sliced(_strided_ranges(c)))


def lower_slice(segment: Segment, c: Candidate) -> None:
    """One move, or a view of elements that lie side by side."""
    strided.move(segment, c, c.source, c.target, sliced(_slice_ranges(c)))
