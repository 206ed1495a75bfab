# SPDX-License-Identifier: MIT
"""Which inner loops are compiled, and when? With ``matrix`` and ``machine_code`` the only one that knows numba.

The loops of the units are here, those that read coefficients in ``decoders``. Nothing is compiled on import.
``warm_up`` does it all at once: before the first job, never during one. What was compiled once is loaded without numba.
"""

import functools
import logging
import os
import shutil
import tempfile
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hornito.files import Store, cache_directory
from hornito.virtual.npu import machine_code, matrix

log = logging.getLogger("hornito")
Report = Callable[[int, int, str], None]  # steps done, steps in all, what comes next

_lock = threading.Lock()
_ALL: list["Kernel"] = []
_INLINED: list[Callable[..., Any]] = []  # functions that kernels use


class Kernel:
    """A function that numba compiles for its signatures when it is first called, or loads from the cache folder."""

    def __init__(self, function: Callable[..., Any], signatures: tuple[str, ...], tiles: bool | None) -> None:
        self.name = function.__name__
        self.tiles = tiles  # made of tiles that not every processor has; False: used where there are none
        self._function = function
        self._signatures = list(signatures)
        self._compiled: Callable[..., Any] | None = None
        self.fresh = False  # made in this process, rather than loaded

    def __call__(self, *arguments: Any) -> Any:
        return (self._compiled or self.compile())(*arguments)

    @property
    def ready(self) -> bool:
        return self._compiled is not None

    def compile(self) -> Callable[..., Any]:
        """The machine code, made if need be. A cache folder that can't be used costs time, nothing else."""
        with _lock:
            if self._compiled is None and (kept := machine_code.store()) is not None:
                self._compiled = self._kept(kept)
            if self._compiled is None:
                folder = _cache_folder(self._function)
                try:
                    self._compiled = self._build(folder)
                except Exception:  # a damaged file can make pickle raise anything
                    if folder is None:
                        raise
                    shutil.rmtree(folder, ignore_errors=True)
                    self._compiled = self._build(None)
            return self._compiled

    def _kept(self, kept: Store) -> Callable[..., Any] | None:
        """The machine code from the cache folder, or made and put there; None for a loop that can't be kept so."""
        found = []
        for signature in self._signatures:
            sources = [signature.encode(), *_sources(self._function)]
            name = machine_code.key(self.name, sources, machine_code.processor())
            content, loop = kept.get(name), None
            try:
                loop = machine_code.load(content) if content else None
            except Exception as why:  # whole, yet not what it should be
                log.debug("%s: %s", self.name, why)
                kept.drop(name)
                content = None
            if content is None:
                content, loop = self._made(signature)
                machine_code.keep(kept, name, content)
            if loop is None:
                return None
            found.append(loop)
        return machine_code.Overloaded(found) if len(found) > 1 else found[0]

    def _made(self, signature: str) -> tuple[memoryview, machine_code.Loaded | None]:
        """What is to be kept, and the loop; nothing for one that can't be kept so."""
        self._prepare()
        self.fresh = True
        try:
            content = memoryview(machine_code.make(self._function, signature))
            return content, machine_code.load(content)
        except (machine_code.NotToBeKept, RuntimeError) as why:  # the latter is what LLVM raises
            log.debug("%s: %s", self.name, why)
            return memoryview(b""), None  # so that nobody tries again

    def _prepare(self) -> None:
        """What the loop's source needs to be compiled."""
        from numba.extending import register_jitable

        while _INLINED:
            register_jitable(_INLINED.pop())
        if self.tiles:
            self._function.__globals__.update(
                tile=matrix.tile_function(matrix.tile_rows(), matrix.tile_vectors()),
                line_tile=matrix.tile_function(1, matrix.LINE_VECTORS),
                tile_rows=matrix.tile_rows(),
                tile_columns=matrix.tile_columns(),
                line_columns=matrix.line_columns(),
                group_size=matrix.group(),
            )

    def _build(self, folder: str | None) -> Callable[..., Any]:
        """Compiled and called by numba itself, which also keeps the code, in a way of its own."""
        import numba

        self._prepare()
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = folder or before  # read while compiling only; other users keep their own folder
        try:
            compiled: Callable[..., Any] = numba.njit(
                self._signatures, cache=folder is not None, nogil=True, error_model="numpy"
            )(self._function)
        finally:
            numba.config.CACHE_DIR = before
        self.fresh = bool(compiled.stats.cache_misses)  # type: ignore[attr-defined]
        return compiled


def _sources(function: Callable[..., Any]) -> list[bytes]:
    """All that a loop may be made of: its module's source, what modules share, and the tiles of this processor."""
    tiles = matrix.arithmetic().encode()
    return [tiles, *(_content(path) for path in (function.__code__.co_filename, __file__, matrix.__file__))]


@functools.cache
def _content(path: str) -> bytes:
    return Path(path).read_bytes()


def _cache_folder(function: Callable[..., Any]) -> str | None:
    """Where numba keeps a loop's code, or None where nothing can be, or shall be, kept.

    numba unpickles what it finds, in files and folders that are as the umask wants them: nobody else may get there.
    """
    version = f"{zlib.crc32(b''.join(_sources(function))):08x}"  # numba itself looks at the module only
    if own := os.environ.get("NUMBA_CACHE_DIR"):
        top, folder = Path(own), Path(own) / version
    else:
        top, folder = cache_directory(), cache_directory() / "numba" / version
    if not machine_code.allowed() or not machine_code.may_keep_in(folder, top, alone=True):
        return None
    try:
        with tempfile.TemporaryFile(dir=folder):
            return str(folder)
    except OSError as error:
        machine_code.remark_lost(f"{folder}: can't be written ({error.strerror}); name a place that can")
        return None


def kernel(*signatures: str, tiles: bool | None = None) -> Callable[[Callable[..., Any]], Kernel]:
    def keep(function: Callable[..., Any]) -> Kernel:
        _ALL.append(Kernel(function, signatures, tiles))
        return _ALL[-1]

    return keep


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that kernels use, compiled into each."""
    _INLINED.append(function)
    return function


def warm_up(report: Report | None = None) -> None:
    """Compile or load every kernel of the modules imported so far. Once one had to be compiled, ``report`` is called
    before each further one, and at the end: where all are loaded it hears nothing."""
    wanted = [known for known in _ALL if known.tiles in (None, matrix.lanes() > 0)]
    compiling = False
    for done, known in enumerate(wanted):
        if report is not None and compiling:
            report(done, len(wanted), known.name)
        ready = known.ready
        known.compile()
        compiling = compiling or (known.fresh and not ready)
    if report is not None and compiling:
        report(len(wanted), len(wanted), "")


@inlined
def round_half_up(accumulator: Any, scale: Any) -> Any:
    """accumulator * factor to the nearest integer, ties upward: the one place that knows how the NN unit rounds.

    scale: the factor; and it again as multiplier / 2 ** shift where doubles are not exact, else a multiplier of 0.
    """
    factor, multiplier, shift = scale
    if multiplier != 0:
        return np.float64((np.int64(accumulator) * multiplier + (1 << (shift - 1))) >> shift)
    return np.floor(accumulator * factor + 0.5)


@kernel("int64(uint32[::1], uint32[::1])")
def same(first, second):  # type: ignore[no-untyped-def]
    """1 if two arrays of the same length are equal, else 0."""
    block = 1024
    for start in range(0, len(first), block):
        a, b = first[start : start + block], second[start : start + block]
        differing = np.uint32(0)
        for i in range(len(a)):
            differing |= a[i] ^ b[i]
        if differing != 0:
            return 0
    return 1


@kernel("void(uint8[::1], UniTuple(int64, 12), int64, uint8[:,::1])")
def gather_columns(image, view, start, columns):  # type: ignore[no-untyped-def]
    """The inputs of output pixels start, start + 1, ... as the columns of a matrix, a row for each (z, ky, kx).

    view: plane stride, row stride, x size, y size, border, x offset, y offset, step, kernel x and y, output x and y.
    """
    plane_stride, row_stride, x_size, y_size, border, off_x, off_y, step, kernel_x, kernel_y, out_x, _ = view
    taps = kernel_x * kernel_y
    count = columns.shape[1]
    outside = np.uint8(border)
    for k in range(columns.shape[0]):
        z = k // taps
        ky = (k - z * taps) // kernel_x
        dx = k - z * taps - ky * kernel_x + off_x
        # Columns x with 0 <= step * x + dx < x_size.
        low = max(0, -(dx // step)) if dx < 0 else 0
        high = min(out_x, (x_size - dx + step - 1) // step)
        row = columns[k]
        at = 0
        y = start // out_x
        x = start - y * out_x
        while at < count:
            until = min(out_x, x + count - at)
            in_y = step * y + ky + off_y
            if in_y < 0 or in_y >= y_size or high <= low:
                row[at : at + until - x] = outside
            else:
                a = min(max(x, low), until)
                b = max(min(high, until), a)
                row[at : at + a - x] = outside
                base = z * plane_stride + in_y * row_stride + dx
                if step == 1:
                    source = image[base + a : base + b]
                    for i in range(b - a):
                        row[at + a - x + i] = source[i]
                else:
                    for i in range(a, b):
                        row[at + i - x] = image[base + step * i]
                row[at + b - x : at + until - x] = outside
            at += until - x
            x = 0
            y += 1


@kernel(
    "float64(float64[:,::1], float64[::1], Tuple((float64, int64, int64)), UniTuple(int64, 5), int64, int64, boolean,"
    "uint8[::1])",
)
def requantise(sums, biases, scale, target, start, count, measure, out):  # type: ignore[no-untyped-def]
    """Store sums + biases, scaled and clamped, as count output pixels from start on of planes 0, 1, ...

    target: plane stride, row stride, x size, smallest value, zero point. Gives the largest |accumulator| if measure is
    set, else 0.
    """
    plane_stride, row_stride, x_size, lowest, zero = target
    low, zero_point = float(lowest), float(zero)
    worst = 0.0
    for plane in range(len(biases)):
        bias = biases[plane]
        source = sums[plane]
        if measure:
            for i in range(count):
                worst = max(worst, abs(source[i] + bias))
        at = 0
        y = start // x_size
        x = start - y * x_size
        while at < count:
            length = min(x_size - x, count - at)
            base = plane * plane_stride + y * row_stride + x
            line = out[base : base + length]
            part = source[at : at + length]
            for i in range(length):
                value = round_half_up(np.float64(part[i]) + bias, scale) + zero_point
                value = value if value > low else low
                line[i] = np.uint8(np.int32(value if value < 255.0 else 255.0))
            at += length
            x = 0
            y += 1
    return worst


@kernel(
    "float64(uint8[::1], UniTuple(int64, 12), int64[::1], int64[::1], int32[:,::1], float64[::1],"
    "Tuple((float64, int64, int64)), UniTuple(int64, 5), boolean, uint8[::1])",
    tiles=False,
)
def convolve_pairs(  # type: ignore[no-untyped-def]
    image, view, firsts, planes, taps, biases, scale, target, measure, out
):
    """A convolution of few plane pairs: output plane o sums pairs firsts[o]..firsts[o + 1] - 1, pair p applies taps[p]
    to input plane planes[p]. view, target and the result: as gather_columns and requantise have them.

    Each input plane is copied with its border, taken apart by the step's phases; then a tap is one shift of it all.
    """
    plane_stride, row_stride, x_size, y_size, border, off_x, off_y, step, kernel_x, kernel_y, out_x, out_y = view
    out_plane, out_row, _, lowest, zero = target
    # What no output needs is not there: the image ends with the last pixel that one does.
    x_size = min(x_size, step * (out_x - 1) + kernel_x + off_x)
    y_size = min(y_size, step * (out_y - 1) + kernel_y + off_y)
    width = out_x + (kernel_x - 1) // step
    height = out_y + (kernel_y - 1) // step
    size = (out_y * width + 63) // 64 * 64  # whole vectors; what lies behind the last row is never stored
    phase = width * height + kernel_x + 64
    padded = np.full(step * step * phase, border, np.int32)
    sums = np.empty(size, np.int32)
    stored = np.empty(size, np.uint8)
    low, zero_point = float(lowest), float(zero)
    worst = 0.0
    for o in range(len(firsts) - 1):
        sums[:] = 0
        for pair in range(firsts[o], firsts[o + 1]):
            base = planes[pair] * plane_stride
            for px in range(step):
                left = px + off_x
                skip = (step - 1 - left) // step if left < 0 else 0
                length = np.uint64(max(0, min(width, (x_size - left + step - 1) // step) - skip))
                for py in range(step):
                    to = (py * step + px) * phase + skip
                    pixel = base + (py + off_y) * row_stride + left + step * skip
                    for y in range(height):
                        if 0 <= step * y + py + off_y < y_size:
                            a, b = np.uint64(to), np.uint64(pixel)  # unsigned: an index that can't count from the end
                            if step == 1:
                                for i in range(length):
                                    padded[a + i] = image[b + i]
                            else:
                                for i in range(length):
                                    padded[a + i] = image[b + i + i]
                        to += width
                        pixel += step * row_stride
            for ky in range(kernel_y):
                for kx in range(kernel_x):
                    tap = taps[pair, ky * kernel_x + kx]
                    if tap != 0:
                        shift = ((ky % step) * step + kx % step) * phase + (ky // step) * width + kx // step
                        shifted = padded[shift : shift + size]
                        for i in range(size):
                            sums[i] += np.int32(tap * shifted[i])
        bias = biases[o]
        if measure:
            for y in range(out_y):
                for x in range(out_x):
                    worst = max(worst, abs(sums[y * width + x] + bias))
        for i in range(size):  # with what lies between the rows: long loops are the fast ones
            value = round_half_up(np.float64(sums[i]) + bias, scale) + zero_point
            value = value if value > low else low
            stored[i] = np.uint8(np.int32(value if value < 255.0 else 255.0))
        for y in range(out_y):
            a, b = np.uint64(o * out_plane + y * out_row), np.uint64(y * width)
            for i in range(np.uint64(out_x)):
                out[a + i] = stored[b + i]
    return worst


@kernel("void(uint8[::1], UniTuple(int64, 14), uint8[::1], int64, int64[::1], int64[::1], int64, uint8[::1])")
def move_elements(source, window, values, border, counts, increments, first, target):  # type: ignore[no-untyped-def]
    """The TP cores' address generator. Elements in the order of the window's tiles go where the loops 0..6 say.

    window: x size, y size, z size, row stride, plane stride, x start and end, y start and end, tile x and y size, tile
    x and y step, index of pixel (0, 0, 0) in source. values: what each byte becomes; border: what stands outside.
    """
    x_size, y_size, z_size, stride, plane = window[0], window[1], window[2], window[3], window[4]
    x_start, x_end, y_start, y_end = window[5], window[6], window[7], window[8]
    tile_x, tile_y, step_x, step_y, origin = window[9], window[10], window[11], window[12], window[13]
    done = np.zeros(6, np.int64)
    to = first
    outside = np.uint8(border)
    count_0, count_1 = counts[0], counts[1]
    inc_0, inc_1 = increments[0], increments[1]
    done_0 = 0
    done_1 = 0
    for z in range(z_size):
        for top in range(y_start, y_end + 1, step_y):
            for left in range(x_start, x_end + 1, step_x):
                for y in range(top, top + tile_y):
                    row = origin + z * plane + y * stride
                    row_inside = 0 <= y < y_size
                    for x in range(left, left + tile_x):
                        if row_inside and 0 <= x < x_size:
                            target[to] = values[source[row + x]]
                        else:
                            target[to] = outside
                        done_0 += 1
                        to += inc_0
                        if done_0 == count_0:
                            done_0 = 0
                            to += inc_1 - count_0 * inc_0
                            done_1 += 1
                            if done_1 == count_1:
                                done_1 = 0
                                to -= count_1 * inc_1
                                loop = 2
                                while loop < 6:
                                    to += increments[loop]
                                    done[loop] += 1
                                    if done[loop] < counts[loop]:
                                        break
                                    done[loop] = 0
                                    to -= counts[loop] * increments[loop]
                                    loop += 1
                                if loop == 6:
                                    to += increments[6]
