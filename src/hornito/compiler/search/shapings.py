# SPDX-License-Identifier: MIT
"""With which tile and what in SRAM does an NN job take least time?

All widths that cut the output evenly and all that let rows share lines, with all such heights that the input buffer and
the accumulators allow; for each, as few superblocks as the accumulators allow, and all that fits the SRAM. More
superblocks never help in the cost model, so none are tried.
"""

import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import dataclass

from hornito.compiler.caching import Taken, caching_of, choices, cut, kept
from hornito.compiler.convolution import geometry_of, measure_coefficients
from hornito.compiler.options import Options, Technique
from hornito.compiler.shaping import Shaping
from hornito.compiler.sram import CacheFields
from hornito.compiler.tasks import Convolution
from hornito.compiler.tiling import MAX_HEIGHT, Load, Tile, ceil_div, choose_tile, load_of, tile_of
from hornito.cost import Geometry, Rates, Work, work_of
from hornito.hardware import array
from hornito.hardware.chips import Chip
from hornito.hardware.nn import MAX_TILE_X


@dataclass(frozen=True)
class Priced:
    """A way to carry out a job: its tile, what is in SRAM, what it has to do and how long that takes, in seconds."""

    tile: Tile
    caching: CacheFields
    work: Work
    seconds: float

    @property
    def order(self) -> tuple[float, int, int, int]:
        """Fastest first; of equal ones that with less traffic, then fewer superblocks and larger tiles."""
        return self.seconds, self.work.traffic, self.tile.superblocks, -self.tile.width * self.tile.height


@dataclass(frozen=True)
class _Job:
    """All of a job that the search depends on. ``tile``: None to search it; ``by_need``: what is kept in SRAM is
    searched as well, in place of the reference driver's formula."""

    geometry: Geometry
    load: Load
    coefficients: Taken
    tile: Tile | None
    by_need: bool
    chip: Chip
    rates: Rates


def shaping_of(conv: Convolution, options: Options) -> Shaping:
    """How an NN job is carried out in a plan of these options."""
    searched = options.uses(Technique.TILES) and not conv.wraps
    if not searched and not options.uses(Technique.CACHING):
        return Shaping(choose_tile(conv, options.chip), by_residual=options.uses(Technique.SYMBOLS))
    shaping = shaping_as(cheapest(conv, options), options)
    if not searched:
        return shaping
    size = measure_coefficients(conv, shaping, options.chip)
    return dataclasses.replace(shaping, zero_runs=size.zero_runs)


def shaping_as(one: Priced, options: Options) -> Shaping:
    """A way that was tried, with all else as a plan of these options has it."""
    chosen = kept(one.caching) if options.uses(Technique.CACHING) else None
    return Shaping(one.tile, None, chosen, options.uses(Technique.SYMBOLS))


def cheapest(conv: Convolution, options: Options) -> Priced:
    """The best of all that these options let a job be."""
    return _cheapest(_job(conv, options))


def all_priced(conv: Convolution, options: Options) -> list[Priced]:
    """All that were tried, best first."""
    return sorted(_priced(_job(conv, options)), key=lambda one: one.order)


def _job(conv: Convolution, options: Options) -> _Job:
    chip = options.chip
    reference = choose_tile(conv, chip)
    size = measure_coefficients(conv, Shaping(reference, by_residual=options.uses(Technique.SYMBOLS)), chip)
    return _Job(
        geometry_of(conv),
        load_of(conv),
        Taken(size.bytes, size.cached_bytes),
        None if options.uses(Technique.TILES) and not conv.wraps else reference,
        options.uses(Technique.CACHING),
        chip,
        options.rates,
    )


@functools.lru_cache(maxsize=4096)
def _cheapest(job: _Job) -> Priced:
    return min(_priced(job), key=lambda one: one.order)


def _priced(job: _Job) -> Iterator[Priced]:
    for tile in _tiles(job):
        if job.by_need:
            cached = choices(job.geometry, tile, job.coefficients, job.chip)
        else:
            cached = [caching_of(job.geometry, Shaping(tile), job.coefficients, job.chip)]
        for fields in cached:
            work = work_of(job.geometry, cut(tile, fields), job.coefficients.bytes, job.chip)
            yield Priced(tile, fields, work, job.rates.duration(work))


def _tiles(job: _Job) -> list[Tile]:
    """Every tile worth a try; the unit's limits hold for all of them."""
    if job.tile is not None:
        return [job.tile]
    g, chip = job.geometry, job.chip
    even = 2 if g.first_pixel else 1
    found = []
    for width in _sizes(g.out_x, min(g.out_x, MAX_TILE_X), even):
        shared = array.interleave(chip.nn_version, width, g.kernel_x)
        highest = min(array.most_rows(chip, shared, g.kernel_y), g.out_y, MAX_HEIGHT)
        for height in _sizes(g.out_y, highest, 2 if job.load.stride > 1 else 1):
            found.append(tile_of((width, height), shared, job.load, chip))
    return found


@functools.lru_cache(maxsize=4096)
def _sizes(whole: int, most: int, even: int) -> tuple[int, ...]:
    """Lengths of at most ``most``: the even shares of ``whole``, and those at which rows share lines otherwise;
    multiples of ``even`` where there are any."""
    wanted = {most, *(size for size in _STEPS if size <= most)}
    wanted |= {ceil_div(whole, parts) for parts in range(1, whole + 1) if parts <= 16 or whole % parts == 0}
    rounded = {min(ceil_div(size, even) * even, most // even * even) if most >= even else most for size in wanted}
    return tuple(sorted((size for size in rounded if 0 < size <= most), reverse=True))


_STEPS = (1, 2, 4, 6, 8, 12, 14, 16, 20, 24, 28, 30, 32, 34, 36, 40, 48, 56, 64)
