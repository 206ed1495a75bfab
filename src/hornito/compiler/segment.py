# SPDX-License-Identifier: MIT
"""How do operators of one NPU segment share tensors in device memory? What lowering writes its jobs into."""

from collections.abc import Sequence
from dataclasses import dataclass

from hornito.compiler.options import Level, Options, Technique, Unit
from hornito.compiler.partition import Group
from hornito.compiler.rules import zero_point
from hornito.compiler.search import Alternative, divide, fastest
from hornito.compiler.tasks import (
    Copy,
    Detranspose,
    Join,
    Loop,
    Move,
    Part,
    Shape,
    Strided,
    Task,
    Transpose,
    Walk,
    copy_lines,
)
from hornito.hardware.tp import TPDescriptor
from hornito.model.graph import Graph, Operator, Tensor

MAX_LINE = TPDescriptor.layout()["in_window_x_end"].largest
Steps = tuple[int, ...]  # bytes from one element to the next along each dimension of a tensor
Place = tuple[int, Steps]  # a tensor's number, and how it lies there


@dataclass(frozen=True)
class Planes:
    """A tensor in device memory that is none of the model's: the planes (maybe reshuffled) of model tensor ``of``."""

    of: int
    shape: Shape


def shape_of(tensor: Tensor) -> Shape:
    """Rows, columns and channels of a tensor of batch 1; one of fewer than four dimensions is a single pixel's."""
    if len(tensor.shape) == 4:
        return Shape(*tensor.shape[1:])
    return Shape(1, 1, tensor.elements)


class Numbering:
    """Gives numbers to the tensors that lowering adds, on from the graph's own, and keeps what they are."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.planes: dict[int, Planes] = {}

    def new(self, tensor: int, shape: Shape) -> int:
        """A number for planes of model tensor ``tensor``."""
        number = len(self._graph.tensors) + len(self.planes)
        self.planes[number] = Planes(tensor, shape)
        return number


class Segment:
    """The jobs of one group of operators, while they are being made."""

    def __init__(self, graph: Graph, options: Options, group: Group, numbering: Numbering) -> None:
        self.graph = graph
        self.options = options
        self._group = group
        self._numbering = numbering
        self.tasks: list[Task] = []
        self.considered: list[Alternative] = []  # the ways between which operators had a choice
        self._computed = {output for operator in group.operators for output in operator.outputs}
        self._consumed = {index for operator in group.operators for index in operator.inputs}
        self._wide = options.level.reaches(Level.WIDE)
        self._planar: dict[int, int] = {}  # where the planes of a tensor of this group lie
        self._placed: set[int] = set()  # tensors that lie in another one

    def add(self, task: Task) -> None:
        """The next job, or the jobs into which it is cut. The CPU, in the place of the TP cores, takes any size."""
        whole = isinstance(task, Move) and Unit.TP in self.options.disabled
        self.tasks += [task] if whole else divide(task, self.options)

    def choose(self, alternatives: Sequence[Alternative]) -> Alternative:
        """Of ways to do the same, the reference driver's, which is the first, or the fastest."""
        self.considered += alternatives
        if len(alternatives) == 1 or not self.options.uses(Technique.STRIDES):
            return alternatives[0]
        return fastest(alternatives, self.options)

    def scratch(self, tensor: Tensor, shape: Shape) -> int:
        """A number for planes that only this operator knows."""
        return self._numbering.new(tensor.index, shape)

    def computes(self, tensor: Tensor) -> bool:
        """Does an operator of this segment write it?"""
        return tensor.index in self._computed

    def source(self, operator: Operator, tensor: Tensor) -> int:
        """The planes of an operand. One from outside is turned into planes, for each of its users anew."""
        if tensor.index in self._planar:
            return self._planar[tensor.index]
        shape = shape_of(tensor)
        if not turns(shape):
            return tensor.index
        place = self.scratch(tensor, shape)
        if max(shape.columns, shape.channels) > MAX_LINE + 1:
            self.move(operator, (tensor.index, plain(tensor)), (place, planar(tensor)), tensor)
        else:
            self.add(Transpose(operator.index, tensor.index, place, shape, shape, zero_point(tensor)))
        if self._wide:
            self._planar[tensor.index] = place  # for its other users as well
        return place

    def untouched(self, tensor: Tensor) -> int:
        """An operand as it lies there, planes or not: right for one of a single pixel, whose two layouts are the same
        bytes; else what the reference driver takes where it forgets to turn it."""
        return self._planar.get(tensor.index, tensor.index)

    def target(self, tensor: Tensor) -> int:
        """Where the planes of a result go."""
        shape = shape_of(tensor)
        stays = not turns(shape) or (self._leaves(tensor) and not self._turned_back(tensor))
        place = tensor.index if stays else self.scratch(tensor, shape)
        self._planar[tensor.index] = place
        return place

    def flat_target(self, tensor: Tensor) -> int:
        """Where a result of a single pixel goes, whether it leaves the segment or not."""
        self._planar[tensor.index] = tensor.index
        return tensor.index

    def finish(self, operator: Operator, tensor: Tensor, zero: int | None = None) -> None:
        """After the job that computed a result: turn it back if it leaves the segment. ``zero``: another zero point for
        that job, which copies bytes all the same."""
        shape = shape_of(tensor)
        if turns(shape) and self._turned_back(tensor):
            place = self._planar[tensor.index]
            zero = zero_point(tensor) if zero is None else zero
            if shape.columns * shape.channels > MAX_LINE:
                self.move(operator, (place, planar(tensor)), (tensor.index, plain(tensor)), tensor)
            else:
                self.add(Detranspose(operator.index, place, tensor.index, shape, shape, zero))

    def lies(self, tensor: Tensor) -> tuple[int, Steps]:
        """An operand as it lies there: where, and how far its elements are apart along each dimension."""
        if tensor.index in self._planar:
            return self._planar[tensor.index], planar(tensor)
        return tensor.index, plain(tensor)

    def interleaved(self, operator: Operator, tensor: Tensor) -> int:
        """An operand in the model's order of bytes. Planes are turned back, if need be for this operator alone."""
        place, steps = self.lies(tensor)
        if same_steps(tensor, steps, plain(tensor)):
            return place
        whole = self.scratch(tensor, Shape(1, 1, tensor.elements))
        self.move(operator, (place, steps), (whole, plain(tensor)), tensor)
        return whole

    def room(self, tensor: Tensor) -> tuple[int, Steps]:
        """Where a result of moves goes, and in which order: planes if an operator of this segment wants them."""
        if same_steps(tensor, planar(tensor), plain(tensor)):
            return self.flat_target(tensor), plain(tensor)
        if tensor.index in self._consumed:
            return self.target(tensor), planar(tensor)
        return tensor.index, plain(tensor)

    def move(self, operator: Operator, source: Place, target: Place, tensor: Tensor) -> None:
        """A job that moves a tensor from one order of bytes to another."""
        loops = tuple(
            Loop(count, before, after) for count, before, after in zip(tensor.shape, source[1], target[1], strict=True)
        )
        shape, zero = shape_of(tensor), zero_point(tensor)
        self.add(Strided(operator.index, source[0], target[0], shape, shape, zero, zero, (Walk(0, 0, loops),)))

    def view(self, operator: Operator, source: tuple[int, Tensor], target: tuple[int, Tensor], first: int = 0) -> None:
        """Let a result be the bytes of an operand, from ``first`` on."""
        (whole, before), (part, after) = source, target
        parts = [(part, after.elements)]
        if first:
            parts.insert(0, (self.scratch(before, Shape(1, 1, first)), first))
        self._placed.add(part)
        numbers = tuple(number for number, _ in parts)
        self.add(Part(operator.index, (whole,), numbers, tuple(parts), shape_of(before)))

    def _leaves(self, tensor: Tensor) -> bool:
        return tensor.index in self._group.outputs

    def _turned_back(self, tensor: Tensor) -> bool:
        """Is a result needed as the model has it? The reference driver forgets those that are wanted inside as well."""
        unused = tensor.index not in self._consumed
        return unused or (self._leaves(tensor) and not self.options.as_reference)

    def join(self, operator: Operator, parts: list[tuple[int, Tensor]], whole: int, shape: Shape, gap: int = 0) -> None:
        """Let ``whole`` consist of the planes of ``parts``, one behind the other, with ``gap`` bytes between them.

        A tensor can lie in one place only: a part that lies in another tensor already is copied.
        """
        numbers: list[tuple[int, int]] = []
        lying: list[tuple[int, int]] = []
        for number, tensor in parts:
            own = shape_of(tensor)
            if number in self._placed:
                copy = self.scratch(tensor, own)
                if self._wide or copy_lines(own.bytes) is None:
                    self.move(operator, (number, plain(tensor)), (copy, plain(tensor)), tensor)
                else:
                    self.add(Copy(operator.index, number, copy, own, own, zero_point(tensor)))
                number = copy
            self._placed.add(number)
            if gap and numbers:
                lying.append((self.scratch(tensor, Shape(1, 1, gap)), gap))
            numbers.append((number, own.bytes))
            lying.append(numbers[-1])
        self.add(Join(operator.index, tuple(number for number, _ in numbers), (whole,), tuple(lying), shape))

    def part(self, operator: Operator, whole: tuple[int, Tensor], parts: list[tuple[int, Tensor]]) -> None:
        """Let ``parts`` be views of the planes of ``whole``, one behind the other."""
        sizes = tuple((number, shape_of(tensor).bytes) for number, tensor in parts)
        self._placed |= {number for number, _ in sizes}
        shape = shape_of(whole[1])
        self.add(Part(operator.index, (whole[0],), tuple(number for number, _ in sizes), sizes, shape))


def turns(shape: Shape) -> bool:
    """Do the two layouts of a tensor differ? With one channel they coincide."""
    return shape.channels > 1


def plain(tensor: Tensor) -> Steps:
    """The model's own order of bytes: the last dimension's elements lie side by side."""
    steps = [1]
    for length in reversed(tensor.shape[1:]):
        steps.insert(0, steps[0] * length)
    return tuple(steps[: len(tensor.shape)])


def planar(tensor: Tensor) -> Steps:
    """A plane for each channel of a tensor of four dimensions; others have no planes."""
    if len(tensor.shape) != 4:
        return plain(tensor)
    _, rows, columns, _ = tensor.shape
    return tensor.elements, columns, 1, rows * columns


def same_steps(tensor: Tensor, one: Steps, other: Steps) -> bool:
    """Do two orders lay out the same bytes? The steps of a single element are never taken."""
    return all(length == 1 or a == b for length, a, b in zip(tensor.shape, one, other, strict=True))
