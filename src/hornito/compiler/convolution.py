# SPDX-License-Identifier: MIT
"""What does the NN descriptor of a convolution say? Also: its coefficients, which the descriptor depends on."""

from collections.abc import Callable
from dataclasses import dataclass

from hornito.compiler import coefficients, coefficients_v8
from hornito.compiler.coefficients import Coefficients
from hornito.compiler.reference_driver import SIZE_MODULUS
from hornito.compiler.requantisation import multiplier_and_shift
from hornito.compiler.shaping import Shaping, reference_shaping
from hornito.compiler.sram import choose_caching
from hornito.compiler.tasks import Convolution
from hornito.compiler.tiling import Tile
from hornito.hardware.chips import Chip, CoefficientFormat
from hornito.hardware.nn import CachingMode, NNDescriptor, Pooling, split_multiplier, split_offsets

KERNEL_Z_BITS = 14  # of the input channels; the rest has a field of its own, which no driver has used yet
KERNEL_Z_MASK = (1 << KERNEL_Z_BITS) - 1
UNCUT = 1 << 32  # sizes that do not fit their fields are refused when the descriptor is encoded


@dataclass(frozen=True, eq=False)
class EncodedConvolution:
    """A convolution's descriptor with all three addresses 0, its coefficients, and its tile."""

    descriptor: NNDescriptor
    coefficients: Coefficients
    tile: Tile


def encode_convolution(conv: Convolution, chip: Chip, shaping: Shaping | None = None) -> EncodedConvolution:
    """Pack the weights, choose caching, fill the descriptor. Without ``shaping``, as the reference driver does it."""
    shaping = shaping or reference_shaping(conv, chip)
    tile = shaping.tile
    packed = _PACKERS[chip.coefficient_format](conv, tile, chip)
    caching = choose_caching(
        tile,
        max(conv.kernels.rows, conv.kernels.columns),
        conv.input.channels,
        conv.output.channels,
        packed.cached_bytes,
        chip.vip_sram,
    )
    own = _version_fields(conv, chip)
    if chip.nn_version == 8:
        # The reference driver turns caching off there, but leaves the addresses that it would have used.
        caching |= {"image_caching_mode": CachingMode.NONE, "kernel_caching_mode": CachingMode.NONE}
    multiplier, shift = multiplier_and_shift(conv.factor, chip.nn_version)
    cut = SIZE_MODULUS if conv.wraps else UNCUT
    seen, written = conv.source_frame, conv.target_frame
    descriptor = NNDescriptor(
        kernel_xy_size=conv.kernels.columns,
        kernel_y_size=conv.kernels.rows,
        kernel_z_size=conv.input.channels & KERNEL_Z_MASK,
        kernel_z_size2=conv.input.channels >> KERNEL_Z_BITS,
        kernels_per_core=tile.kernels_per_core,
        pooling=Pooling.FIRST_PIXEL if conv.first_pixel else Pooling.NONE,
        pooling_xy_size=0 if conv.first_pixel else 1,
        in_image_x_size=conv.input.columns % cut,
        in_image_y_size=conv.input.rows % cut,
        in_image_x_stride=seen.columns,
        in_image_y_stride=seen.rows,
        out_image_x_size=conv.output.columns * conv.step % cut,
        out_image_y_size=conv.output.rows * conv.step % cut,
        out_image_z_size=conv.output.channels,
        out_image_x_stride=written.columns % cut,
        out_image_y_stride=written.rows,
        out_image_tile_x_size=tile.width,
        out_image_tile_y_size=tile.height,
        kernel_address=0,
        in_image_address=0,
        out_image_address=0,
        in_image_border_const=conv.input_zero_point,
        coef_zero_point=conv.kernels.zero,
        out_zero_point=conv.output_zero_point,
        relu=int(conv.relu),
        **own,
        **caching,
        **split_offsets(conv.offset_x, conv.offset_y, chip.offset_bits),
        **split_multiplier(multiplier, shift),
    )
    return EncodedConvolution(descriptor, packed, tile)


def _version_fields(conv: Convolution, chip: Chip) -> dict[str, int]:
    """What the NN unit's version 8 has and version 7 has not."""
    if chip.nn_version == 7:
        return {}
    return {"no_z_offset": 1, "no_flush": 1, "depthwise": int(conv.depthwise)}


def _pack_v7(conv: Convolution, tile: Tile, chip: Chip) -> Coefficients:
    shape = coefficients.StreamShape(
        tile.kernels_per_core, conv.target_frame.plane_bytes, not conv.runs, conv.rows_whole
    )
    return coefficients.encode(conv.kernels, shape, conv.input_zero_point, chip.nn_cores, chip.zrl_bits)


def _pack_v8(conv: Convolution, tile: Tile, chip: Chip) -> Coefficients:
    return coefficients_v8.encode(conv.kernels, tile.superblocks, conv.input_zero_point, conv.depthwise, chip.nn_cores)


_PACKERS: dict[CoefficientFormat, Callable[[Convolution, Tile, Chip], Coefficients]] = {
    CoefficientFormat.V7: _pack_v7,
    CoefficientFormat.UNPROVEN: _pack_v7,  # an estimate; nothing so packed is ever compiled
    CoefficientFormat.V8: _pack_v8,
}
