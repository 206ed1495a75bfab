# SPDX-License-Identifier: MIT
"""Which part of the on-chip SRAM caches an NN job's coefficients, and which its image?

Source: databook, nn-descriptor.md ("Caching"): what the reference driver writes. Results never depend on it.
"""

from typing import TypedDict

from hornito.compiler.tiling import Tile
from hornito.hardware.nn import CachingMode

COEFFICIENTS_START = 0x800  # below lies room for small images
SMALLEST_END = 0xA00

# Which kernel groups stay in SRAM when not all fit, by the least number of output channels: (msb, low, high).
_PARTIAL_PATTERNS = (
    (1024, (0x13, 0x00080000, 0x00000000)),
    (512, (0x3D, 0x00000000, 0x2AAAAAA0)),
    (256, (0x3E, 0xFFFFAAAA, 0x7FFFFFFF)),
    (160, (0x06, 0x0000007E, 0x00000000)),
    (0, (0x3F, 0xFFFFFFFE, 0xFFFFFFFF)),
)


class CacheFields(TypedDict):
    """The NN descriptor's fields about caching."""

    image_caching_mode: int
    kernel_caching_mode: int
    kernel_pattern_msb: int
    kernel_pattern_low: int
    kernel_pattern_high: int
    kernel_cache_start_address: int
    kernel_cache_end_address: int
    image_cache_start_address: int
    image_cache_end_address: int


def align(value: int, step: int) -> int:
    """``value`` rounded up to a multiple of ``step``."""
    return -(-value // step) * step


def image_bytes(tile: Tile, kernel_size: int, planes: int) -> int:
    """What a tile's input takes of the SRAM; nothing where it is read once only."""
    if tile.superblocks == 1:
        return 0
    area = (tile.width + kernel_size - 1) * (tile.height + kernel_size - 1)
    return align(align(area, 16) * planes, 128)


def _partial_pattern(outputs: int) -> tuple[int, int, int]:
    return next(pattern for least, pattern in _PARTIAL_PATTERNS if outputs >= least)


def possible_caching(image: int, outputs: int, coefficient_bytes: int, sram: int) -> list[CacheFields]:
    """All that can be kept in ``sram`` bytes of a tile's input of ``image`` bytes (0: it is read once) and of the
    coefficients, the least first. Windows share no byte; modes, patterns and the kernels' first byte are those that
    the reference driver writes."""
    small = 0 < image < COEFFICIENTS_START  # lies below the coefficients
    after = 0 if small else image
    whole = max(align(COEFFICIENTS_START + coefficient_bytes, 128), SMALLEST_END)
    found = [_fields(CachingMode.NONE, min(SMALLEST_END, sram), 0, (0, 0, 0), sram)]
    for kept, taken in ((0, 0), (image, after)) if image else ((0, 0),):
        rest = (sram - taken) // 128 * 128
        if kept and rest >= SMALLEST_END:
            found.append(_fields(CachingMode.NONE, SMALLEST_END, kept, (0, 0, 0), sram))
        if whole <= rest:
            found.append(_fields(CachingMode.FULL, whole, kept, (0, 0, 0), sram))
        elif rest > SMALLEST_END:
            found.append(_fields(CachingMode.PARTIAL, rest, kept, _partial_pattern(outputs), sram))
    return found


def _fields(mode: CachingMode, end: int, image: int, pattern: tuple[int, int, int], sram: int) -> CacheFields:
    """Coefficients up to byte ``end``, the image behind them, as far as there is room, or, a small one, before."""
    first, last = (0, COEFFICIENTS_START) if image < COEFFICIENTS_START else (end, min(end + image, sram))
    return CacheFields(
        image_caching_mode=CachingMode.FULL if image else CachingMode.NONE,
        kernel_caching_mode=mode,
        kernel_pattern_msb=pattern[0],
        kernel_pattern_low=pattern[1],
        kernel_pattern_high=pattern[2],
        kernel_cache_start_address=COEFFICIENTS_START,
        kernel_cache_end_address=end,
        image_cache_start_address=first,
        image_cache_end_address=last,
    )


def choose_caching(image: int, outputs: int, coefficient_bytes: int, sram: int) -> CacheFields:
    """Split ``sram`` bytes between the coefficients and a tile's input of ``image`` bytes, as the reference driver."""
    mode, pattern = CachingMode.FULL, (0, 0, 0)
    if COEFFICIENTS_START + coefficient_bytes + image < sram:
        end = max(min(align(COEFFICIENTS_START + coefficient_bytes, 128), sram), SMALLEST_END)
    else:
        mode = CachingMode.PARTIAL
        pattern = _partial_pattern(outputs)
        if COEFFICIENTS_START + coefficient_bytes >= sram:
            end, image = sram, 0
        elif image > sram:
            # The reference driver leaves this 0; it names no window at all, and nothing depends on it.
            end, image = 0, 0
        else:
            end = sram - image
    return _fields(mode, end, image, pattern, sram)
