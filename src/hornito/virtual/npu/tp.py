# SPDX-License-Identifier: MIT
"""What does a TP core do? Its address generator as the databook models it, for any descriptor that the model covers."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.cost import Work, move_work, side_by_side
from hornito.crew import ALONE, Crew
from hornito.hardware.tp import BYTES, COUNTED_LOOPS, TPDescriptor
from hornito.virtual.faults import Fault
from hornito.virtual.memory import AddressSpace
from hornito.virtual.npu import kernels, runs
from hornito.virtual.npu.hazards import Footprint

MOST_ELEMENTS = 1 << 28  # of one descriptor; beyond what any mapped tensor needs, and still a matter of a second
LARGEST = 255
WORTH_A_THREAD = 80_000  # elements, some 50 microseconds
_MOVES_KEPT = 4096
_WORD_INPUT, _WORD_OUTPUT = 10, 13


@dataclass(frozen=True, eq=False)
class Move:
    """A checked descriptor without its addresses: which bytes it reads and writes (first and last + 1, counted from the
    addresses; the same where there are none), and what the kernel needs."""

    no_flush: bool
    elements: int
    reads: tuple[int, int]
    writes: tuple[int, int]
    window: tuple[int, ...]
    values: NDArray[np.uint8]
    border: int
    counts: NDArray[np.int64]
    increments: NDArray[np.int64]
    loops: NDArray[np.int64] | None
    work: Work

    @property
    def changed(self) -> bool:
        """Whether bytes become others."""
        return int(self.values[0]) != 0 or int(self.values[-1]) != LARGEST


@dataclass(frozen=True, eq=False)
class _Part:
    """A core's move, and what it reads and writes with their device addresses."""

    move: Move
    image: NDArray[np.uint8]
    image_address: int
    out: NDArray[np.uint8]
    out_address: int


@dataclass(frozen=True, eq=False)
class ReadyMoves:
    """A job that was fetched and checked, and what it has to do."""

    work: Work
    parts: list[_Part]

    @property
    def footprint(self) -> Footprint:
        """The memory that all cores together read and write."""
        return Footprint(
            tuple((part.image_address, part.image_address + len(part.image)) for part in self.parts),
            tuple((part.out_address, part.out_address + len(part.out)) for part in self.parts),
        )


class TPUnit:
    """The TP cores. Descriptors that were checked once are remembered by their words."""

    def __init__(self, crew: Crew = ALONE) -> None:
        self._moves: dict[bytes, Move] = {}
        self._crew = crew

    def run(self, space: AddressSpace, addresses: tuple[int, ...]) -> None:
        """Execute one job: a descriptor a core, in order. Raises Fault before anything is written."""
        self.execute(self.fetch(space, addresses))

    def fetch(self, space: AddressSpace, addresses: tuple[int, ...]) -> ReadyMoves:
        """Read and check one job's descriptors. Raises Fault."""
        parts = []
        for number, address in enumerate(addresses):
            words = space.view(address, BYTES).view("<u4").copy()
            source, destination = int(words[_WORD_INPUT]), int(words[_WORD_OUTPUT])
            words[_WORD_INPUT] = words[_WORD_OUTPUT] = 0
            try:
                move = self._move(words)
                last = number == len(addresses) - 1
                if move.no_flush == last:
                    raise _fault(f"no_flush = {int(move.no_flush)} on core {number} of {len(addresses)}")
            except Fault as fault:
                fault.address = address
                raise
            image = space.view(source + move.reads[0], move.reads[1] - move.reads[0])
            out = space.view(destination + move.writes[0], move.writes[1] - move.writes[0], write=True)
            parts.append(_Part(move, image, source + move.reads[0], out, destination + move.writes[0]))
        return ReadyMoves(side_by_side([part.move.work for part in parts]), parts)

    def execute(self, ready: ReadyMoves) -> None:
        """Move the bytes, one core after the other."""
        for part in ready.parts:
            move, image = part.move, part.image
            if not move.elements:
                continue
            if part.out_address < part.image_address + len(image) and part.image_address < part.out_address + len(
                part.out
            ):
                image = image.copy()  # the output is computed from the input as it was
            if move.loops is not None:
                self._move_runs(move, move.loops, image, part.out)
            else:
                known = image, move.window, move.values, move.border
                kernels.move_elements(*known, move.counts, move.increments, -move.writes[0], part.out)

    def _move_runs(
        self, move: Move, loops: NDArray[np.int64], image: NDArray[np.uint8], out: NDArray[np.uint8]
    ) -> None:
        start, kept = -move.writes[0], (move.values, move.changed, move.border)
        workers = min(self._crew.workers, 1 + move.elements // WORTH_A_THREAD)
        if workers == 1:
            runs.move_runs(image, move.window, *kept, loops, start, out)
            return
        self._crew.map(
            [
                functools.partial(runs.move_runs, image, window, *kept, mine, start + behind, out)
                for mine, window, behind in runs.divided(loops, move.window, workers)
            ]
        )

    def _move(self, words: NDArray[np.uint32]) -> Move:
        key = words.tobytes()
        move = self._moves.get(key)
        if move is None:
            if len(self._moves) >= _MOVES_KEPT:
                self._moves.clear()
            move = self._moves[key] = _check(words)
        return move


def _fault(text: str) -> Fault:
    return Fault(f"descriptor: {text}", unit="TP")


def _check(words: NDArray[np.uint32]) -> Move:
    """Check a descriptor, addresses aside. Raises Fault naming field and value."""
    problem = next(TPDescriptor.violations(words.tolist()), None)
    if problem is not None:
        raise _fault(problem)
    d = TPDescriptor.decode(words.tolist())
    _check_loops(d)
    across = _tiles("x", d.in_window_x_start, d.in_window_x_end, d.in_tile_x_size, d.in_tile_x_inc)
    down = _tiles("y", d.in_window_y_start, d.in_window_y_end, d.in_tile_y_size, d.in_tile_y_inc)
    elements = d.in_image_z_size * across * down * d.in_tile_x_size * d.in_tile_y_size
    if elements > MOST_ELEMENTS:
        raise _fault(f"{elements} elements; the model stops at {MOST_ELEMENTS}")
    reads = _reads(d) if elements else (0, 0)
    writes = _writes(d, elements)
    values = np.clip(np.arange(LARGEST + 1) - d.in_zp + d.out_zp, 0, LARGEST).astype(np.uint8)
    border = d.in_image_border_const + d.out_zp
    window = (
        *(d.in_image_x_size, d.in_image_y_size, d.in_image_z_size, d.in_image_stride, d.in_image_slice),
        *(d.in_window_x_start, d.in_window_x_end, d.in_window_y_start, d.in_window_y_end),
        *(d.in_tile_x_size, d.in_tile_y_size, d.in_tile_x_inc, d.in_tile_y_inc, -reads[0]),
    )
    counts, increments = np.array(d.loop_counts, np.int64), np.array(d.loop_increments, np.int64)
    flags = bool(d.no_flush), elements, reads, writes
    loops = runs.runs(d, elements) if elements else None
    return Move(*flags, window, values, max(0, min(border, LARGEST)), counts, increments, loops, move_work([d]))


def _tiles(axis: str, start: int, end: int, size: int, step: int) -> int:
    """How many tiles lie along an axis of the window."""
    if not size or not step:
        raise _fault(f"in_tile_{axis}_size = {size}, in_tile_{axis}_inc = {step}: neither may be 0")
    if end < start:
        raise _fault(f"in_window_{axis}_start = {start}, in_window_{axis}_end = {end}: the window is empty")
    if (end + 1 - start - size) % step or size > end + 1 - start:
        raise _fault(
            f"in_tile_{axis}_size = {size}, in_tile_{axis}_inc = {step} do not divide the window {start}..{end}: "
            "no fact says what the last tile does"
        )
    return (end - start) // step + 1


def _check_loops(d: TPDescriptor) -> None:
    for number, count in enumerate(d.loop_counts):
        if not count:
            raise _fault(f"out_loop_{number}_count = 0")
    if d.out_loop_2_reset:
        raise _fault("out_loop_2_reset = 1: never written, its meaning is unknown")
    for first, reset, name, size in (
        (0, d.out_loop_1_reset, "x", d.in_tile_x_size),
        (2, d.out_loop_3_reset, "y", d.in_tile_y_size),
    ):
        count = d.loop_counts[first] * d.loop_counts[first + 1]
        if reset and count != size:
            raise _fault(
                f"out_loop_{first + 1}_reset = 1, but loops {first} and {first + 1} count {count} for "
                f"in_tile_{name}_size = {size}: no fact says what that does"
            )


def _reads(d: TPDescriptor) -> tuple[int, int]:
    """The bytes of the image that the window's tiles touch: first and last + 1; equal where they see border only.

    Tiles divide the window, but may have gaps between them, so look for the outermost pixels inside the image.
    """
    columns = _touched(d.in_window_x_start, d.in_window_x_end, d.in_tile_x_size, d.in_tile_x_inc, d.in_image_x_size)
    rows = _touched(d.in_window_y_start, d.in_window_y_end, d.in_tile_y_size, d.in_tile_y_inc, d.in_image_y_size)
    if columns is None or rows is None:
        return 0, 0
    first = rows[0] * d.in_image_stride + columns[0]
    return first, (d.in_image_z_size - 1) * d.in_image_slice + rows[1] * d.in_image_stride + columns[1] + 1


def _touched(start: int, end: int, size: int, step: int, length: int) -> tuple[int, int] | None:
    """The smallest and largest coordinate within 0..length - 1 that lies in a tile, or None."""
    tiles = np.arange(start, end + 1, step)
    inside = np.maximum(tiles, 0) < np.minimum(tiles + size, length)
    if not inside.any():
        return None
    return int(np.maximum(tiles, 0)[inside].min()), int(np.minimum(tiles + size, length)[inside].max()) - 1


def _writes(d: TPDescriptor, elements: int) -> tuple[int, int]:
    """The bytes that ``elements`` elements go to, from the output's address: first and last + 1.

    Of the numbers below ``elements``, each either has all digits of the last one above some loop and a smaller digit in
    it, with the loops below free, or is the last one.
    """
    if not elements:
        return 0, 0
    digits = []
    rest = elements - 1
    for count in d.loop_counts:
        rest, digit = divmod(rest, count)
        digits.append(digit)
    digits.append(rest)
    increments = d.loop_increments
    free = [count - 1 for count in d.loop_counts]
    total = sum(digit * increment for digit, increment in zip(digits, increments, strict=True))
    low = high = total
    above = total
    for loop in range(COUNTED_LOOPS + 1):
        above -= digits[loop] * increments[loop]
        if digits[loop]:
            spans = [most * increment for most, increment in zip(free[:loop], increments[:loop], strict=True)]
            spans.append((digits[loop] - 1) * increments[loop])
            low = min(low, above + sum(min(0, span) for span in spans))
            high = max(high, above + sum(max(0, span) for span in spans))
    return low, high + 1
