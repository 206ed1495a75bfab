# SPDX-License-Identifier: MIT
"""How does a TP core carry out walks over two tensors? Descriptors for anything that nested loops can say.

The unit reads a window of an image (bytes side by side, rows at any distance, planes at any distance) and gives the
elements, in that order, addresses from a counter of several digits. So a walk needs at most three runs of equal
distance in what it reads, one of them of bytes side by side, and may spread each of them at will in what it writes;
what needs more is broken into several walks. Pixels outside of the image read as the zero point.

Source: databook, tp-descriptor.md ("The address generator: a formal model", "What else the block can do"). Written
are only values that the reference driver's own jobs have too, but for sizes, increments and counts; no loop resets.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.compiler.tasks import Loop, Strided, Walk
from hornito.hardware.tp import COUNTED_LOOPS, TPDescriptor

MOST = 32767  # largest window coordinate, and steps within a window
MOST_STEP = 65535  # bytes from row to row of an image
MOST_COUNT = 65535  # planes, and steps of one digit
MOST_DESCRIPTORS = 64  # of one move; beyond, the CPU is no slower
LEAST_SPLIT = 4096  # bytes; shorter walks are not worth a second core
Digit = tuple[int, int]  # count, bytes


class Endless(Exception):
    """A move would take more than ``MOST_DESCRIPTORS``."""


@dataclass(frozen=True)
class _Run:
    """Elements at equal distances ``step`` in the source, which the digits (fastest first) place in the target."""

    step: int
    count: int
    digits: tuple[Digit, ...]
    before: int = 0
    after: int = 0

    @property
    def bordered(self) -> bool:
        return self.before + self.after > 0


_NONE = _Run(1, 1, ())


def cut(walk: Walk, number: int, first: int, count: int) -> Walk:
    """The part of a walk with steps ``first`` to ``first + count - 1`` of loop ``number``."""
    loop = walk.loops[number]
    inside = loop.count - loop.before - loop.after
    before = min(max(loop.before - first, 0), count)
    after = min(max(first + count - loop.before - inside, 0), count - before)
    part = Loop(count, loop.source, loop.target, before, after)
    # From the first step inside the whole to the first one inside the part.
    ahead = min(max(first - loop.before, 0), max(inside - 1, 0)) * loop.source
    loops = (*walk.loops[:number], part, *walk.loops[number + 1 :])
    return Walk(walk.source + ahead, walk.target + first * loop.target, loops)


def indices(move: Strided) -> NDArray[np.int32]:
    """For each byte of the target, the byte of the source that it comes from; -1 for the zero point. Raises ValueError
    where walks leave a byte out."""
    found = np.full(move.output.bytes, -2, np.int32)
    for walk in move.walks:
        source, target = np.array([walk.source], np.int64), np.array([walk.target], np.int64)
        inside = np.array([True])
        for loop in walk.loops:
            steps = np.arange(loop.count)[:, None]
            source = (source + (steps - loop.before) * loop.source).reshape(-1)
            target = (target + steps * loop.target).reshape(-1)
            within = (steps >= loop.before) & (steps < loop.count - loop.after)
            inside = (inside & within).reshape(-1)
        found[target] = np.where(inside, source, -1)
    if (found == -2).any():
        raise ValueError(f"{np.count_nonzero(found == -2)} of {found.size} bytes are not written")
    return found


def strided_descriptors(move: Strided, cores: int) -> tuple[TPDescriptor, ...]:
    """The descriptors of one or several TP jobs; ``no_flush`` is 0 on the last core of each job.

    Raises Endless where the move takes too many.
    """
    found = [part for walk in move.walks for part in _seated(walk)]
    while len(found) < cores:
        longest = max(range(len(found)), key=lambda number: found[number].bytes)
        halves = _halved(found[longest])
        if halves is None:
            break
        found[longest : longest + 1] = halves
    if len(found) > cores:
        found.sort(key=lambda part: -part.bytes)  # cores of one job then have about as much to do
    return tuple(
        dataclasses.replace(part.descriptor(move), no_flush=int((number + 1) % cores != 0 and number + 1 < len(found)))
        for number, part in enumerate(found)
    )


def fits(walks: Sequence[Walk]) -> bool:
    """Do the walks take no more descriptors than one move may have?"""
    try:
        return parts(walks) <= MOST_DESCRIPTORS
    except Endless:
        return False


def parts(walks: Sequence[Walk]) -> int:
    """The descriptors that the walks take at least. Raises Endless."""
    return sum(len(_seated(walk)) for walk in walks)


@dataclass(frozen=True)
class _Part:
    """A walk that one descriptor carries out: its runs along the image's three axes."""

    walk: Walk
    x: _Run
    y: _Run
    z: _Run

    @property
    def bytes(self) -> int:
        return self.x.count * self.y.count * self.z.count

    def descriptor(self, move: Strided) -> TPDescriptor:
        digits = _digits((*self.x.digits, *self.y.digits, *self.z.digits))
        loops = {f"out_loop_{number}_count": count for number, (count, _) in enumerate(digits)}
        loops |= {f"out_loop_{number}_inc": step for number, (_, step) in enumerate(digits)}
        x, y, z = self.x, self.y, self.z
        return TPDescriptor(
            in_image_x_size=max(x.count - x.before - x.after, 1),
            in_image_y_size=max(y.count - y.before - y.after, 1),
            in_image_z_size=z.count,
            in_image_stride=y.step,
            in_image_slice=z.step,
            in_window_x_start=-x.before,
            in_window_x_end=x.count - x.before - 1,
            in_window_y_start=-y.before,
            in_window_y_end=y.count - y.before - 1,
            in_tile_x_size=x.count,
            in_tile_x_inc=x.count,
            in_tile_y_size=y.count,
            in_tile_y_inc=y.count,
            in_image_base_address=self.walk.source,
            out_image_base_address=self.walk.target,
            in_zp=move.zero_point,
            out_zp=move.output_zero_point,
            **loops,
        )


def _digits(digits: Sequence[Digit], most: int = MOST_COUNT) -> list[Digit]:
    """The counter's digits, where one that goes on where another ends makes one with it, of at most ``most`` steps."""
    merged: list[Digit] = []
    for count, step in digits:
        if merged and step == merged[-1][0] * merged[-1][1] and merged[-1][0] * count <= most:
            merged[-1] = merged[-1][0] * count, merged[-1][1]
        elif count > 1 or not merged:
            merged.append((count, step))
    return merged or [(1, 1)]


def _seated(walk: Walk) -> list[_Part]:
    """The parts, of a descriptor each, into which a walk has to be broken. Raises Endless."""
    found: list[_Part] = []
    waiting = [_simplified(walk)]
    while waiting:
        if len(found) + len(waiting) > MOST_DESCRIPTORS:
            raise Endless
        walk = waiting.pop()
        part = _seat(walk)
        if part is None:
            waiting += reversed([_simplified(piece) for piece in _broken(walk)])
        else:
            found.append(part)
    return found


def _simplified(walk: Walk) -> Walk:
    """The same walk without loops of a single step; one that never is inside the source, as a plain filling."""
    if any(loop.outside for loop in walk.loops):
        return _filling(walk)
    source, target = walk.source, walk.target
    loops = [loop for loop in walk.loops if loop.count > 1]
    return Walk(source, target, tuple(sorted(loops, key=lambda loop: (loop.source, loop.target))))


def _filling(walk: Walk) -> Walk:
    """Where nothing is read, steps in the source are free: along a row of zero points in front of a single pixel."""
    counted = [(loop.count, loop.target) for loop in walk.loops if loop.count > 1]
    digits = _digits(sorted(counted, key=lambda digit: digit[1]), MOST)
    loops = []
    step = 1
    for count, target in digits:
        loops.append(Loop(count, step, target))
        step *= count
    # The source is a tensor's first byte, before which all lies.
    return Walk(0, walk.target, (*loops, Loop(1, 1, 0, before=1)))


def _seat(walk: Walk) -> _Part | None:
    """Give each run an axis of the image, or None where they do not fit it. Each loop is a run of its own if that will
    do, so that images look like those of known jobs; else those of the fewest elements are taken together."""
    runs = [_Run(loop.source, loop.count, ((loop.count, loop.target),), loop.before, loop.after) for loop in walk.loops]
    while True:
        part = _on_axes(walk, runs) if len(runs) <= 3 else None
        if part is not None:
            return part
        pairs = [number for number in range(len(runs) - 1) if _goes_on(runs[number], runs[number + 1])]
        if not pairs:
            return None
        first = min(pairs, key=lambda number: runs[number].count * runs[number + 1].count)
        one, other = runs[first : first + 2]
        runs[first : first + 2] = [_Run(one.step, one.count * other.count, (*one.digits, *other.digits))]


def _on_axes(walk: Walk, runs: Sequence[_Run]) -> _Part | None:
    for x, y, z in itertools.permutations((*runs, *[_NONE] * (3 - len(runs)))):
        if (
            x.step == 1
            and max(x.before, x.count - x.before - 1, y.before, y.count - y.before - 1) <= MOST
            and max(x.count, y.count) <= MOST_COUNT
            and 0 < y.step <= MOST_STEP
            and not z.bordered
            and z.count <= MOST_COUNT
        ):
            digits = _digits((*x.digits, *y.digits, *z.digits))
            if len(digits) <= COUNTED_LOOPS and all(count <= MOST_COUNT for count, _ in digits):
                return _Part(walk, x, y, z)
    return None


def _goes_on(one: _Run, other: _Run) -> bool:
    """Do the elements of two runs together make one run in the source, that an axis can hold?"""
    plain = not (one.bordered or other.bordered)
    return plain and other.step == one.step * one.count and one.count * other.count <= MOST


def _broken(walk: Walk) -> list[Walk]:
    """A walk that no descriptor can carry out, in parts that are nearer to it."""
    loops = walk.loops
    for number, loop in enumerate(loops):
        if loop.count > MOST and not (loop.before or loop.after):
            return _nested(walk, number)
    # A border along more axes than two, or along one whose steps no axis has: apart from what lies inside.
    bordered = [number for number, loop in enumerate(loops) if loop.before or loop.after]
    others = [number for number, loop in enumerate(loops) if not (loop.before or loop.after)]
    if bordered and (len(bordered) > 2 or not others or _hard(loops, bordered)):
        number = max(bordered, key=lambda place: loops[place].source)
        loop = loops[number]
        sizes = loop.before, loop.count - loop.before - loop.after, loop.after
        firsts = 0, loop.before, loop.count - loop.after
        return [cut(walk, number, first, size) for first, size in zip(firsts, sizes, strict=True) if size]
    number = min(others, key=lambda place: loops[place].count)
    return [cut(walk, number, step, 1) for step in range(min(loops[number].count, MOST_DESCRIPTORS + 1))]


def _hard(loops: Sequence[Loop], bordered: Sequence[int]) -> bool:
    """Are there borders that rows and columns of an image can't have?"""
    far = [number for number in bordered if loops[number].source != 1]
    return len(far) > 1 or any(loops[number].source > MOST_STEP or loops[number].count > MOST for number in bordered)


def _nested(walk: Walk, number: int) -> list[Walk]:
    """A loop of too many steps, as two nested ones and a rest."""
    loop = walk.loops[number]
    width = next((width for width in range(MOST, MOST // 2, -1) if loop.count % width == 0), MOST)
    whole = loop.count // width * width
    part = cut(walk, number, 0, whole)
    inner = Loop(width, loop.source, loop.target)
    outer = Loop(whole // width, loop.source * width, loop.target * width)
    found = [Walk(part.source, part.target, (*part.loops[:number], inner, outer, *part.loops[number + 1 :]))]
    return [*found, cut(walk, number, whole, loop.count - whole)] if whole < loop.count else found


def _halved(part: _Part) -> list[_Part] | None:
    """A walk of one descriptor as two of about the same length, or None where that is not worth it."""
    if part.bytes < LEAST_SPLIT:
        return None
    loops = part.walk.loops
    choices = [number for number, loop in enumerate(loops) if loop.count > 1 and not (loop.before or loop.after)]
    if not choices:
        return None
    number = max(choices, key=lambda place: (loops[place].source != 1, loops[place].count))
    half = -(-loops[number].count // 2)
    pieces = cut(part.walk, number, 0, half), cut(part.walk, number, half, loops[number].count - half)
    seats = [_seat(_simplified(piece)) for piece in pieces]
    return [seat for seat in seats if seat is not None] if None not in seats else None
