# SPDX-License-Identifier: MIT
"""SPACE_TO_DEPTH and DEPTH_TO_SPACE: blocks of pixels to channels and back, by TP.

Source: TFLite's reference kernels: pixel (y, x) of a block of size b, channel c, is channel (y * b + x) * C + c.
"""

from hornito.compiler.operators import strided
from hornito.compiler.operators.strided import Walks
from hornito.compiler.rules import Candidate, Rule, shapes
from hornito.compiler.segment import Segment, Steps
from hornito.compiler.tasks import Loop, Walk
from hornito.model.graph import BlockOptions, Tensor


def _block(c: Candidate) -> int:
    assert isinstance(c.operator.options, BlockOptions)
    return c.operator.options.size


def _spatial(c: Candidate) -> tuple[Tensor, Tensor]:
    """The tensor with the larger image, and the one with more channels."""
    return (c.source, c.target) if c.operator.kind == "SPACE_TO_DEPTH" else (c.target, c.source)


def _matches(c: Candidate) -> bool:
    """Are the two shapes those of the blocks?"""
    (large, deep), size = _spatial(c), _block(c)
    if len(large.shape) != 4 or len(deep.shape) != 4:
        return False
    _, rows, columns, channels = deep.shape
    return large.shape[1:] == (rows * size, columns * size, channels // size**2) and channels % size**2 == 0


def _walks(c: Candidate, _: Tensor) -> Walks:
    size = _block(c)
    large, deep = _spatial(c)
    fills = c.source is large
    rows, columns = deep.shape[1:3]
    channels = large.shape[3]

    def walks(before: Steps, after: Steps) -> tuple[Walk, ...]:
        wide, narrow = (before, after) if fills else (after, before)
        # Count, bytes in the large image, bytes in the deep one.
        steps = (
            (channels, wide[3], narrow[3]),
            (size, wide[2], narrow[3] * channels),
            (columns, wide[2] * size, narrow[2]),
            (size, wide[1], narrow[3] * channels * size),
            (rows, wide[1] * size, narrow[1]),
        )
        loops = tuple(Loop(count, *((one, two) if fills else (two, one))) for count, one, two in steps)
        return (Walk(0, 0, loops),)

    return walks


RULES: tuple[Rule, ...] = (
    *strided.basics(),
    Rule(
        "output sizes that follow from the input's and the block's",
        _matches,
        lambda c: f"{shapes(c.source, c.target)} with blocks of {_block(c)}",
    ),
    strided.few(_walks),
)


def lower(segment: Segment, c: Candidate) -> None:
    """One move."""
    strided.move(segment, c, c.source, c.target, _walks(c, c.target))
