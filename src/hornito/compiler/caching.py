# SPDX-License-Identifier: MIT
"""What do an NN job's fields about SRAM say: by the reference driver's formula, or for what its shaping keeps there?"""

from dataclasses import dataclass

from hornito.compiler.shaping import Kept, Shaping
from hornito.compiler.sram import CacheFields, choose_caching, image_bytes, possible_caching
from hornito.compiler.tiling import Tile
from hornito.cost import Cut, Geometry
from hornito.hardware.chips import Chip
from hornito.hardware.nn import CachingMode


@dataclass(frozen=True)
class Taken:
    """Bytes that a job's coefficients take: in memory, and in SRAM."""

    bytes: int
    cached: int


def caching_of(geometry: Geometry, shaping: Shaping, coefficients: Taken, chip: Chip) -> CacheFields:
    """What a job of that shaping keeps in SRAM: what it says, and no more; less where that does not fit."""
    tile, wanted = shaping.tile, shaping.kept
    if wanted is None:
        return _by_reference(geometry, tile, coefficients, chip)
    *_, most = (fields for fields in choices(geometry, tile, coefficients, chip) if _within(kept(fields), wanted))
    return most


def kept(fields: CacheFields) -> Kept:
    """What such fields keep in SRAM."""
    return Kept(fields["kernel_caching_mode"] != CachingMode.NONE, fields["image_caching_mode"] != CachingMode.NONE)


def _within(one: Kept, other: Kept) -> bool:
    return one.coefficients <= other.coefficients and one.image <= other.image


def choices(geometry: Geometry, tile: Tile, coefficients: Taken, chip: Chip) -> list[CacheFields]:
    """All that fits the SRAM, the least first; nothing always does."""
    return possible_caching(_image(geometry, tile), geometry.outputs, coefficients.cached, chip.vip_sram)


def _image(geometry: Geometry, tile: Tile) -> int:
    return image_bytes(tile, max(geometry.kernel_x, geometry.kernel_y), geometry.planes)


def _by_reference(geometry: Geometry, tile: Tile, coefficients: Taken, chip: Chip) -> CacheFields:
    fields = choose_caching(_image(geometry, tile), geometry.outputs, coefficients.cached, chip.vip_sram)
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
