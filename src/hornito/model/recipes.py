# SPDX-License-Identifier: MIT
"""Which small networks try each operator in its forms? What the reference driver refuses, or never tested, most of all.

A few of each kind, for each operator. Who tests a device, or the whole of the matrix, runs these.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from hornito.model import transforms
from hornito.model.builder import ModelBuilder, Value
from hornito.model.draw import KINDS, Draw, Kind
from hornito.model.graph import Activation, Padding, Pool2DOptions
from hornito.model.layers import Form, addition, convolution, dense, image

SAME, VALID = Padding.SAME, Padding.VALID
Shape = tuple[int, int, int]  # rows, columns, channels
Append = Callable[[ModelBuilder, Draw, Value], Value]

# Family: its cases, each a label, the input's shape, and the convolution.
CONVOLUTIONS: dict[str, tuple[tuple[str, Shape, Form], ...]] = {
    "Activation": (
        ("relu", (8, 9, 16), Form(24, 3, 3, activation=Activation.RELU)),
        ("relu6", (8, 9, 16), Form(24, 3, 3, activation=Activation.RELU6)),
        ("relu6_depthwise", (8, 9, 16), Form(0, 3, 3, depthwise=True, activation=Activation.RELU6)),
    ),
    "Dilation": (
        ("kernel_3_by_2_same", (12, 12, 16), Form(24, 3, 3, dilation=2)),
        ("kernel_3_by_2_valid", (12, 12, 16), Form(24, 3, 3, padding=VALID, dilation=2)),
        ("kernel_3_by_4_same", (20, 20, 8), Form(8, 3, 3, dilation=4)),
        ("kernel_5_by_2_same", (20, 20, 8), Form(8, 5, 5, dilation=2)),
        ("depthwise_3_by_2_same", (12, 12, 16), Form(0, 3, 3, dilation=2, depthwise=True)),
    ),
    "UnequalStrides": (
        ("1x2_same", (9, 12, 8), Form(16, 3, 3, 1, 2)),
        ("2x1_same", (9, 12, 8), Form(16, 3, 3, 2, 1)),
        ("1x2_valid", (9, 12, 8), Form(16, 3, 3, 1, 2, VALID)),
        ("2x1_pointwise", (8, 8, 8), Form(16, 1, 1, 2, 1)),
        ("1x2_depthwise", (9, 12, 8), Form(0, 3, 3, 1, 2, depthwise=True)),
    ),
    "LargeStrides": (
        ("3_same", (13, 13, 8), Form(16, 3, 3, 3, 3)),
        ("3_valid", (13, 13, 8), Form(16, 5, 5, 3, 3, VALID)),
        ("4_same", (16, 16, 3), Form(16, 5, 5, 4, 4)),
        ("4_valid", (16, 16, 3), Form(16, 7, 7, 4, 4, VALID)),
        ("4_pointwise", (16, 16, 8), Form(8, 1, 1, 4, 4)),
        ("3_depthwise", (13, 13, 8), Form(0, 3, 3, 3, 3, depthwise=True)),
    ),
    "DepthMultiplier": (
        ("1_by_8", (9, 9, 1), Form(0, 3, 3, depthwise=True, multiplier=8)),
        ("3_by_2", (9, 9, 3), Form(0, 3, 3, depthwise=True, multiplier=2)),
        ("8_by_4_stride_2", (9, 9, 8), Form(0, 3, 3, 2, 2, depthwise=True, multiplier=4)),
    ),
    "Grouped": (
        ("2", (9, 9, 8), Form(16, 3, 3, groups=2)),
        ("4_pointwise", (9, 9, 16), Form(16, 1, 1, groups=4)),
        ("2_stride_2", (9, 9, 8), Form(16, 3, 3, 2, 2, groups=2)),
    ),
    "Kernels": (
        ("2x2_same", (9, 9, 8), Form(16, 2, 2)),
        ("2x2_valid_stride_2", (10, 10, 8), Form(16, 2, 2, 2, 2, VALID)),
        ("4x4_same", (9, 9, 8), Form(16, 4, 4)),
        ("7x7_same", (14, 14, 3), Form(16, 7, 7)),
        ("7x7_same_stride_2", (14, 14, 3), Form(16, 7, 7, 2, 2)),
        ("11x11_valid", (16, 16, 3), Form(8, 11, 11, padding=VALID)),
        ("1x3_same", (9, 9, 8), Form(16, 1, 3)),
        ("3x1_same", (9, 9, 8), Form(16, 3, 1)),
        ("5x3_valid", (9, 9, 8), Form(16, 5, 3, padding=VALID)),
        ("1x7_same", (9, 9, 8), Form(8, 1, 7)),
        ("7x7_depthwise", (14, 14, 8), Form(0, 7, 7, depthwise=True)),
        ("2x2_depthwise", (9, 9, 8), Form(0, 2, 2, depthwise=True)),
    ),
    "Tall": (
        ("3x3_same", (16, 8, 8), Form(16, 3, 3)),
        ("3x3_valid_stride_2", (17, 8, 8), Form(16, 3, 3, 2, 2, VALID)),
        ("1x1", (16, 8, 8), Form(16)),
        ("5x5_depthwise", (16, 8, 8), Form(0, 5, 5, depthwise=True)),
        ("100x4", (100, 4, 8), Form(16, 3, 3)),
    ),
    "Large": (
        ("9000_columns", (1, 9000, 2), Form(4, 1, 1)),
        ("9000_rows", (9000, 4, 2), Form(4, 3, 3)),
        ("5000_columns_first_pixel", (4, 5000, 4), Form(4, 1, 1, 2, 2)),
        ("16400_inputs", (2, 2, 16400), Form(4, 1, 1)),
        ("16400_outputs", (2, 2, 4), Form(16400, 1, 1)),
        ("5000_inputs_stride_2", (5, 5, 5000), Form(4, 3, 3, 2, 2)),
    ),
}
PER_AXIS: tuple[tuple[str, Shape, Form], ...] = (
    ("conv_3", (9, 9, 16), Form(32, 3, 3, scales=4.0)),
    ("conv_1", (9, 9, 16), Form(33, 1, 1, scales=4.0)),
    ("conv_5_stride_2", (12, 12, 8), Form(16, 5, 5, 2, 2, scales=4.0)),
    ("conv_3_alike", (9, 9, 16), Form(32, 3, 3, scales=1.01)),
    ("conv_3_far_apart", (9, 9, 16), Form(32, 3, 3, scales=100.0)),
    ("depthwise_3", (9, 9, 32), Form(0, 3, 3, depthwise=True, scales=4.0)),
    ("depthwise_5_stride_2", (12, 12, 32), Form(0, 5, 5, 2, 2, depthwise=True, scales=4.0)),
)


@dataclass(frozen=True)
class Recipe:
    """How to make one network: the operators that it is about, what is special about them, and its file."""

    family: str
    label: str
    kind: Kind
    make: Callable[[Draw], bytes]


def recipes() -> Iterator[Recipe]:
    """All families, each for uint8 and int8; weights with a scale for each channel are int8's alone."""
    for kind in KINDS:
        for family, members in CONVOLUTIONS.items():
            for label, shape, form in members:
                yield single(family, label, kind, shape, partial(_convolution, form))
        for family, operators in OPERATORS.items():
            for label, shape, append in operators:
                yield single(family, label, kind, shape, append)
        yield from _joints(kind)
    for label, shape, form in PER_AXIS:
        yield single("PerAxis", label, np.int8, shape, partial(_convolution, form))


def single(family: str, label: str, kind: Kind, shape: Shape, append: Append) -> Recipe:
    """A network of one operator, or of what ``append`` appends."""
    return Recipe(family, label, kind, partial(_single, kind, shape, append))


def _single(kind: Kind, shape: Shape, append: Append, draw: Draw) -> bytes:
    builder = ModelBuilder()
    builder.output(append(builder, draw, image(builder, draw, (1, *shape), kind)))
    return builder.build()


def _convolution(form: Form, builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    return convolution(builder, draw, value, form)


def _average(options: Pool2DOptions, builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    return builder.average_pool(value, options)


def _largest(options: Pool2DOptions, builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    return builder.max_pool(value, options)


def _mean(keep: bool, builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    return builder.mean(value, (1, 2), keep_dims=keep)


def _elementwise(kind: str, builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    return builder.elementwise(kind, value, quantization=transforms.result_of(kind, value))


OPERATORS: dict[str, tuple[tuple[str, Shape, Append], ...]] = {
    "AveragePool": (
        ("2x2_stride_2", (8, 8, 16), partial(_average, Pool2DOptions(VALID, 2, 2, 2, 2))),
        ("3x3_same", (8, 9, 16), partial(_average, Pool2DOptions(SAME, 1, 1, 3, 3))),
        ("3x3_same_stride_2", (9, 8, 16), partial(_average, Pool2DOptions(SAME, 2, 2, 3, 3))),
        ("2x2_same_stride_2", (9, 8, 16), partial(_average, Pool2DOptions(SAME, 2, 2, 2, 2))),
        ("7x7_whole", (7, 7, 32), partial(_average, Pool2DOptions(VALID, 1, 1, 7, 7))),
    ),
    "Mean": (
        ("7x7", (7, 7, 32), partial(_mean, True)),
        ("7x7_flat", (7, 7, 32), partial(_mean, False)),
        ("5x9", (5, 9, 8), partial(_mean, True)),
    ),
    "MaxPool": (
        ("2x2_stride_2", (8, 8, 16), partial(_largest, Pool2DOptions(VALID, 2, 2, 2, 2))),
        ("3x3_same", (8, 9, 16), partial(_largest, Pool2DOptions(SAME, 1, 1, 3, 3))),
    ),
    "TransposeConv": (
        ("2x2_stride_2", (6, 7, 8), partial(transforms.transposed, 16, 2, 2, VALID)),
        ("3x3_stride_2_same", (6, 7, 8), partial(transforms.transposed, 16, 3, 2, SAME)),
        ("4x4_stride_2_same", (6, 7, 8), partial(transforms.transposed, 8, 4, 2, SAME)),
        ("3x3_stride_1_same", (6, 7, 8), partial(transforms.transposed, 8, 3, 1, SAME)),
    ),
    "Pad": (
        ("1", (8, 9, 8), partial(transforms.padded, ((0, 0), (1, 1), (1, 1), (0, 0)))),
        ("0_1", (8, 9, 8), partial(transforms.padded, ((0, 0), (0, 1), (0, 1), (0, 0)))),
        ("2_3", (8, 9, 8), partial(transforms.padded, ((0, 0), (2, 2), (3, 3), (0, 0)))),
        ("channels", (8, 9, 8), partial(transforms.padded, ((0, 0), (0, 0), (0, 0), (0, 4)))),
    ),
    "PadV2": (("1_2", (8, 9, 8), partial(transforms.bordered, ((0, 0), (1, 2), (0, 3), (0, 0)))),),
    "Slice": (("corner", (8, 9, 8), partial(transforms.cut_out, (1, 2, 4), (5, 6, 3))),),
    "Requantise": (("zero_point", (8, 9, 8), partial(transforms.requantised, 3)),),
    "ResizeNearest": (
        ("by_2", (6, 8, 8), partial(transforms.resized, 12, 16)),
        ("by_4", (5, 5, 3), partial(transforms.resized, 20, 20)),
        ("by_3_half", (6, 8, 8), partial(transforms.resized, 9, 12)),
    ),
    "StridedSlice": (
        ("corner", (8, 9, 8), partial(transforms.sliced, (1, 2, 0), (7, 8, 8), (1, 1, 1))),
        ("every_second", (8, 10, 8), partial(transforms.sliced, (0, 0, 0), (8, 10, 8), (2, 2, 1))),
        ("channels", (8, 9, 8), partial(transforms.sliced, (0, 0, 2), (8, 9, 6), (1, 1, 1))),
    ),
    "DepthToSpace": (
        ("2", (5, 6, 16), partial(transforms.spread, 2)),
        ("4", (3, 3, 32), partial(transforms.spread, 4)),
    ),
    "SpaceToDepth": (
        ("2", (8, 10, 4), partial(transforms.gathered, 2)),
        ("4", (8, 12, 3), partial(transforms.gathered, 4)),
    ),
    "Transpose": (
        ("planes", (6, 7, 8), partial(transforms.turned, (0, 3, 1, 2))),
        ("pixels", (6, 7, 8), partial(transforms.turned, (0, 2, 3, 1))),
        ("rows_and_columns", (6, 7, 8), partial(transforms.turned, (0, 2, 1, 3))),
    ),
    "Elementwise": (
        ("logistic", (6, 7, 8), partial(_elementwise, "LOGISTIC")),
        ("hard_swish", (6, 7, 8), partial(_elementwise, "HARD_SWISH")),
        ("relu", (6, 7, 8), partial(_elementwise, "RELU")),
        ("relu6_alone", (6, 7, 8), partial(_elementwise, "RELU6")),
    ),
}


def _joints(kind: Kind) -> Iterator[Recipe]:
    """What moves no data at the proven level, or only renames it, with convolutions around it."""
    for label, parts in (("2", 2), ("4", 4)):
        yield Recipe("Concatenation", label, kind, partial(_joined, kind, parts))
        yield Recipe("Split", label, kind, partial(_parted, kind, parts))
    yield Recipe("Concatenation", "rows", kind, partial(_joined_rows, kind))
    yield Recipe("Split", "rows", kind, partial(_parted_rows, kind))
    yield Recipe("SplitV", "channels", kind, partial(_parted_unevenly, kind))
    yield Recipe("Squeeze", "row", kind, partial(_squeezed_row, kind))
    yield Recipe("ExpandDims", "image", kind, partial(_expanded_image, kind))
    yield Recipe("Reshape", "to_dense", kind, partial(_reshaped, kind, True))
    yield Recipe("Reshape", "rows_to_columns", kind, partial(_reshaped, kind, False))
    yield Recipe("Squeeze", "pixel", kind, partial(_squeezed, kind))
    yield Recipe("ExpandDims", "pixel", kind, partial(_expanded, kind))
    yield Recipe("Tall", "add", kind, partial(_tall_sum, kind))


def _joined(kind: Kind, parts: int, draw: Draw) -> bytes:
    """Convolutions of one input, each with a result of its own, behind each other."""
    builder = ModelBuilder()
    value = image(builder, draw, (1, 8, 9, 8), kind)
    values = [convolution(builder, draw, value, Form(12, 3, 3))]
    while len(values) < parts:
        values.append(convolution(builder, draw, value, Form(12, 3, 3), given=values[0].quantization))
    builder.output(builder.concatenation(values, 3), *values)
    return builder.build()


def _parted(kind: Kind, parts: int, draw: Draw) -> bytes:
    """A convolution, its result in parts, and a convolution of the last part."""
    builder = ModelBuilder()
    value = convolution(builder, draw, image(builder, draw, (1, 8, 9, 8), kind), Form(16, 3, 3))
    split = builder.split(value, parts, 3)
    builder.output(convolution(builder, draw, split[-1], Form(8, 3, 3)), value, *split)
    return builder.build()


def _joined_rows(kind: Kind, draw: Draw) -> bytes:
    """Two images of one quantisation above each other, and a convolution of the whole."""
    builder = ModelBuilder()
    first = convolution(builder, draw, image(builder, draw, (1, 5, 6, 8), kind), Form(8, 3, 3))
    form = Form(8, 3, 3)
    second = convolution(
        builder, draw, image(builder, draw, (1, 4, 6, 8), kind, "below"), form, given=first.quantization
    )
    whole = builder.concatenation([first, second], 1)
    builder.output(convolution(builder, draw, whole, Form(8)), first, second, whole)
    return builder.build()


def _parted_rows(kind: Kind, draw: Draw) -> bytes:
    builder = ModelBuilder()
    value = convolution(builder, draw, image(builder, draw, (1, 8, 6, 8), kind), Form(16, 3, 3))
    split = builder.split(value, 2, 1)
    builder.output(convolution(builder, draw, split[-1], Form(8, 3, 3)), value, *split)
    return builder.build()


def _parted_unevenly(kind: Kind, draw: Draw) -> bytes:
    builder = ModelBuilder()
    value = convolution(builder, draw, image(builder, draw, (1, 8, 9, 8), kind), Form(18, 3, 3))
    split = transforms.parted((4, 6, 8), 2 + 1, builder, value)
    builder.output(convolution(builder, draw, split[-1], Form(8, 3, 3)), value, *split)
    return builder.build()


def _squeezed_row(kind: Kind, draw: Draw) -> bytes:
    """A row of pixels, whose planes have to be turned back."""
    builder = ModelBuilder()
    row = convolution(builder, draw, image(builder, draw, (1, 3, 6, 8), kind), Form(16, 3, 3, padding=VALID))
    builder.output(transforms.squeezed(builder, row, (1,)), row)
    return builder.build()


def _expanded_image(kind: Kind, draw: Draw) -> bytes:
    builder = ModelBuilder()
    value = convolution(builder, draw, image(builder, draw, (1, 5, 6, 8), kind), Form(16, 3, 3))
    builder.output(transforms.expanded(builder, value), value)
    return builder.build()


def _reshaped(kind: Kind, flat: bool, draw: Draw) -> bytes:
    builder = ModelBuilder()
    value = convolution(builder, draw, image(builder, draw, (1, 4, 6, 8), kind), Form(16, 3, 3))
    if flat:
        view = builder.reshape(value, (1, 4 * 6 * 16))
        builder.output(dense(builder, draw, view, 10), value, view)
    else:
        view = builder.reshape(value, (1, 2, 12, 16))
        builder.output(convolution(builder, draw, view, Form(8)), value, view)
    return builder.build()


def _pixel(builder: ModelBuilder, draw: Draw, kind: Kind) -> Value:
    """A single pixel of many channels, as global pooling gives."""
    return convolution(builder, draw, image(builder, draw, (1, 5, 5, 8), kind), Form(32, 5, 5, padding=VALID))


def _squeezed(kind: Kind, draw: Draw) -> bytes:
    builder = ModelBuilder()
    value = _pixel(builder, draw, kind)
    view = transforms.squeezed(builder, value)
    builder.output(dense(builder, draw, view, 10), value, view)
    return builder.build()


def _expanded(kind: Kind, draw: Draw) -> bytes:
    builder = ModelBuilder()
    flat = dense(builder, draw, image(builder, draw, (1, 64), kind), 32)
    row = transforms.expanded(builder, flat)
    pixel = transforms.expanded(builder, row)
    builder.output(convolution(builder, draw, pixel, Form(16)), flat, row, pixel)
    return builder.build()


def _tall_sum(kind: Kind, draw: Draw) -> bytes:
    builder = ModelBuilder()
    shape = (1, 16, 8, 8)
    values = [image(builder, draw, shape, kind, name) for name in ("first", "second")]
    builder.output(addition(builder, draw, values[0], values[1]))
    return builder.build()
