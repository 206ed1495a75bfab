# SPDX-License-Identifier: MIT
"""Can the jobs that read a padded image see the border themselves?

Outside of its image an NN job sees its input's zero point, and so does a job that parts rows and columns by their
phase: what a padding job writes. So those that read a padded image read the image itself, from further outside.

A move that turns an image to planes, padded or not, makes one move with those that part the planes by their phase.

Source: databook, nn-descriptor.md (in_image_border_const), lowering.md ("PAD": "A better driver folds PAD + VALID
convolution"), tp-descriptor.md ("What else the block can do"). Inferred.
"""

import dataclasses
from dataclasses import dataclass

from hornito.compiler import strides
from hornito.compiler.options import Options, Technique
from hornito.compiler.rewrites.flow import Flow, Jobs, Rewrite, without
from hornito.compiler.tasks import Convolution, Frame, Job, Loop, Pad, Reshuffle, Shape, Strided, Task, Transpose, Walk
from hornito.hardware.chips import Chip

MOST_PARTS = 16  # descriptors of a move that both turns and parts an image; two moves need fewer jobs beyond


@dataclass(frozen=True)
class Bordered:
    """A move to planes: the image that it reads, with the bytes from row to row, column to column and channel to
    channel, and the zero points that it puts before the first row and column."""

    source: int
    image: Shape
    steps: tuple[int, int, int]
    top: int
    left: int
    zero_point: int

    @property
    def planar(self) -> bool:
        """Is the image in planes already?"""
        return self.steps == _planes(self.image)


def fold_borders(jobs: Jobs, options: Options) -> tuple[Jobs, list[Rewrite]]:
    """Let readers see borders, and moves to planes and phases be one."""
    found: list[Rewrite] = []
    place = 0
    while place < len(jobs.tasks):
        made = _folded(jobs, place, options)
        if made is None:
            place += 1
            continue
        jobs, rewrite = made
        found.append(rewrite)
    return jobs, found


def _folded(jobs: Jobs, place: int, options: Options) -> tuple[Jobs, Rewrite] | None:
    """The jobs without the move at ``place``, or None where it has to stay."""
    move = jobs.tasks[place]
    border = _bordered(move)
    if border is None:
        return None
    # Of planes, only a border makes a move; planes of something else are what is made here.
    technique = Technique.FOLDS if border.planar else Technique.LAYOUTS
    flow = Flow(jobs)
    assert isinstance(move, Job)
    readers = flow.readers[move.target]
    if not options.uses(technique) or not readers or not flow.is_private(move.target):
        return None
    if len(flow.writers[move.target]) > 1:
        return None
    tasks: list[Task] = list(jobs.tasks)
    for reader in readers:
        seen = _through(tasks[reader], border, move.output, options.chip)
        if seen is None:
            return None
        tasks[reader] = seen
    text = "its readers see the border themselves" if border.planar else "planes are parted as they are made"
    return dataclasses.replace(jobs, tasks=without(tasks, [place])), Rewrite(move.operator, technique, text)


def _bordered(task: Task) -> Bordered | None:
    """What a move to planes does, or None for any other task."""
    match task:
        case Transpose():
            return Bordered(task.source, task.input, _rows_first(task.input), 0, 0, task.zero_point)
        case Pad():
            return Bordered(task.source, task.input, _planes(task.input), 1, 1, task.zero_point)
        case Strided(walks=(walk,)) if task.zero_point == task.output_zero_point and walk.source == walk.target == 0:
            return _walked(task, walk)
    return None


def _walked(task: Strided, walk: Walk) -> Bordered | None:
    """A walk over rows, columns and channels of a whole image to planes, with a border around these."""
    if len(walk.loops) != 4 or walk.loops[0].count != 1:
        return None
    _, rows, columns, channels = walk.loops
    sizes = tuple(loop.count - loop.before - loop.after for loop in (rows, columns, channels))
    image, made = Shape(*sizes), Shape(rows.count, columns.count, channels.count)
    steps = rows.source, columns.source, channels.source
    whole = (image.bytes, made.bytes) == (task.input.bytes, task.output.bytes)
    if not whole or channels.before or channels.after or made != task.output:
        return None
    if not _same(made, (rows.target, columns.target, channels.target), _planes(made)):
        return None
    for known in (_planes(image), _rows_first(image)):
        if _same(image, steps, known):
            return Bordered(task.source, image, known, rows.before, columns.before, task.zero_point)
    return None


def _planes(shape: Shape) -> tuple[int, int, int]:
    return shape.columns, 1, shape.rows * shape.columns


def _rows_first(shape: Shape) -> tuple[int, int, int]:
    return shape.columns * shape.channels, shape.channels, 1


def _same(shape: Shape, one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    sizes = shape.rows, shape.columns, shape.channels
    return all(size == 1 or a == b for size, a, b in zip(sizes, one, other, strict=True))


def _through(task: Task, border: Bordered, padded: Shape, chip: Chip) -> Task | None:
    """A reader of the padded planes, as one of what they are made of; None where it can't be."""
    match task:
        case Convolution() if border.planar:
            return _window(task, border, padded, chip)
        case Reshuffle(seen=None, written=None) if task.zero_point == border.zero_point and task.input == padded:
            left, top = task.pad_x + border.left, task.pad_y + border.top
            moved = dataclasses.replace(task, source=border.source, input=border.image, pad_x=left, pad_y=top)
            return moved if border.planar else phases(moved, border.steps)
    return None


def _window(conv: Convolution, border: Bordered, padded: Shape, chip: Chip) -> Convolution | None:
    frame, image = conv.source_frame, border.image
    if (frame.rows, frame.columns) != (padded.rows, padded.columns) or conv.input_zero_point != border.zero_point:
        return None
    row, rows = _inside(frame.row - border.top, conv.input.rows, image.rows)
    column, columns = _inside(frame.column - border.left, conv.input.columns, image.columns)
    offset_y = conv.offset_y + frame.row - border.top - row
    offset_x = conv.offset_x + frame.column - border.left - column
    if min(rows, columns) < 1 or max(abs(offset_x), abs(offset_y)) > chip.max_offset or conv.wraps:
        return None
    return dataclasses.replace(
        conv,
        source=border.source,
        input=Shape(rows, columns, conv.input.channels),
        offset_x=offset_x,
        offset_y=offset_y,
        seen=Frame(image.rows, image.columns, row, column, frame.plane),
    )


def _inside(first: int, count: int, size: int) -> tuple[int, int]:
    """Of ``count`` rows from ``first`` on, those within an image of ``size``: the first of them, and how many."""
    start = max(first, 0)
    return start, min(first + count, size) - start


def phases(move: Reshuffle, steps: tuple[int, int, int]) -> Strided | None:
    """A reshuffle of an image that lies in other steps: a walk for each phase of rows and columns. None where that
    takes too many descriptors."""
    to = move.target_frame
    walks = []
    for phase_y in range(move.stride_y):
        rows = _phase(move.input.rows, move.output.rows, move.stride_y, phase_y - move.pad_y)
        for phase_x in range(move.stride_x):
            columns = _phase(move.input.columns, move.output.columns, move.stride_x, phase_x - move.pad_x)
            plane = (move.stride_x * phase_y + phase_x) * to.plane_bytes
            loops = (
                Loop(move.output.rows, move.stride_y * steps[0], to.columns, rows[1], rows[2]),
                Loop(move.output.columns, move.stride_x * steps[1], 1, columns[1], columns[2]),
                Loop(move.input.channels, steps[2], move.stride_y * move.stride_x * to.plane_bytes),
            )
            walks.append(Walk(rows[0] * steps[0] + columns[0] * steps[1], plane, loops))
    if not strides.fits(walks) or strides.parts(walks) > MOST_PARTS:
        return None
    zero = move.zero_point
    return Strided(move.operator, move.source, move.target, move.input, move.output, zero, zero, tuple(walks))


def _phase(inputs: int, outputs: int, stride: int, first: int) -> tuple[int, int, int]:
    """Of the places first, first + stride, ...: the first one within the image, and how many lie before and behind."""
    before = min(max(-(first // stride), 0), outputs)
    start = first + before * stride
    inside = max(min(-(-(inputs - start) // stride), outputs - before), 0)
    return min(start, inputs - 1), before, outputs - before - inside
