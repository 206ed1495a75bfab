# SPDX-License-Identifier: MIT
"""What does a job have to compute and to move over the memory bus? Counts from its descriptors, no times.

Sources: databook, README.md ("superblock": the input is read once a superblock) and nn-descriptor.md ("Caching",
"Tiling"). Inferred: tiles are computed one after the other, each for all superblocks; a tile's input, halos included,
comes from memory for each superblock unless the image is cached; coefficients come from memory for each tile, but for
the part of them that is kept in SRAM.
"""

import functools
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


@dataclass(frozen=True, slots=True)
class Geometry:
    """What an NN job computes, as far as its work goes: ``out_*`` before pooling, ``offset_*`` of the kernel's window,
    ``depthwise`` by the unit itself."""

    in_x: int
    in_y: int
    planes: int
    out_x: int
    out_y: int
    outputs: int
    kernel_x: int
    kernel_y: int
    offset_x: int
    offset_y: int
    depthwise: bool
    first_pixel: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """How it is cut up and cached: the tile's size, kernels of a core at a time (a superblock), whether the image comes
    from SRAM, and how the kernels do. ``kernel_window``: bytes of SRAM for them."""

    tile_x: int
    tile_y: int
    kernels_per_core: int
    image_cached: bool = False
    kernel_caching: CachingMode = CachingMode.NONE
    kernel_window: int = 0


def geometry_of(d: NNDescriptor, chip: Chip) -> Geometry:
    """What a descriptor states of the job's geometry."""
    off_x, off_y = d.offsets(chip.offset_bits)
    return Geometry(
        d.in_image_x_size,
        d.in_image_y_size,
        d.channels,
        d.out_image_x_size,
        d.out_image_y_size,
        d.out_image_z_size,
        d.kernel_xy_size,
        d.kernel_y_size,
        off_x,
        off_y,
        bool(d.depthwise),
        d.pooling == Pooling.FIRST_PIXEL,
    )


def cut_of(d: NNDescriptor) -> Cut:
    """What a descriptor states of tile, superblocks and caching."""
    return Cut(
        max(d.out_image_tile_x_size, 1),
        max(d.out_image_tile_y_size, 1),
        max(d.kernels_per_core, 1),
        d.image_caching_mode != CachingMode.NONE,
        CachingMode(d.kernel_caching_mode),
        max(d.kernel_cache_end_address - d.kernel_cache_start_address, 0),
    )


def tiling_of(d: NNDescriptor, chip: Chip) -> Tiling:
    """The tiling that a descriptor states."""
    return tiling(geometry_of(d, chip), cut_of(d), chip)


def tiling(g: Geometry, cut: Cut, chip: Chip) -> Tiling:
    """How a job's output is cut up."""
    columns = _extent(g.out_x, cut.tile_x, g.kernel_x, g.offset_x, g.in_x)
    rows = _extent(g.out_y, cut.tile_y, g.kernel_y, g.offset_y, g.in_y)
    shared = interleave(chip.nn_version, cut.tile_x, g.kernel_x)
    whole, rest = divmod(g.out_y, cut.tile_y)
    lines = whole * _ceil_div(cut.tile_y, shared) + _ceil_div(rest, shared)
    across = _ceil_div(g.out_x, cut.tile_x)
    per_core = _ceil_div(g.outputs, chip.nn_cores)
    return Tiling(
        across * (whole + (rest > 0)),
        _ceil_div(per_core, cut.kernels_per_core),
        across * lines,
        columns * rows,
    )


def nn_work(descriptor: NNDescriptor, coefficient_bytes: int, chip: Chip) -> Work:
    """The work of one NN job."""
    return work_of(geometry_of(descriptor, chip), cut_of(descriptor), coefficient_bytes, chip)


def work_of(g: Geometry, cut: Cut, coefficient_bytes: int, chip: Chip) -> Work:
    """The work of an NN job that need not be encoded."""
    found = tiling(g, cut, chip)
    pixels = g.out_x * g.out_y
    planes = 1 if g.depthwise else g.planes
    places = g.kernel_x * g.kernel_y
    macs = pixels * planes * places * g.outputs
    kernels = _ceil_div(g.outputs, chip.nn_cores) * chip.nn_cores
    lane_macs = found.lines * LANES * planes * places * kernels
    once = found.input_pixels * g.planes
    passes = 1 if g.depthwise else found.superblocks  # a depthwise kernel wants its own plane alone
    image = once if cut.image_cached else once * passes
    coefficients = _coefficient_reads(cut, coefficient_bytes, found.tiles)
    kept = pixels // 4 if g.first_pixel else pixels
    pointwise = places == 1
    return Work(
        macs,
        coefficient_bytes,
        coefficients + image,
        kept * g.outputs,
        macs if pointwise else 0,
        lane_macs,
        lane_macs if pointwise else 0,
        coefficients,
        once * passes - image + coefficient_bytes * found.tiles - coefficients,
    )


def _coefficient_reads(cut: Cut, size: int, tiles: int) -> int:
    """Bytes of coefficients that come from memory."""
    if cut.kernel_caching == CachingMode.FULL:
        return size
    kept = 0
    if cut.kernel_caching == CachingMode.PARTIAL:
        kept = min(cut.kernel_window, size)
    return size + (tiles - 1) * (size - kept)


@functools.lru_cache(maxsize=4096)
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
