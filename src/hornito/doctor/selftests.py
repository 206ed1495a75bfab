# SPDX-License-Identifier: MIT
"""Which networks make a device do each kind of job, and each thing that a descriptor can say?

Small ones: the forms that the reference driver runs on boards, then the recipes of everything beyond.
"""

from collections.abc import Iterator
from functools import partial

from hornito.model.builder import ModelBuilder, Value
from hornito.model.draw import KINDS, Draw, Kind
from hornito.model.graph import Activation, Padding
from hornito.model.layers import Form, addition, convolution, dense, image
from hornito.model.recipes import Append, Recipe, Shape, recipes, single

SAME, VALID = Padding.SAME, Padding.VALID
LEFT_OUT = frozenset({"16400_outputs", "9000_columns", "5000_inputs_stride_2"})  # large, and others do the same

# What the reference driver runs on boards: family, then cases, each a label, the input's shape, and the convolution.
PROVEN: dict[str, tuple[tuple[str, Shape, Form], ...]] = {
    "Conv2D": (
        ("1x1", (8, 8, 32), Form(32)),
        ("1x1_from_one_channel", (8, 8, 1), Form(16)),
        ("1x1_to_one_channel", (8, 8, 16), Form(1)),
        ("1x1_odd_channels", (7, 7, 120), Form(40)),
        ("1x1_stride_2", (8, 8, 16), Form(32, 1, 1, 2, 2)),
        ("3x3_same", (8, 8, 16), Form(32, 3, 3)),
        ("3x3_valid", (8, 8, 16), Form(32, 3, 3, padding=VALID)),
        ("3x3_same_stride_2_of_even", (8, 8, 16), Form(32, 3, 3, 2, 2)),
        ("3x3_same_stride_2_of_odd", (9, 9, 3), Form(16, 3, 3, 2, 2)),
        ("3x3_valid_stride_2", (9, 9, 16), Form(32, 3, 3, 2, 2, VALID)),
        ("3x3_of_one_pixel", (3, 3, 32), Form(32, 3, 3, padding=VALID)),
        ("3x3_wide_tile", (40, 80, 3), Form(8, 3, 3)),
        ("5x5_same", (8, 8, 8), Form(16, 5, 5)),
        ("5x5_same_of_one_channel", (12, 12, 1), Form(16, 5, 5)),
        ("5x5_valid_stride_2", (12, 12, 8), Form(16, 5, 5, 2, 2, VALID)),
        ("3x3_many_channels", (5, 5, 256), Form(160, 3, 3)),
        ("3x3_relu", (8, 8, 16), Form(24, 3, 3, activation=Activation.RELU)),
    ),
    "DepthwiseConv2D": (
        ("3x3_same", (8, 8, 32), Form(0, 3, 3, depthwise=True)),
        ("3x3_valid", (8, 8, 32), Form(0, 3, 3, padding=VALID, depthwise=True)),
        ("3x3_same_stride_2_of_even", (8, 8, 32), Form(0, 3, 3, 2, 2, depthwise=True)),
        ("3x3_same_stride_2_of_odd", (9, 9, 32), Form(0, 3, 3, 2, 2, depthwise=True)),
        ("5x5_same", (8, 8, 16), Form(0, 5, 5, depthwise=True)),
        ("5x5_same_stride_2", (12, 12, 16), Form(0, 5, 5, 2, 2, depthwise=True)),
        ("3x3_one_channel", (8, 8, 1), Form(0, 3, 3, depthwise=True)),
    ),
}


FAST = "Fast"  # the family of networks that are tried at plan level fast
# On one chip or the other, each technique of single jobs changes what some of these are given.
FASTER: tuple[tuple[str, Shape, Form], ...] = (
    ("depthwise_in_groups", (14, 14, 256), Form(0, 3, 3, depthwise=True)),
    ("depthwise_of_stride_2_in_groups", (20, 20, 192), Form(0, 3, 3, 2, 2, depthwise=True)),
    ("stride_2_of_three_channels", (32, 32, 3), Form(16, 3, 3, 2, 2)),
    ("5x5_stride_2", (20, 20, 12), Form(24, 5, 5, 2, 2)),
    ("1x1_in_superblocks", (14, 14, 64), Form(512)),
    ("3x3_in_superblocks", (28, 28, 32), Form(96, 3, 3)),
    ("3x3_on_high_tiles", (40, 24, 16), Form(24, 3, 3)),
    ("1x1_of_stride_2", (21, 21, 24), Form(64, 1, 1, 2, 2)),
)


def selftests() -> Iterator[Recipe]:
    """All of them: unsigned before signed, and within each what is proven on boards first; what level fast makes of
    some last."""
    rest = [recipe for recipe in recipes() if recipe.label not in LEFT_OUT]
    for kind in KINDS:
        for family, members in PROVEN.items():
            for label, shape, form in members:
                yield single(family, label, kind, shape, partial(_convolved, form))
        for family, label, shape, append in _OTHERS:
            yield single(family, label, kind, shape, append)
        yield Recipe("Add", "two_inputs", kind, partial(_sum, (1, 8, 8, 16), kind, Activation.NONE))
        yield Recipe("Add", "any_size_relu", kind, partial(_sum, (1, 13, 17, 5), kind, Activation.RELU))
        yield Recipe("FullyConnected", "16500_to_8", kind, partial(_long_dense, kind))
        yield from (recipe for recipe in rest if recipe.kind is kind)
    for label, shape, form in FASTER:
        yield single(FAST, label, KINDS[0], shape, partial(_convolved, form))


def _convolved(form: Form, builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    return convolution(builder, draw, value, form)


def _sum_of_convolutions(builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    """Two results of different scales, added."""
    first, second = (convolution(builder, draw, value, Form(16, 3, 3), odd=True) for _ in range(2))
    return addition(builder, draw, first, second)


def _dense(units: int, builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    return dense(builder, draw, builder.reshape(value, (1, value.shape[1] * value.shape[2] * value.shape[3])), units)


def _long_dense(kind: Kind, draw: Draw) -> bytes:
    """More inputs than the descriptor's first field for them holds."""
    builder = ModelBuilder()
    builder.output(dense(builder, draw, image(builder, draw, (1, 16500), kind), 8))
    return builder.build()


def _chain(builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    """As in MobileNet: dense, depthwise, pointwise."""
    value = convolution(builder, draw, value, Form(16, 3, 3, 2, 2, activation=Activation.RELU6))
    value = convolution(builder, draw, value, Form(0, 3, 3, depthwise=True, activation=Activation.RELU6))
    return convolution(builder, draw, value, Form(32))


def _sum(shape: tuple[int, ...], kind: Kind, activation: Activation, draw: Draw) -> bytes:
    builder = ModelBuilder()
    values = [image(builder, draw, shape, kind, name) for name in ("first", "second")]
    builder.output(addition(builder, draw, values[0], values[1], activation))
    return builder.build()


_OTHERS: tuple[tuple[str, str, Shape, Append], ...] = (
    ("Add", "of_convolutions", (8, 8, 8), _sum_of_convolutions),
    ("FullyConnected", "128_to_32", (1, 1, 128), partial(_dense, 32)),
    ("FullyConnected", "4096_to_10", (4, 4, 256), partial(_dense, 10)),
    ("Chain", "mobilenet", (16, 16, 3), _chain),
)
