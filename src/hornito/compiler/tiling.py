# SPDX-License-Identifier: MIT
"""How large are the output tile and the superblocks of an NN job?

Source: databook, nn-descriptor.md ("Tiling"): what the reference driver chooses, replayed for four cores.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hornito.compiler.tasks import Convolution
from hornito.hardware import array
from hornito.hardware.chips import Chip
from hornito.hardware.nn import MAX_TILE_X, NNDescriptor

MAX_KERNELS_PER_CORE = NNDescriptor.layout()["kernels_per_core"].largest
MAX_HEIGHT = NNDescriptor.layout()["out_image_tile_y_size"].largest


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
    rules = _RULES[chip.nn_version]
    interleave = array.interleave(chip.nn_version, width, conv.kernels.columns)
    while chip.input_depth * interleave < conv.kernels.rows and width > 1:
        # Kernels taller than the reference driver's: a narrower tile leaves the input buffer more rows.
        width //= 2
        interleave = array.interleave(chip.nn_version, width, conv.kernels.columns)
    height = chip.input_depth * interleave - conv.kernels.rows + 1
    height = min(height, interleave * chip.accumulator_depth, columns * conv.step, rules.max_height)
    if conv.stride > 1 and height % 2:
        height -= 1
    height = max(height, 1)

    per_core = ceil_div(conv.kernels.count, chip.nn_cores)
    most = rules.kernels(conv, chip.accumulator_depth, interleave, width, height)
    most = max(min(most, per_core, MAX_KERNELS_PER_CORE), 1)
    passes = ceil_div(conv.kernels.count, chip.nn_cores * most)
    superblocks = ceil_div(per_core, ceil_div(conv.kernels.count, passes * chip.nn_cores))
    return Tile(width, height, interleave, superblocks, ceil_div(per_core, superblocks))


def _kernels_v7(conv: Convolution, depth: int, interleave: int, width: int, height: int) -> int:
    """How many kernels of a core the accumulators hold at a time."""
    most = depth * interleave // height
    return min(most, depth // 3) if conv.kernels.rows == 1 else most


def _kernels_v8(conv: Convolution, depth: int, interleave: int, width: int, height: int) -> int:
    if conv.kernels.rows == 1:
        most = depth // ceil_div(height, interleave)
    else:
        most = depth // (ceil_div(ceil_div(height * width, conv.stride), 64) * conv.stride)
    return min(most, depth * 6 // 9)


@dataclass(frozen=True)
class _Rules:
    """What differs between the generations of the NN unit."""

    kernels: Callable[[Convolution, int, int, int, int], int]
    max_height: int


_RULES = {
    7: _Rules(_kernels_v7, max_height=MAX_HEIGHT),
    8: _Rules(_kernels_v8, max_height=4),  # a choice for speed on one network, no limit
}
