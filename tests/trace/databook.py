# SPDX-License-Identifier: MIT
"""What does the databook say of every field that a study's values toggle? Written down from its pages, not computed.

A row is a page and section, the job, and its fields: each with its formula where the databook gives it as affine (or as
a product) in the parameter, POWER or -POWER where it is the parameter's binary exponent, DEPENDS where it is neither.
"""

from dataclasses import dataclass, field
from typing import Any

from hornito.model import read_model
from hornito.trace.layer import Layer

DEPENDS, POWER, FALLING_POWER = "depends", "power of two", "-power of two"
LINE = "affine"  # with the numbers of the network, see ``bias``
V7, V8 = "vipnano-qi", "vipnano-si-plus"
BOTH = (V7, V8)
SMALL: dict[str, Any] = {"size": 8, "inputs": 4, "outputs": 8}
TP_CORES = {V7: 4, V8: 3}  # README of the databook

Row = tuple[str, str, dict[str, str]]  # where it stands; the job; its fields


@dataclass(frozen=True)
class Expected:
    """A study: the values of the parameter, what else the network is, and the rows for the chips that it is done on."""

    name: str
    values: str
    rows: tuple[Row, ...]
    layer: dict[str, Any] = field(default_factory=dict)
    chips: tuple[str, ...] = BOTH


def same(fields: str, formula: str) -> dict[str, str]:
    """Several fields that are all the same."""
    return dict.fromkeys(fields.split(), formula)


TRANSPOSE, RESHUFFLE, CONVOLUTION, DETRANSPOSE = "transpose", "reshuffle", "convolution", "detranspose"
# What an offset of the window is made of; bit 4 is version 8's alone.
OFFSETS = "in_image_x_offset in_image_y_offset in_image_x_offset_bit_3 in_image_y_offset_bit_3"
OFFSETS_BIT_4 = "in_image_x_offset_bit_4 in_image_y_offset_bit_4"
MULTIPLIER = "post_multiplier post_multiplier_1_to_6 post_multiplier_7_to_14"
ALL_MULTIPLIER, ALL_SHIFT = {"multiplier, all bits": DEPENDS}, "shift, all bits"

# What is told of coefficients, beyond their weights.
BYTES, ZERO_RUNS, KERNELS = "coefficients, bytes", "coefficients, core 0, zrl_bits", "coefficients, core 0, kernels"
BIAS, OFFSET = "coefficients, bias of output 0", "coefficients, core 1, first output offset"
_WEIGHTS, _ZERO, _IMAGE_ZERO = 36, 7, 5  # a kernel's, its zero point, the image's


def _kernel() -> tuple[int, int]:
    """Of the first output of the network: the sum of its weights, and its bias."""
    graph = read_model(Layer(**SMALL).model())
    weights, bias = (graph.tensor(index).data for index in graph.operators[0].inputs[1:])
    assert weights is not None and bias is not None and weights[0].size == _WEIGHTS
    return int(weights[0].astype(int).sum()), int(bias[0])


def bias(name: str, chip: str) -> str:
    """nn-coefficients.md: bias - izp * sum of (w - wzp); on version 8 bias + (128 - izp) * sum of (w - wzp)."""
    total, start = _kernel()
    middle = 0 if chip == V7 else 128
    if name == "input_zero":
        distance = total - _WEIGHTS * _ZERO
        return line(-distance, name, start + middle * distance)
    return line(-(middle - _IMAGE_ZERO) * _WEIGHTS, name, start + (middle - _IMAGE_ZERO) * total)


def line(slope: int, name: str, start: int) -> str:
    return f"{slope} * {name} {'-' if start < 0 else '+'} {abs(start)}"


TRANSPOSE_SIZE: Row = (
    "tp-descriptor.md, Transpose: x, y, z size are C, W, H",
    TRANSPOSE,
    {
        **same("in_image_y_size in_image_z_size in_tile_y_size in_tile_y_inc", "size"),
        **same("out_loop_0_count out_loop_2_count out_loop_2_inc", "size"),
        **{"in_image_slice": "4 * size", "in_window_y_end": "size - 1", "out_loop_1_inc": "size^2"},
    },
)

STUDIES = (
    Expected(
        "size",
        "5..13",
        (
            TRANSPOSE_SIZE,
            (
                "nn-descriptor.md, Sizes and Fields",
                CONVOLUTION,
                {
                    **same("in_image_x_size in_image_y_size in_image_x_stride in_image_y_stride", "size"),
                    **same("out_image_x_size out_image_y_size out_image_x_stride out_image_y_stride", "size"),
                },
            ),
            ("nn-descriptor.md, Tiling: min(oH, 64)", CONVOLUTION, same("out_image_tile_x_size", DEPENDS)),
            (
                "tp-descriptor.md, Detranspose: x, y size are H, W * C",
                DETRANSPOSE,
                {
                    **same("in_image_x_size in_image_stride out_loop_0_count out_loop_2_count", "size"),
                    **same("in_image_y_size out_loop_2_inc", "8 * size"),
                    **same("in_image_slice out_loop_4_inc", "8 * size^2"),
                    **{"in_window_x_end": "size - 1", "in_window_y_end": "8 * size - 1"},
                },
            ),
        ),
    ),
    Expected(
        "inputs",
        "2..9",
        (
            (
                "tp-descriptor.md, Transpose",
                TRANSPOSE,
                {
                    **same("in_image_x_size in_image_stride out_loop_1_count", "inputs"),
                    **{"in_image_slice": "8 * inputs", "in_window_x_end": "inputs - 1"},
                },
            ),
            ("nn-descriptor.md, Fields: input channels", CONVOLUTION, same("kernel_z_size", "inputs")),
            (
                "nn-descriptor.md, Caching: by the size of the coefficients",
                CONVOLUTION,
                same("kernel_cache_end_address", DEPENDS),
            ),
            ("nn-coefficients.md: of other weights", CONVOLUTION, {BYTES: DEPENDS, BIAS: DEPENDS}),
        ),
    ),
    Expected(
        "outputs",
        "2..30/2",
        (
            ("nn-descriptor.md, Fields: output channels", CONVOLUTION, same("out_image_z_size", "outputs")),
            (
                "nn-descriptor.md, Kernels per core: cd(cd(OC, cores), superblocks)",
                CONVOLUTION,
                same("kernels_per_core", DEPENDS),
            ),
            ("nn-descriptor.md, Caching", CONVOLUTION, same("kernel_cache_end_address", DEPENDS)),
            ("nn-coefficients.md: kpc = cd(OC, used); the blob", CONVOLUTION, {BYTES: DEPENDS, KERNELS: DEPENDS}),
            (
                "tp-descriptor.md, Detranspose",
                DETRANSPOSE,
                {
                    **same("out_loop_0_inc out_loop_3_count", "outputs"),
                    **same("in_image_y_size out_loop_2_inc", "8 * outputs"),
                    **same("in_image_slice out_loop_4_inc", "64 * outputs"),
                    "in_window_y_end": "8 * outputs - 1",
                },
            ),
        ),
    ),
    Expected(
        "kernel",
        "1,3,5",
        (
            ("nn-descriptor.md, Fields", CONVOLUTION, same("kernel_xy_size kernel_y_size", "kernel")),
            ("nn-descriptor.md, Padding: a table", CONVOLUTION, same(OFFSETS, DEPENDS)),
            ("nn-descriptor.md, Caching", CONVOLUTION, same("kernel_cache_end_address", DEPENDS)),
            ("nn-coefficients.md: of other weights", CONVOLUTION, {BYTES: DEPENDS, BIAS: DEPENDS}),
        ),
        chips=(V7,),
    ),
    Expected(
        "kernel",
        "1,3,5",
        (
            ("nn-descriptor.md, Fields", CONVOLUTION, same("kernel_xy_size kernel_y_size", "kernel")),
            ("nn-descriptor.md, Padding: a table", CONVOLUTION, same(f"{OFFSETS} {OFFSETS_BIT_4}", DEPENDS)),
            ("nn-descriptor.md, Caching", CONVOLUTION, same("kernel_cache_end_address", DEPENDS)),
            ("nn-coefficients.md: of other weights", CONVOLUTION, {BYTES: DEPENDS, BIAS: DEPENDS}),
        ),
        chips=(V8,),
    ),
    Expected(
        "input_zero",
        "0..60/12",
        (
            ("tp-descriptor.md, Transpose: in = out = zp", TRANSPOSE, same("in_zp out_zp", "input_zero")),
            ("nn-descriptor.md, Fields", CONVOLUTION, same("in_image_border_const", "input_zero")),
            ("nn-coefficients.md, Version 7, Fields inside a kernel; Version 8", CONVOLUTION, {BIAS: LINE}),
        ),
    ),
    Expected(
        "weight_zero",
        "0..60/12",
        (
            ("nn-descriptor.md, Fields", CONVOLUTION, same("coef_zero_point", "weight_zero")),
            ("nn-coefficients.md, Version 7, Fields inside a kernel; Version 8", CONVOLUTION, {BIAS: LINE}),
        ),
    ),
    Expected(
        "output_zero",
        "0..250/25",
        (
            ("nn-descriptor.md, Fields", CONVOLUTION, same("out_zero_point", "output_zero")),
            ("tp-descriptor.md, Detranspose: in = out = zp", DETRANSPOSE, same("in_zp out_zp", "output_zero")),
        ),
    ),
    # Scales that are each other's powers of two: the mantissa stays.
    Expected(
        "output_scale",
        "0.05,0.1,0.2,0.4,0.8",
        (
            ("nn-descriptor.md, Requantisation: 142 - e, v8 127 - e", CONVOLUTION, {"post_shift": POWER}),
            ("nn-descriptor.md, Requantisation", CONVOLUTION, {ALL_SHIFT: POWER}),
        ),
    ),
    Expected(
        "weight_scale",
        "0.005,0.01,0.02,0.04",
        (
            ("nn-descriptor.md, Requantisation: 142 - e, v8 127 - e", CONVOLUTION, {"post_shift": FALLING_POWER}),
            ("nn-descriptor.md, Requantisation", CONVOLUTION, {ALL_SHIFT: FALLING_POWER}),
        ),
    ),
    # Any scales: the mantissa is no simple function of them.
    Expected(
        "input_scale",
        "0.01..0.07/0.01",
        (
            ("nn-descriptor.md, Requantisation: 142 - e", CONVOLUTION, {"post_shift": FALLING_POWER}),
            ("nn-descriptor.md, Requantisation", CONVOLUTION, {ALL_SHIFT: FALLING_POWER}),
            (
                "nn-descriptor.md, Requantisation: (b >> 8) & 0x7FFF",
                CONVOLUTION,
                same(MULTIPLIER, DEPENDS) | ALL_MULTIPLIER,
            ),
        ),
        chips=(V7,),
    ),
    Expected(
        "input_scale",
        "0.01..0.07/0.01",
        (
            ("nn-descriptor.md, Requantisation: 127 - e", CONVOLUTION, {"post_shift": FALLING_POWER}),
            ("nn-descriptor.md, Requantisation", CONVOLUTION, {ALL_SHIFT: FALLING_POWER}),
            (
                "nn-descriptor.md, Requantisation: m",
                CONVOLUTION,
                same(f"{MULTIPLIER} post_multiplier_15_to_22", DEPENDS) | ALL_MULTIPLIER,
            ),
        ),
        chips=(V8,),
    ),
    # Stride 2: the reshuffle, on several cores.
    Expected(
        "size",
        "20..31",
        (
            TRANSPOSE_SIZE,
            (
                "tp-descriptor.md, Reshuffle; the window ends at 2 * ox - 1 - pad_x, ox = ceil(W / 2) + 1",
                RESHUFFLE,
                {
                    **same("in_image_x_size in_image_stride", "size"),
                    **{"in_image_slice": "size^2", "in_window_x_end": "size + 1"},
                },
            ),
            (
                "tp-descriptor.md, Reshuffle: of oh, ow = ceil(H / 2) + 1, and the parity of H",
                RESHUFFLE,
                {
                    **same("in_tile_x_size in_tile_x_inc in_window_x_start", DEPENDS),
                    **same("out_loop_0_inc out_loop_1_count out_loop_2_inc out_loop_3_inc out_loop_6_inc", DEPENDS),
                },
            ),
            (
                "tp-descriptor.md, Several cores: split along y",
                RESHUFFLE,
                same("in_image_y_size in_window_y_end in_tile_y_size in_tile_y_inc out_loop_3_count", DEPENDS),
            ),
            (
                "nn-descriptor.md, Sizes; lowering.md, strided_to_normal: ceil(iH / 2) + 1",
                CONVOLUTION,
                {
                    **same("in_image_x_size in_image_y_size in_image_x_stride in_image_y_stride", DEPENDS),
                    **same("out_image_x_size out_image_y_size out_image_x_stride out_image_y_stride", DEPENDS),
                },
            ),
            ("nn-descriptor.md, Tiling", CONVOLUTION, same("out_image_tile_x_size", DEPENDS)),
            (
                "tp-descriptor.md, Detranspose, of ceil(H / 2)",
                DETRANSPOSE,
                {
                    **same("in_image_x_size in_image_stride out_loop_0_count out_loop_2_count", DEPENDS),
                    **same("in_image_y_size out_loop_2_inc in_image_slice out_loop_4_inc", DEPENDS),
                    **same("in_window_x_end in_window_y_end", DEPENDS),
                },
            ),
        ),
        {"stride": 2},
    ),
)

# Of the reshuffle's cores, what the first alone has (the leading border), and what it alone has not.
FIRST_CORE_ALONE = {"in_window_y_start": DEPENDS}
OTHER_CORES_ALONE = same("in_image_base_address out_image_base_address", DEPENDS)
# On version 7 a tile is as high as the image for a while (on version 8 four rows, whatever the size), and coefficients
# have the offsets of outputs: oc * oH * oW, with oc = 1 for core 1's first kernel (nn-coefficients.md).
SIZE_V7 = {"out_image_tile_y_size": DEPENDS, OFFSET: "size^2"}
SIZE_V7_STRIDE_2 = {"out_image_tile_y_size": DEPENDS, OFFSET: DEPENDS}
# Core 1's first kernel is that of output cd(OC, used); zero runs are looked for in other weights.
OUTPUTS_V7 = {OFFSET: DEPENDS, ZERO_RUNS: DEPENDS}
