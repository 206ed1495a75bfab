# SPDX-License-Identifier: MIT
"""How large are the output tile and the superblocks of an NN job?

Source: databook, nn-descriptor.md ("Tiling"): what the reference driver chooses, replayed for four cores.
"""

from dataclasses import dataclass

from hornito.compiler.tasks import Convolution
from hornito.hardware import array
from hornito.hardware.chips import Chip
from hornito.hardware.nn import MAX_TILE_X, NNDescriptor

MAX_KERNELS_PER_CORE = NNDescriptor.layout()["kernels_per_core"].largest
MAX_HEIGHT = NNDescriptor.layout()["out_image_tile_y_size"].largest
# Of the reference driver's tiles; version 8's is a choice for speed on one network, no limit.
_HIGHEST = {7: MAX_HEIGHT, 8: 4}


@dataclass(frozen=True)
class Tile:
    """The output rectangle (elements) computed at once, and how the kernels are dealt into superblocks."""

    width: int
    height: int
    interleave: int
    superblocks: int
    kernels_per_core: int  # per superblock


def ceil_div(value: int, divisor: int) -> int:
    """Quotient rounded up."""
    return -(-value // divisor)


def choose_tile(conv: Convolution, chip: Chip) -> Tile:
    """The reference driver's tile: its width comes from the output's rows, its height from the columns."""
    rows, columns = conv.tiled or (conv.output.rows, conv.output.columns)
    width = min(rows * conv.step, MAX_TILE_X)
    interleave = array.interleave(chip.nn_version, width, conv.kernels.columns)
    while chip.input_depth * interleave < conv.kernels.rows and width > 1:
        # Kernels taller than the reference driver's: a narrower tile leaves the input buffer more rows.
        width //= 2
        interleave = array.interleave(chip.nn_version, width, conv.kernels.columns)
    height = min(array.most_rows(chip, interleave, conv.kernels.rows), columns * conv.step, _HIGHEST[chip.nn_version])
    if conv.stride > 1 and height % 2:
        height -= 1
    return tile_of((width, max(height, 1)), interleave, load_of(conv), chip)


@dataclass(frozen=True)
class Load:
    """What superblocks depend on beside the tile: how many kernels there are, their rows, and the model's stride."""

    kernels: int
    rows: int
    stride: int


def load_of(conv: Convolution) -> Load:
    return Load(conv.kernels.count, conv.kernels.rows, conv.stride)


def tile_of(size: tuple[int, int], interleave: int, load: Load, chip: Chip) -> Tile:
    """The tile of that many columns and rows, with as few superblocks as the accumulators allow."""
    per_core = ceil_div(load.kernels, chip.nn_cores)
    most = array.most_kernels(chip, load.rows, size, interleave, load.stride)
    most = max(min(most, per_core, MAX_KERNELS_PER_CORE), 1)
    passes = ceil_div(load.kernels, chip.nn_cores * most)
    superblocks = ceil_div(per_core, ceil_div(load.kernels, passes * chip.nn_cores))
    return Tile(*size, interleave, superblocks, ceil_div(per_core, superblocks))
