# SPDX-License-Identifier: MIT
"""What does a job have to compute and to move over the memory bus? Counts from its descriptors, no times.

Sources: databook, README.md ("superblock": the input is read once a superblock) and nn-descriptor.md ("Caching",
"Tiling"). Inferred: tiles are computed one after the other, each for all superblocks; a tile's input, halos included,
comes from memory for each superblock unless the image is cached; coefficients come from memory for each tile, but for
the part of them that is kept in SRAM.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hornito.hardware.array import LANES, interleave
from hornito.hardware.chips import Chip
from hornito.hardware.nn import CachingMode, NNDescriptor, Pooling
from hornito.hardware.tp import TPDescriptor


@dataclass(frozen=True)
class Work:
    """``macs`` that the hardware is given to do, and bytes that it reads from memory and writes to it.

    ``coefficient_bytes``: their size. ``pointwise_macs``: how many of the ``macs`` belong to 1x1 kernels, which have a
    rate of their own. ``lane_macs``, ``pointwise_lane_macs``: the same with idle lanes of the array counted as busy,
    and cores that have a kernel less. ``coefficient_reads``: bytes of coefficients that come from memory, part of
    ``read``. ``cached``: bytes that come from on-chip SRAM in place of memory. ``moved``: elements that the busiest TP
    core writes."""

    macs: int = 0
    coefficient_bytes: int = 0
    read: int = 0
    written: int = 0
    pointwise_macs: int = 0
    lane_macs: int = 0
    pointwise_lane_macs: int = 0
    coefficient_reads: int = 0
    cached: int = 0
    moved: int = 0

    @property
    def traffic(self) -> int:
        """Bytes over the memory bus."""
        return self.read + self.written

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.macs + other.macs,
            self.coefficient_bytes + other.coefficient_bytes,
            self.read + other.read,
            self.written + other.written,
            self.pointwise_macs + other.pointwise_macs,
            self.lane_macs + other.lane_macs,
            self.pointwise_lane_macs + other.pointwise_lane_macs,
            self.coefficient_reads + other.coefficient_reads,
            self.cached + other.cached,
            self.moved + other.moved,
        )


@dataclass(frozen=True)
class Tiling:
    """How an NN job's output is cut up: ``tiles`` of it; ``superblocks``: groups of kernels; ``lines`` of lanes that
    the tiles take for one kernel; ``input_pixels`` of a plane that the tiles read, halos included."""

    tiles: int
    superblocks: int
    lines: int
    input_pixels: int


def tiling_of(d: NNDescriptor, chip: Chip) -> Tiling:
    """The tiling that a descriptor states."""
    width, height = max(d.out_image_tile_x_size, 1), max(d.out_image_tile_y_size, 1)
    off_x, off_y = d.offsets(chip.offset_bits)
    columns = _extent(d.out_image_x_size, width, d.kernel_xy_size, off_x, d.in_image_x_size)
    rows = _extent(d.out_image_y_size, height, d.kernel_y_size, off_y, d.in_image_y_size)
    shared = interleave(chip.nn_version, width, d.kernel_xy_size)
    whole, rest = divmod(d.out_image_y_size, height)
    lines = whole * _ceil_div(height, shared) + _ceil_div(rest, shared)
    across = _ceil_div(d.out_image_x_size, width)
    per_core = _ceil_div(d.out_image_z_size, chip.nn_cores)
    return Tiling(
        across * (whole + (rest > 0)),
        _ceil_div(per_core, max(d.kernels_per_core, 1)),
        across * lines,
        columns * rows,
    )


def nn_work(descriptor: NNDescriptor, coefficient_bytes: int, chip: Chip) -> Work:
    """The work of one NN job."""
    d = descriptor
    tiling = tiling_of(d, chip)
    outputs = d.out_image_z_size
    pixels = d.out_image_x_size * d.out_image_y_size
    planes = 1 if d.depthwise else d.channels
    places = d.kernel_xy_size * d.kernel_y_size
    macs = pixels * planes * places * outputs
    kernels = _ceil_div(outputs, chip.nn_cores) * chip.nn_cores
    lane_macs = tiling.lines * LANES * planes * places * kernels
    once = tiling.input_pixels * d.channels
    passes = 1 if d.depthwise else tiling.superblocks  # a depthwise kernel wants its own plane alone
    image = once if d.image_caching_mode != CachingMode.NONE else once * passes
    coefficients = _coefficient_reads(d, coefficient_bytes, tiling.tiles)
    kept = pixels // 4 if d.pooling == Pooling.FIRST_PIXEL else pixels
    pointwise = places == 1
    return Work(
        macs,
        coefficient_bytes,
        coefficients + image,
        kept * outputs,
        macs if pointwise else 0,
        lane_macs,
        lane_macs if pointwise else 0,
        coefficients,
        once * passes - image + coefficient_bytes * tiling.tiles - coefficients,
    )


def _coefficient_reads(d: NNDescriptor, size: int, tiles: int) -> int:
    """Bytes of coefficients that come from memory."""
    if d.kernel_caching_mode == CachingMode.FULL:
        return size
    kept = 0
    if d.kernel_caching_mode == CachingMode.PARTIAL:
        kept = min(max(d.kernel_cache_end_address - d.kernel_cache_start_address, 0), size)
    return size + (tiles - 1) * (size - kept)


def _extent(size: int, tile: int, kernel: int, offset: int, limit: int) -> int:
    """Input columns (or rows) that tiles of an output of ``size`` read, halos counted for each, borders not at all."""
    total = 0
    for start in range(0, size, tile):
        first = max(start + offset, 0)
        end = min(min(start + tile, size) + kernel - 1 + offset, limit)
        total += max(end - first, 0)
    return total


def _ceil_div(value: int, divisor: int) -> int:
    return -(-value // divisor)


def move_work(descriptors: Sequence[TPDescriptor]) -> Work:
    """The work of one TP job: every element of the window is written, those within the image are read. The cores work
    side by side."""
    read = written = most = 0
    for d in descriptors:
        columns = d.in_window_x_end - d.in_window_x_start + 1
        rows = d.in_window_y_end - d.in_window_y_start + 1
        inside_x = max(min(d.in_window_x_end, d.in_image_x_size - 1) - max(d.in_window_x_start, 0) + 1, 0)
        inside_y = max(min(d.in_window_y_end, d.in_image_y_size - 1) - max(d.in_window_y_start, 0) + 1, 0)
        own = columns * rows * d.in_image_z_size
        written += own
        most = max(most, own)
        read += inside_x * inside_y * d.in_image_z_size
    return Work(read=read, written=written, moved=most)


def side_by_side(parts: Sequence[Work]) -> Work:
    """The work of one TP job, given that of each core."""
    return Work(
        read=sum(part.read for part in parts),
        written=sum(part.written for part in parts),
        moved=max((part.moved for part in parts), default=0),
    )
