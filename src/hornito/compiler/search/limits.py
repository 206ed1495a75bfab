# SPDX-License-Identifier: MIT
"""What can't an NN job be, by which limit and value? Remarks for people; the search itself never goes there."""

from hornito.compiler.convolution import measure_coefficients
from hornito.compiler.shaping import Shaping
from hornito.compiler.sram import COEFFICIENTS_START, image_bytes
from hornito.compiler.tasks import Convolution
from hornito.compiler.tiling import Tile, choose_tile, load_of, tile_of
from hornito.hardware import array
from hornito.hardware.chips import Chip
from hornito.hardware.nn import MAX_TILE_X


def impossible(conv: Convolution, chip: Chip) -> tuple[str, ...]:
    """Why a job can't have larger tiles, fewer superblocks, more in SRAM, other zero runs or smaller groups."""
    return (*_tiles(conv, chip), *_caching(conv, chip), *_coding(conv, chip), *_groups(conv, chip))


def _widest(conv: Convolution, chip: Chip) -> Tile:
    """The widest tile at its full height."""
    width = min(conv.output.columns * conv.step, MAX_TILE_X)
    shared = array.interleave(chip.nn_version, width, conv.kernels.columns)
    rows = min(array.most_rows(chip, shared, conv.kernels.rows), conv.output.rows * conv.step)
    return tile_of((width, max(rows, 1)), shared, load_of(conv), chip)


def _tiles(conv: Convolution, chip: Chip) -> list[str]:
    found = []
    columns, rows = conv.output.columns * conv.step, conv.output.rows * conv.step
    if columns > MAX_TILE_X:
        found.append(f"tiles wider than {MAX_TILE_X}: that is the widest, of {columns} columns")
    tile = _widest(conv, chip)
    if tile.height < rows:
        found.append(
            f"tiles {tile.width} wide of more than {tile.height} rows, of {rows}: kernels are {conv.kernels.rows} high,"
            f" the input buffer has {chip.input_depth} lines of {tile.interleave} rows"
        )
    if tile.superblocks > 1:
        most = array.most_kernels(chip, conv.kernels.rows, (tile.width, tile.height), tile.interleave, conv.stride)
        per_core = -(-conv.kernels.count // chip.nn_cores)
        found.append(
            f"one superblock with tiles of {tile.width}x{tile.height}: a core has {per_core} kernels; its "
            f"accumulators, {chip.accumulator_depth} deep, hold {most} at a time"
        )
    return found


def _caching(conv: Convolution, chip: Chip) -> list[str]:
    tile = choose_tile(conv, chip)
    size = measure_coefficients(conv, Shaping(tile), chip)
    found = []
    if COEFFICIENTS_START + size.cached_bytes > chip.vip_sram:
        found.append(
            f"all coefficients in SRAM: {size.cached_bytes:,} bytes from {COEFFICIENTS_START:,} on where it has "
            f"{chip.vip_sram:,}"
        )
    image = image_bytes(tile, max(conv.kernels.rows, conv.kernels.columns), conv.input.channels)
    if image and COEFFICIENTS_START + image > chip.vip_sram:
        found.append(
            f"the input of a tile of {tile.width}x{tile.height} in SRAM: {image:,} bytes where it has {chip.vip_sram:,}"
        )
    elif image and COEFFICIENTS_START + size.cached_bytes + image > chip.vip_sram:
        found.append(
            f"both in SRAM with a tile of {tile.width}x{tile.height}: {size.cached_bytes:,} bytes of coefficients and "
            f"{image:,} of input where it has {chip.vip_sram:,}"
        )
    return found


def _coding(conv: Convolution, chip: Chip) -> list[str]:
    if chip.nn_version == 8:
        return ["zero runs: how version 8 codes them is unknown (run_length_size, which drivers write as 0)"]
    if not conv.runs:
        return ["zero runs: the reference driver codes none for such jobs (1x1 kernels, additions)"]
    return [f"zero runs wider than {chip.zrl_bits} bits: the chip's widest"]


def _groups(conv: Convolution, chip: Chip) -> list[str]:
    if conv.depthwise:
        return ["groups of channels: the unit gives each kernel its own plane by itself"]
    if conv.kernels.dense:
        return [f"groups of channels: each kernel sees all {conv.input.channels} planes of its job"]
    return [f"groups of fewer than {chip.nn_cores} channels: cores would stand idle"]
