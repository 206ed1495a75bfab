# SPDX-License-Identifier: MIT
"""What does a convolution of decoded weights give? Exact integers, by whichever way is both proven exact and fast."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hornito.crew import ALONE, Crew
from hornito.virtual.npu import kernels, matrix, packed
from hornito.virtual.npu.shares import divided
from hornito.virtual.npu.weights import KernelShape, Weights

LARGEST_INPUT = 255
ACCUMULATOR_LIMIT = 1 << 31  # the real width is unknown; beyond this the databook wants a flag
_FLOAT32_EXACT = 1 << 24  # integers up to here are exact, sums of them in any order too
_INT32_EXACT = 1 << 31
_FLOAT64_EXACT = 1 << 53
_GATHERED_BYTES = 1 << 18  # of input at a time, so that it stays in the processor's cache
_SUMS_BYTES = 1 << 19  # likewise
_BLOCK = 48  # pixels; a multiple of any tile's width
FEW = 2  # outputs for which a whole tile is a waste
BYTES = 4  # to a lane, where ``matrix.group`` says so; else 16 bits
INT8 = np.iinfo(np.int8)
# Work is counted in multiplications of lanes, of which there are some 60 in a nanosecond.
BYTE_IN, BYTE_OUT = 8, 16
WORTH_A_THREAD = 4 << 20
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


class Store(NamedTuple):
    """What becomes of the sums, as the kernels take it. ``measure``: accumulators may get too large."""

    biases: NDArray[np.float64]
    scale: tuple[float, int, int]
    target: tuple[int, ...]
    measure: bool


Share = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]  # from image to outputs; see ``Bound.run``


class Arithmetic(Protocol):
    """Weights made ready for one way to multiply."""

    @property
    def nbytes(self) -> int:
        """Memory it takes."""

    def shares(self, window: Window, store: Store, workers: int) -> list[Share]:
        """The work, in so many shares at most, for threads of their own."""


@dataclass(frozen=True, eq=False)
class Bound:
    """A convolution of images of one form into outputs of one form. ``safe``: no input can drive an accumulator to its
    limit."""

    safe: bool
    shares: list[Share]

    def run(self, image: NDArray[np.uint8], out: NDArray[np.uint8], crew: Crew = ALONE) -> float:
        """Compute all outputs into ``out``. Gives the largest |accumulator| met, or 0 where ``safe`` says enough."""
        if len(self.shares) == 1:
            return self.shares[0](image, out)
        return max(crew.map([functools.partial(share, image, out) for share in self.shares]))


@dataclass(frozen=True, eq=False)
class Convolution:
    """Decoded coefficients, ready. ``largest``: what no input makes an accumulator exceed in size."""

    biases: NDArray[np.float64]
    largest: int
    arithmetic: Arithmetic

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return self.biases.nbytes + self.arithmetic.nbytes

    def bind(self, window: Window, target: Target, workers: int = 1) -> Bound:
        """For images and outputs of that form."""
        safe = self.largest < ACCUMULATOR_LIMIT
        store = Store(self.biases, target.factor.scale(self.largest), target.numbers(), not safe)
        return Bound(safe, self.arithmetic.shares(window, store, workers))


@dataclass(frozen=True, eq=False)
class Dense:
    """Weights as small integers in the order of the processor's multiplications (``packed.convolve_dense``). Exact
    while sums fit 32 bits."""

    outputs: int
    order: NDArray[np.int64]
    places: NDArray[np.int64]
    weights: NDArray[np.int32]
    ones: NDArray[np.int32]
    each: int

    @classmethod
    def pack(cls, weights: Weights, shape: KernelShape) -> "Dense":
        taps, size = shape.rows * shape.columns, matrix.group()
        used = weights.used(shape.planes * taps).reshape(shape.planes, taps)
        # Planes of which the same taps matter side by side: what no plane of a lane has a weight for is left out. A
        # stride of 2 that was made a kernel of 2x2 on four times the planes is all zeros in 7 places of 16.
        order = np.arange(shape.planes)
        if not used.all():
            _, kinds = np.unique(used, axis=0, return_inverse=True)
            order = np.argsort(kinds.reshape(-1), kind="stable")
            order = order[used[order].any(axis=1)]
        groups = max(1, -(-len(order) // size))
        lanes = np.zeros((groups * size, taps), np.bool_)
        lanes[: len(order)] = used[order]
        wanted: NDArray[np.bool_] = np.any(lanes.reshape(groups, size, taps), axis=1)
        wanted[0, 0] = True  # never none at all
        group, tap = np.nonzero(wanted)
        members = np.full(groups * size, -1, np.int64)
        members[: len(order)] = order
        low, high = weights.extremes
        each = 0
        if size == BYTES and (low < INT8.min or high > INT8.max):
            each = high - INT8.max if high > INT8.max else low - INT8.min
        rows = matrix.tile_rows() if shape.outputs > FEW else 1
        kind = np.int8 if size == BYTES else np.int16
        table = np.empty((-(-shape.outputs // rows), len(group), rows, size), kind)
        planes = members.reshape(groups, size)[group]
        sources = np.where(planes < 0, -1, planes * taps + tap[:, np.newaxis])
        form = weights.zero_point, each
        packed.fill_dense(table, weights.all_bytes(shape.outputs, shape.planes * taps), sources, form)
        ones = np.ones((len(group), size), kind).view(np.int32)[:, 0]
        places = np.column_stack((group, *np.divmod(tap, shape.columns)))
        factors = table.view(np.int32)[..., 0]
        return cls(shape.outputs, members, places, factors, ones, each)

    @property
    def nbytes(self) -> int:
        return self.order.nbytes + self.places.nbytes + self.weights.nbytes + self.ones.nbytes

    def shares(self, window: Window, store: Store, workers: int) -> list[Share]:
        work = _work(window, len(self.places) * self.outputs, len(self.order), self.outputs)
        flat = window.out_y == window.kernel_x == window.kernel_y == window.step == 1
        pixels = (window.out_x, matrix.tile_columns()) if flat else (window.out_y, 1)
        parts = divided(min(workers, 1 + work // WORTH_A_THREAD), (self.outputs, self.weights.shape[2]), pixels)
        known = self.order, self.places, self.weights, self.ones, self.each
        view = tuple(window)
        return [
            lambda image, out, part=part: packed.convolve_dense(  # type: ignore[misc]
                image, view, part, *known, *store, out
            )
            for part in parts
        ]


@dataclass(frozen=True, eq=False)
class Sparse:
    """Weights of few plane pairs (``packed.convolve_sparse``); exact while sums fit 32 bits."""

    firsts: NDArray[np.int64]
    planes: NDArray[np.int64]
    starts: NDArray[np.int64]
    places: NDArray[np.int64]
    weights: NDArray[np.int32]

    @classmethod
    def pack(cls, pairs: "Pairs", shape: KernelShape) -> "Sparse":
        size = matrix.group()
        count, columns = len(pairs.taps), -(-shape.columns // size)
        padded = np.zeros((count, shape.rows, columns * size), np.int32)
        padded[:, :, : shape.columns] = pairs.taps.reshape(count, shape.rows, shape.columns)
        rest: NDArray[np.int32] = padded.reshape(count, shape.rows, columns, size)
        kind = np.int8 if size == BYTES else np.int16
        owners, places, weights = [], [], []
        while rest.any():  # the difference of two bytes is a sum of three signed ones at most
            now = np.clip(rest, np.iinfo(kind).min, np.iinfo(kind).max)
            pair, row, column = np.nonzero(np.any(now, axis=3))
            owners.append(pair)
            places.append(np.column_stack((row, column)))
            weights.append(now[pair, row, column].astype(kind).view(np.int32)[:, 0])
            rest = rest - now
        if not owners:
            return cls(pairs.firsts, pairs.planes, np.zeros(count + 1, np.int64), *_nothing())
        owner = np.concatenate(owners)
        order = np.argsort(owner, kind="stable")
        starts = np.searchsorted(owner[order], np.arange(count + 1))
        return cls(pairs.firsts, pairs.planes, starts, np.concatenate(places)[order], np.concatenate(weights)[order])

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in vars(self).values())

    def shares(self, window: Window, store: Store, workers: int) -> list[Share]:
        outputs = len(self.firsts) - 1
        work = _work(window, len(self.weights), len(self.planes), outputs)
        parts = divided(min(workers, 1 + work // WORTH_A_THREAD), (outputs, 1), (window.out_y, 1))
        known = self.firsts, self.planes, self.starts, self.places, self.weights
        view = tuple(window)
        return [
            lambda image, out, part=part: packed.convolve_sparse(  # type: ignore[misc]
                image, view, part, *known, *store, out
            )
            for part in parts
        ]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Plane pairs with weights, where vectors are short: the first of each output, and the end; a pair's input plane
    and its weights."""

    firsts: NDArray[np.int64]
    planes: NDArray[np.int64]
    taps: NDArray[np.int32]

    @classmethod
    def find(cls, weights: Weights, shape: KernelShape) -> "Pairs | None":
        """The pairs, if few enough."""
        outputs, planes, taps = shape.outputs, shape.planes, shape.rows * shape.columns
        if weights.table is not None or len(weights.values) * _SPARSE > outputs * planes * taps:
            return None
        pairs, inverse = np.unique(weights.outputs * planes + weights.places // taps, return_inverse=True)
        if len(pairs) * _SPARSE > outputs * planes:
            return None
        table = np.zeros((len(pairs), taps), np.int32)
        table[inverse, weights.places % taps] = weights.values
        owners, sources = np.divmod(pairs, planes)
        return cls(np.searchsorted(owners, np.arange(outputs + 1)), sources, table)

    @property
    def nbytes(self) -> int:
        return self.firsts.nbytes + self.planes.nbytes + self.taps.nbytes

    def shares(self, window: Window, store: Store, workers: int) -> list[Share]:
        known = tuple(window), self.firsts, self.planes, self.taps, *store
        return [lambda image, out: kernels.convolve_pairs(image, *known, out)]


@dataclass(frozen=True, eq=False)
class Floats:
    """Weights as a float matrix, single or double precision by what is exact."""

    weights: NDArray[Any]

    @classmethod
    def pack(cls, weights: Weights, shape: KernelShape, kind: type[np.floating[Any]]) -> "Floats":
        table = weights.all_bytes(shape.outputs, shape.planes * shape.rows * shape.columns)
        return cls(table.astype(kind) - kind(weights.zero_point))

    @property
    def nbytes(self) -> int:
        return self.weights.nbytes

    def shares(self, window: Window, store: Store, workers: int) -> list[Share]:
        return [lambda image, out: self._run(image, window, store, out)]  # BLAS has threads of its own

    def _run(self, image: NDArray[np.uint8], window: Window, store: Store, out: NDArray[np.uint8]) -> float:
        pixels = window.out_x * window.out_y
        outputs, places = self.weights.shape
        direct = window.is_one_row
        step = _SUMS_BYTES // (4 * outputs)
        if not direct:
            step = min(step, _GATHERED_BYTES // places)
        step = max(1, step // _BLOCK) * _BLOCK
        worst = 0.0
        for start in range(0, pixels, step):
            count = min(step, pixels - start)
            if direct:
                sums = self._multiply(image, window.plane_stride, start, count)
            else:
                columns = np.empty((places, count), np.uint8)
                kernels.gather_columns(image, tuple(window), start, columns)
                sums = self._multiply(columns.reshape(-1), count, 0, count)
            biases, scale, target, measure = store
            found = kernels.requantise(sums, biases, scale, target, start, count, measure, out)
            worst = max(worst, found)
        return worst

    def _multiply(self, source: NDArray[np.uint8], stride: int, start: int, count: int) -> NDArray[np.float64]:
        """Sums of ``count`` pixels, place k's bytes beginning at start + k * stride."""
        places = self.weights.shape[1]
        rows = np.lib.stride_tricks.as_strided(source[start:], (places, count), (stride, 1), writeable=False)
        sums: NDArray[np.float64] = (self.weights @ rows.astype(self.weights.dtype)).astype(np.float64)
        return sums


def prepare(weights: Weights, shape: KernelShape, centre: int) -> Convolution:
    """Choose the arithmetic for these weights, and prove it exact. ``centre`` is what the unit subtracts from inputs,
    border included: the same as so much less bias for each weight."""
    magnitudes, totals = weights.sums(shape.outputs)
    largest = int(magnitudes.max(initial=0)) * LARGEST_INPUT
    folded = weights.biases - centre * totals
    lowest, highest = (folded + LARGEST_INPUT * ((totals + sign * magnitudes) // 2) for sign in (-1, 1))
    accumulator = int(max(-lowest.min(), highest.max()))
    return Convolution(folded.astype(np.float64), accumulator, _arithmetic(weights, shape, largest))


def _arithmetic(weights: Weights, shape: KernelShape, largest: int) -> Arithmetic:
    if largest < _INT32_EXACT:
        pairs = Pairs.find(weights, shape)
        if pairs is not None:
            return Sparse.pack(pairs, shape) if matrix.lanes() else pairs
        if matrix.lanes():
            return Dense.pack(weights, shape)
    return Floats.pack(weights, shape, np.float32 if largest < _FLOAT32_EXACT else np.float64)


def _work(window: Window, places: int, planes: int, outputs: int) -> int:
    """What a layer takes, if each output pixel multiplies so many lanes; to know whether a thread is worth it."""
    pixels = window.out_x * window.out_y
    return pixels * (places + BYTE_IN * planes * window.step**2 + BYTE_OUT * outputs)


def _nothing() -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    return np.zeros((0, 2), np.int64), np.zeros(0, np.int32)


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
