# SPDX-License-Identifier: MIT
"""What of an NN job is kept in SRAM: by the reference driver's formula, or by the traffic that it saves?"""

from dataclasses import dataclass

from hornito.compiler.shaping import Shaping
from hornito.compiler.sram import CacheFields, choose_caching, image_bytes, possible_caching
from hornito.compiler.tiling import Tile
from hornito.cost import Cut, Geometry, work_of
from hornito.hardware.chips import Chip
from hornito.hardware.nn import CachingMode


@dataclass(frozen=True)
class Taken:
    """Bytes that a job's coefficients take: in memory, and in SRAM."""

    bytes: int
    cached: int


def caching_of(geometry: Geometry, shaping: Shaping, coefficients: Taken, chip: Chip) -> CacheFields:
    """What a job of that shaping keeps in SRAM. Of several with the least traffic, that which takes least."""
    tile = shaping.tile
    if not shaping.by_need:
        return _by_reference(geometry, tile, coefficients, chip)

    def traffic(fields: CacheFields) -> int:
        return work_of(geometry, cut(tile, fields), coefficients.bytes, chip).traffic

    return min(choices(geometry, tile, coefficients, chip), key=traffic)


def choices(geometry: Geometry, tile: Tile, coefficients: Taken, chip: Chip) -> list[CacheFields]:
    """All that fits the SRAM."""
    image = image_bytes(tile, max(geometry.kernel_x, geometry.kernel_y), geometry.planes)
    return possible_caching(image, geometry.outputs, coefficients.cached, chip.vip_sram)


def _by_reference(geometry: Geometry, tile: Tile, coefficients: Taken, chip: Chip) -> CacheFields:
    size = max(geometry.kernel_x, geometry.kernel_y)
    fields = choose_caching(tile, size, geometry.planes, geometry.outputs, coefficients.cached, chip.vip_sram)
    if chip.nn_version == 8:
        # The reference driver turns caching off there, but leaves the addresses that it would have used.
        fields |= {"image_caching_mode": CachingMode.NONE, "kernel_caching_mode": CachingMode.NONE}
    return fields


def cut(tile: Tile, caching: CacheFields) -> Cut:
    """How a job is cut up and cached, for the cost model."""
    return Cut(
        tile.width,
        tile.height,
        tile.kernels_per_core,
        caching["image_caching_mode"] != CachingMode.NONE,
        CachingMode(caching["kernel_caching_mode"]),
        max(caching["kernel_cache_end_address"] - caching["kernel_cache_start_address"], 0),
    )
