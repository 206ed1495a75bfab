# SPDX-License-Identifier: MIT
"""What does a convolution of decoded weights give? Exact integers, by whichever way is both proven exact and fast."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hornito.virtual.npu import decoders, kernels, matrix
from hornito.virtual.npu.weights import Weights

LARGEST_INPUT = 255
ACCUMULATOR_LIMIT = 1 << 31  # the real width is unknown; beyond this the databook wants a flag
_FLOAT32_EXACT = 1 << 24  # integers up to here are exact, sums of them in any order too
_INT32_EXACT = 1 << 31
_FLOAT64_EXACT = 1 << 53
_GATHERED_BYTES = 1 << 18  # of input at a time, so that it stays in the processor's cache
_SUMS_BYTES = 1 << 19  # likewise
_BLOCK = 48  # pixels; a multiple of any tile's width
_SPARSE = 8  # plane pairs are worth it where at most one in so many has a weight


class Window(NamedTuple):
    """Where the inputs of each output lie. Sizes in elements, strides in bytes; step is 2 for first-pixel pooling, and
    the output sizes are those after it."""

    plane_stride: int
    row_stride: int
    x_size: int
    y_size: int
    border: int
    offset_x: int
    offset_y: int
    step: int
    kernel_x: int
    kernel_y: int
    out_x: int
    out_y: int

    @property
    def is_one_row(self) -> bool:
        """Whether output pixel i needs pixel i of each plane and nothing else."""
        return (
            self.out_y == self.kernel_x == self.kernel_y == self.step == 1
            and self.offset_x == self.offset_y == 0
            and self.out_x <= self.x_size
            and self.y_size > 0  # a window that begins below the image sees its border alone
        )


@dataclass(frozen=True)
class Factor:
    """multiplier / 2 ** shift."""

    multiplier: int
    shift: int

    def scale(self, largest: int) -> tuple[float, int, int]:
        """As the kernels take it, for accumulators of at most ``largest`` in size.

        The product of accumulator and multiplier is an integer p, and p / 2 ** shift + 1/2 is what gets rounded down.
        Doubles give the same bytes if one of these holds: p + 2 ** (shift - 1) has no more than 53 bits, so nothing is
        rounded before; the result is always 0, as it is below 1/4 in size; shift <= 44, so that all has 53 bits up to
        256 in size, and what is larger stays larger and is clamped.
        """
        product = min(largest, ACCUMULATOR_LIMIT) * self.multiplier  # beyond the limit there is no result
        exact = self.shift <= 44 or product + (1 << (self.shift - 1)) <= _FLOAT64_EXACT
        if exact or 4 * product < 1 << self.shift:
            return math.ldexp(self.multiplier, -self.shift), 0, 0
        return 0.0, self.multiplier, self.shift


@dataclass(frozen=True)
class Target:
    """How sums become bytes, and where those go: each plane begins ``plane_stride`` bytes behind the one before."""

    plane_stride: int
    row_stride: int
    x_size: int
    lowest: int
    zero_point: int
    factor: Factor

    def numbers(self) -> tuple[int, ...]:
        """As the kernels take it."""
        return self.plane_stride, self.row_stride, self.x_size, self.lowest, self.zero_point


@dataclass(frozen=True, eq=False)
class Convolution:
    """Weights made ready for one kind of arithmetic. ``largest``: what no input makes an accumulator exceed in size."""

    biases: NDArray[np.float64]
    largest: int
    matrix: "Tiles | Floats | None"
    firsts: NDArray[np.int64]  # where there is no matrix: the first plane pair of each output, and the end
    planes: NDArray[np.int64]  # a pair's input plane
    taps: NDArray[np.int32]  # and its weights

    @property
    def safe(self) -> bool:
        """Whether no input can drive an accumulator to its limit."""
        return self.largest < ACCUMULATOR_LIMIT

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        dense = 0 if self.matrix is None else self.matrix.weights.nbytes
        return self.biases.nbytes + dense + self.firsts.nbytes + self.planes.nbytes + self.taps.nbytes

    def run(self, image: NDArray[np.uint8], window: Window, target: Target, out: NDArray[np.uint8]) -> float:
        """Compute all outputs into ``out``. Gives the largest |accumulator| met, or 0 where ``safe`` says enough."""
        measure = not self.safe
        scale = target.factor.scale(self.largest)
        if self.matrix is None:
            numbers = tuple(window), self.firsts, self.planes, self.taps, self.biases
            pairs: float = kernels.convolve_pairs(image, *numbers, scale, target.numbers(), measure, out)
            return pairs
        pixels = window.out_x * window.out_y
        places = self.matrix.places
        direct = window.is_one_row
        step = _SUMS_BYTES // (4 * len(self.biases))
        if not direct:
            step = min(step, _GATHERED_BYTES // places)
        step = max(1, step // _BLOCK) * _BLOCK
        worst = 0.0
        for start in range(0, pixels, step):
            count = min(step, pixels - start)
            if direct:
                sums = self.matrix.multiply(image, window.plane_stride, start, count)
            else:
                columns = np.empty((places, count), np.uint8)
                kernels.gather_columns(image, tuple(window), start, columns)
                sums = self.matrix.multiply(columns.reshape(-1), count, 0, count)
            found = kernels.requantise(sums, self.biases, scale, target.numbers(), start, count, measure, out)
            worst = max(worst, found)
        return worst


@dataclass(frozen=True, eq=False)
class Tiles:
    """Weights as 16-bit integers in the order of the processor's multiplications; exact while sums fit 32 bits."""

    weights: NDArray[np.int32]
    places: int

    @classmethod
    def pack(cls, weights: Weights, outputs: int, places: int) -> "Tiles":
        rows = matrix.tile_rows()
        blocks, pairs = -(-outputs // rows), -(-places // 2)
        table = np.zeros((blocks, pairs, rows, 2), np.int16)
        decoders.fill_tiles(weights.outputs, weights.places, weights.values, table)
        return cls(table.view(np.int32)[..., 0], places)

    def multiply(self, source: NDArray[np.uint8], stride: int, start: int, count: int) -> NDArray[np.int32]:
        """Sums of ``count`` pixels (a row longer than that), place k's bytes beginning at start + k * stride."""
        width = matrix.tile_columns()
        blocks, _, rows = self.weights.shape
        sums = np.empty((blocks * rows, -(-count // width) * width), np.int32)
        kernels.multiply(source, stride, start, count, self.weights, sums)
        return sums


@dataclass(frozen=True, eq=False)
class Floats:
    """Weights as a float matrix, single or double precision by what is exact."""

    weights: NDArray[Any]

    @property
    def places(self) -> int:
        """Columns."""
        return int(self.weights.shape[1])

    @classmethod
    def pack(cls, weights: Weights, outputs: int, places: int, kind: type[np.floating[Any]]) -> "Floats":
        table = np.zeros((outputs, places), kind)
        table[weights.outputs, weights.places] = weights.values
        return cls(table)

    def multiply(self, source: NDArray[np.uint8], stride: int, start: int, count: int) -> NDArray[np.float64]:
        """As ``Tiles.multiply`` does."""
        rows = np.lib.stride_tricks.as_strided(source[start:], (self.places, count), (stride, 1), writeable=False)
        sums: NDArray[np.float64] = (self.weights @ rows.astype(self.weights.dtype)).astype(np.float64)
        return sums


def prepare(weights: Weights, outputs: int, planes: int, taps: int, centre: int) -> Convolution:
    """Choose the arithmetic for these weights, and prove it exact. ``centre`` is what the unit subtracts from inputs,
    border included: the same as so much less bias for each weight."""
    magnitudes, totals = np.zeros(outputs, np.int64), np.zeros(outputs, np.int64)
    decoders.add_up(weights.outputs, weights.values, magnitudes, totals)
    largest = int(magnitudes.max(initial=0)) * LARGEST_INPUT
    folded = weights.biases - centre * totals
    lowest, highest = (folded + LARGEST_INPUT * ((totals + sign * magnitudes) // 2) for sign in (-1, 1))
    accumulator = int(max(-lowest.min(), highest.max()))
    biases = folded.astype(np.float64)
    if len(weights.values) * _SPARSE <= outputs * planes * taps and largest < _INT32_EXACT:
        pairs, inverse = np.unique(weights.outputs * planes + weights.places // taps, return_inverse=True)
        if len(pairs) * _SPARSE <= outputs * planes:
            table = np.zeros((len(pairs), taps), np.int32)
            table[inverse, weights.places % taps] = weights.values
            owners, sources = np.divmod(pairs, planes)
            return Convolution(
                biases, accumulator, None, np.searchsorted(owners, np.arange(outputs + 1)), sources, table
            )
    dense: Tiles | Floats
    if matrix.lanes() and largest < _INT32_EXACT:
        dense = Tiles.pack(weights, outputs, planes * taps)
    else:
        exact = np.float32 if largest < _FLOAT32_EXACT else np.float64
        dense = Floats.pack(weights, outputs, planes * taps, exact)
    none = np.zeros(0, np.int64)
    return Convolution(biases, accumulator, dense, none, none, np.zeros((0, taps), np.int32))


def as_one_row(window: Window, target: Target) -> tuple[Window, Target]:
    """A 1x1 convolution of a whole image does not care where rows end: see the image as one long row."""
    w, t = window, target
    whole = (w.kernel_x, w.kernel_y, w.step, w.offset_x, w.offset_y) == (1, 1, 1, 0, 0)
    if not (whole and w.row_stride == w.x_size == w.out_x == t.row_stride and w.out_y <= w.y_size):
        return window, target
    size = w.out_x * w.out_y
    return (
        Window(w.plane_stride, size, size, 1, w.border, 0, 0, 1, 1, 1, size, 1),
        Target(t.plane_stride, size, size, t.lowest, t.zero_point, t.factor),
    )
