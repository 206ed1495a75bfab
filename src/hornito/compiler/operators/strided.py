# SPDX-License-Identifier: MIT
"""What do operators share that only rearrange bytes? They are walks over two tensors, whatever order those lie in.

Source: databook, tp-descriptor.md ("What else the block can do"): permutations, crops, borders and strided copies are
built of the known parts of known jobs; no such job has been seen on silicon.
"""

from collections.abc import Callable, Sequence

from hornito.compiler import strides
from hornito.compiler.operators import common
from hornito.compiler.rules import Candidate, Rule, shapes, zero_point
from hornito.compiler.segment import Segment, Steps, plain, planar, shape_of
from hornito.compiler.tasks import Loop, Strided, Walk
from hornito.model.graph import Tensor

Walks = Callable[[Steps, Steps], tuple[Walk, ...]]  # from and to tensors that lie in these steps

FIXED = "fixed sizes, and a batch of 1 in tensors of four dimensions"
FEW = f"a move of at most {strides.MOST_DESCRIPTORS} descriptors"


def moved(c: Candidate) -> list[Tensor]:
    """The first input and all results: the tensors of an operator whose other inputs say how it moves."""
    return [c.source, *c.results]


def fixed(tensors: common.Tensors) -> Rule:
    """Tensors have fixed sizes, and a batch of 1 where they have rows, columns and channels."""

    def is_fixed(t: Tensor) -> bool:
        return not t.is_dynamic and min(t.shape, default=0) > 0 and (len(t.shape) != 4 or t.shape[0] == 1)

    return Rule(FIXED, lambda c: all(is_fixed(t) for t in tensors(c)), lambda c: shapes(*tensors(c)))


def basics(
    tensors: common.Tensors = moved, constants: common.Tensors | None = None, *, same: bool = True
) -> tuple[Rule, ...]:
    """The rules of every operator that moves ``tensors``; ``constants``: those that must not be constant; ``same``: all
    tensors need the same scale and zero point."""
    rules = (
        common.NN_IN_USE,
        common.computed(constants or (lambda c: [c.source])),
        common.one_type("input and output", tensors),
        fixed(tensors),
        common.per_tensor("input and output", tensors),
        common.zero_points(tensors),
    )
    return (*rules, common.same_quantisation(tensors)) if same else rules


def few(walks: Callable[[Candidate, Tensor], Walks], source: Callable[[Candidate], Tensor] | None = None) -> Rule:
    """A move to each result can be made of few descriptors, in whichever order the tensors lie."""

    def fits(c: Candidate) -> bool:
        value = source(c) if source else c.source
        return all(
            strides.fits(walks(c, target)(plain(value), steps))
            for target in c.results
            for steps in (plain(target), planar(target))
        )

    return Rule(FEW, fits, lambda c: shapes(*moved(c)))


def constants(c: Candidate, number: int) -> tuple[int, ...] | None:
    """The values of a constant input of integers, or None."""
    tensor = c.input(number)
    if tensor is None or tensor.data is None or tensor.data.dtype.kind != "i":
        return None
    return tuple(int(value) for value in tensor.data.reshape(-1))


def copied(shape: Sequence[int], before: Steps, after: Steps) -> tuple[Loop, ...]:
    """A loop for each dimension of ``shape``."""
    return tuple(Loop(*each) for each in zip(shape, before, after, strict=True))


def move(segment: Segment, c: Candidate, source: Tensor, target: Tensor, walks: Walks) -> None:
    """A job, or a view where the result's bytes lie as they are wanted already."""
    place, before = segment.lies(source)
    number, after = segment.room(target)
    made = walks(before, after)
    if not strides.fits(made):  # possible from the model's order of bytes, by the operator's rules
        place, before = segment.interleaved(c.operator, source), plain(source)
        made = walks(before, after)
    first = _as_it_lies(made)
    if first is not None and zero_point(source) == zero_point(target):
        segment.view(c.operator, (place, source), (number, target), first)
    else:
        zeros = zero_point(source), zero_point(target)
        segment.add(Strided(c.operator.index, place, number, shape_of(source), shape_of(target), *zeros, made))
    if number != target.index:
        segment.finish(c.operator, target)


def _as_it_lies(walks: tuple[Walk, ...]) -> int | None:
    """The byte of the source from which on a walk copies all in order, or None."""
    if len(walks) != 1:
        return None
    (walk,) = walks
    loops = [loop for loop in walk.loops if loop.count > 1 or loop.outside]
    still = all(loop.source == loop.target and not (loop.before or loop.after) for loop in loops)
    return walk.source if still and walk.target == 0 else None
