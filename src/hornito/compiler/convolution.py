# SPDX-License-Identifier: MIT
"""What does the NN descriptor of a convolution say? Also: its coefficients, which the descriptor depends on."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from hornito.compiler import coefficients, coefficients_v8
from hornito.compiler.caching import Taken, caching_of
from hornito.compiler.coefficients import Coefficients, Size
from hornito.compiler.reference_driver import SIZE_MODULUS
from hornito.compiler.requantisation import multiplier_and_shift
from hornito.compiler.shaping import Shaping, reference_shaping
from hornito.compiler.tasks import Convolution
from hornito.compiler.tiling import Tile
from hornito.cost import Geometry
from hornito.hardware.chips import Chip, CoefficientFormat
from hornito.hardware.nn import NNDescriptor, Pooling, split_multiplier, split_offsets

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
    packed = _PACKERS[chip.coefficient_format](conv, shaping, chip)
    caching = caching_of(geometry_of(conv), shaping, Taken(len(packed.blob), packed.cached_bytes), chip)
    own = _version_fields(conv, chip)
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


def geometry_of(conv: Convolution) -> Geometry:
    """What the cost model wants to know of it, as its descriptor will state it."""
    return Geometry(
        conv.input.columns,
        conv.input.rows,
        conv.input.channels,
        conv.output.columns * conv.step,
        conv.output.rows * conv.step,
        conv.output.channels,
        conv.kernels.columns,
        conv.kernels.rows,
        conv.offset_x,
        conv.offset_y,
        conv.depthwise,
        conv.first_pixel,
    )


def _version_fields(conv: Convolution, chip: Chip) -> dict[str, int]:
    """What the NN unit's version 8 has and version 7 has not."""
    if chip.nn_version == 7:
        return {}
    return {"no_z_offset": 1, "no_flush": 1, "depthwise": int(conv.depthwise)}


def measure_coefficients(conv: Convolution, shaping: Shaping, chip: Chip) -> Size:
    """What a convolution's coefficients would take, with the best width of zero runs."""
    if chip.coefficient_format is CoefficientFormat.V8:
        return coefficients_v8.measure(conv.kernels, _blob_shape(conv, shaping), chip.nn_cores)
    shape = _stream_shape(conv, dataclasses.replace(shaping, zero_runs=None))
    return coefficients.measure(conv.kernels, shape, chip.nn_cores, chip.zrl_bits)


def _blob_shape(conv: Convolution, shaping: Shaping) -> coefficients_v8.BlobShape:
    return coefficients_v8.BlobShape(shaping.tile.superblocks, conv.depthwise, shaping.by_residual)


def _stream_shape(conv: Convolution, shaping: Shaping) -> coefficients.StreamShape:
    return coefficients.StreamShape(
        shaping.tile.kernels_per_core,
        conv.target_frame.plane_bytes,
        not conv.runs,
        conv.rows_whole,
        shaping.zero_runs,
    )


def _pack_v7(conv: Convolution, shaping: Shaping, chip: Chip) -> Coefficients:
    shape = _stream_shape(conv, shaping)
    return coefficients.encode(conv.kernels, shape, conv.input_zero_point, chip.nn_cores, chip.zrl_bits)


def _pack_v8(conv: Convolution, shaping: Shaping, chip: Chip) -> Coefficients:
    shape = _blob_shape(conv, shaping)
    return coefficients_v8.encode(conv.kernels, shape, conv.input_zero_point, chip.nn_cores)


_PACKERS: dict[CoefficientFormat, Callable[[Convolution, Shaping, Chip], Coefficients]] = {
    CoefficientFormat.V7: _pack_v7,
    CoefficientFormat.UNPROVEN: _pack_v7,  # an estimate; nothing so packed is ever compiled
    CoefficientFormat.V8: _pack_v8,
}
