# SPDX-License-Identifier: MIT
"""PAD and PADV2 with borders of any width in any dimension, by TP."""

from hornito.compiler.operators import strided
from hornito.compiler.operators.strided import Walks
from hornito.compiler.rules import Candidate, Rule, shapes
from hornito.compiler.segment import Segment, Steps
from hornito.compiler.tasks import Loop, Walk
from hornito.model.graph import Tensor


def _paddings(c: Candidate) -> tuple[tuple[int, int], ...]:
    flat = strided.constants(c, 1) or ()
    return tuple(zip(flat[::2], flat[1::2], strict=False))


def _fits(c: Candidate) -> bool:
    sizes = _paddings(c)
    return (
        len(sizes) == len(c.source.shape)
        and min(min(pair) for pair in sizes) >= 0
        and c.target.shape
        == tuple(length + before + after for length, (before, after) in zip(c.source.shape, sizes, strict=True))
    )


def _fill(c: Candidate) -> int | None:
    """The value of the border, or None for one that is not known."""
    value = c.input(2)
    assert c.source.quantization is not None
    if value is None:
        return c.source.quantization.zero_point
    return int(value.data.reshape(-1)[0]) if value.data is not None and value.data.size == 1 else None


def _walks(c: Candidate, _: Tensor) -> Walks:
    def walks(before: Steps, after: Steps) -> tuple[Walk, ...]:
        loops = tuple(
            Loop(length + low + high, step, to, low, high)
            for length, (low, high), step, to in zip(c.source.shape, _paddings(c), before, after, strict=True)
        )
        return (Walk(0, 0, loops),)

    return walks


RULES: tuple[Rule, ...] = (
    *strided.basics(),
    Rule(
        "an output larger by constant borders",
        _fits,
        lambda c: f"{shapes(c.source, c.target)} with {_paddings(c)}",
    ),
    Rule(
        "a border of the zero point",
        lambda c: c.source.quantization is not None and _fill(c) == c.source.quantization.zero_point,
        lambda c: str(_fill(c)),
    ),
    strided.few(_walks),
)


def lower(segment: Segment, c: Candidate) -> None:
    """One move."""
    strided.move(segment, c, c.source, c.target, _walks(c, c.target))
