# SPDX-License-Identifier: MIT
"""CONV_2D and DEPTHWISE_CONV_2D: which can the NPU run, and as which jobs?

Source: databook, lowering.md ("Convolutions"); the golden files compare every byte.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hornito.compiler import reference_driver
from hornito.compiler.operators import common
from hornito.compiler.operators.common import MAX_CHANNELS, MAX_SIZE
from hornito.compiler.requantisation import multiplier_and_shift, scale_factor
from hornito.compiler.rules import SIGN_SHIFT, Candidate, Rule, shapes, zero_point
from hornito.compiler.search import Alternative
from hornito.compiler.segment import Segment, shape_of
from hornito.compiler.tasks import Convolution, Reshuffle, Shape
from hornito.compiler.weights import Kernels, convolution_kernels, depthwise_kernels, grown_to_2x2, without_stride
from hornito.errors import Unsupported
from hornito.hardware.chips import Chip
from hornito.model.graph import Activation, Conv2DOptions, DepthwiseOptions, Padding, Tensor
from hornito.model.quantization import output_size, pad_before

PROVEN_KERNELS = (1, 3, 5)
# A dense depthwise stride of 2 keeps the first pixel of each four, but for these image sizes (both ends included).
RESHUFFLED_DEPTHWISE = (3, 7)


def settings(c: Candidate) -> Conv2DOptions | DepthwiseOptions:
    """The operator's options, which the reader has made sure of."""
    assert isinstance(c.operator.options, Conv2DOptions | DepthwiseOptions)
    return c.operator.options


def _depthwise(c: Candidate) -> bool:
    return c.operator.kind == "DEPTHWISE_CONV_2D"


def _weights(c: Candidate) -> Tensor:
    return c.operand(1)


def _images(c: Candidate) -> list[Tensor]:
    return [c.source, _weights(c), c.target]


def _quantised(c: Candidate) -> list[Tensor]:
    return [tensor for tensor in (c.source, _weights(c), c.input(2), c.target) if tensor is not None]


def _geometry(c: Candidate) -> tuple[int, ...]:
    """What the output's shape must be."""
    _, rows, columns, _ = c.source.shape
    kernel_rows, kernel_columns = _weights(c).shape[1:3]
    s = settings(c)
    return (
        1,
        output_size(rows, kernel_rows, s.stride_height, s.padding, s.dilation_height),
        output_size(columns, kernel_columns, s.stride_width, s.padding, s.dilation_width),
        _weights(c).shape[3] if _depthwise(c) else _weights(c).shape[0],
    )


def _sizes(c: Candidate) -> tuple[int, ...]:
    """The output's rows and columns before first-pixel pooling, and the input's."""
    _, rows, columns, _ = c.target.shape
    return (*c.source.shape[1:3], rows * settings(c).stride_height, columns * settings(c).stride_width)


def _factor(c: Candidate) -> float:
    scales = [tensor.quantization.scale for tensor in (c.source, _weights(c), c.target) if tensor.quantization]
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        return scale_factor(*scales)


def _planes(c: Candidate) -> int:
    """Input planes of the NN job; a stride-2 convolution's input is split into four times as many."""
    return c.source.shape[3] * (4 if settings(c).stride_height == 2 and _weights(c).shape[1] > 1 else 1)


def factor_fits(factor: float, chip: Chip) -> bool:
    """Can the chip's NN unit scale by this factor?"""
    try:
        multiplier_and_shift(factor, chip.nn_version)
    except Unsupported:
        return False
    return True


def activation_fits(c: Candidate, activation: Activation) -> bool:
    """Does the NN unit's clamp do this activation?"""
    if activation in (Activation.NONE, Activation.RELU):
        return True
    quantization, dtype = c.target.quantization, c.target.dtype
    if activation is not Activation.RELU6 or quantization is None or dtype is None:
        return False
    # Where 255 (127) stands for no more than 6.0, saturation does RELU6's upper clamp.
    top = int(np.iinfo(dtype).max) - quantization.zero_point
    return bool(np.float32(top) * np.float32(quantization.scale) <= np.float32(6.0))


def activation_rule(activation: Callable[[Candidate], Activation]) -> Rule:
    """The NN unit's clamp does the activation."""
    return Rule(
        "an activation of NONE, RELU, or RELU6 on an output whose greatest value is at most 6.0",
        lambda c: activation_fits(c, activation(c)),
        lambda c: activation(c).name,
        common.RELU_FIELDS,
    )


def arithmetic_rules(
    kernels: Callable[[Candidate], Kernels], factor: Callable[[Candidate], float]
) -> tuple[Rule, Rule]:
    """Sums and their scaling fit the NN unit."""
    return (
        Rule(
            "sums within 32 bits whatever the input",
            lambda c: common.sums_fit(kernels(c)),
            lambda c: "weights or a bias too large for that",
        ),
        Rule(
            "input scale * weight scale / output scale within the hardware's shift",
            lambda c: factor_fits(factor(c), c.options.chip),
            lambda c: f"{factor(c):g}",
            common.SHIFT_FIELDS,
        ),
    )


# In this order; each may rely on those before it.
RULES: tuple[Rule, ...] = (
    common.NN_IN_USE,
    common.one_type("input, weights and output", _images),
    common.single_images(lambda c: [c.source, c.target]),
    Rule(
        "weights of four dimensions",
        lambda c: len(_weights(c).shape) == 4 and min(_weights(c).shape) > 0,
        lambda c: shapes(_weights(c)),
    ),
    common.per_tensor("input, weights, bias and output", _quantised),
    common.zero_points(_images),
    Rule(
        "constant weights and a computed input",
        lambda c: _weights(c).data is not None and not c.source.is_constant,
        lambda c: (
            f"{'constant' if c.source.is_constant else 'computed'} input, "
            f"{'constant' if _weights(c).data is not None else 'computed'} weights"
        ),
    ),
    Rule(
        "a constant int32 bias for each output channel, or none",
        lambda c: (
            (bias := c.input(2)) is None
            or (bias.type_name == "INT32" and bias.data is not None and bias.elements == c.target.shape[3])
        ),
        lambda c: f"{bias.type_name} {shapes(bias)}" if (bias := c.input(2)) else "none",
    ),
    Rule(
        "a dilation of 1",
        lambda c: settings(c).dilation_height == settings(c).dilation_width == 1,
        lambda c: f"{settings(c).dilation_height}x{settings(c).dilation_width}",
    ),
    Rule(
        "equal strides of 1 or 2",
        lambda c: settings(c).stride_height == settings(c).stride_width in (1, 2),
        lambda c: f"{settings(c).stride_height}x{settings(c).stride_width}",
    ),
    Rule(
        "a depth multiplier of 1",
        lambda c: (
            not isinstance(options := settings(c), DepthwiseOptions)
            or (
                options.depth_multiplier == 1
                and _weights(c).shape[0] == 1
                and _weights(c).shape[3] == c.source.shape[3]
            )
        ),
        lambda c: f"{c.target.shape[3]} outputs of {c.source.shape[3]} channels",
    ),
    Rule(
        "weights with as many channels as the input",
        lambda c: _depthwise(c) or _weights(c).shape[3] == c.source.shape[3],
        lambda c: f"{shapes(_weights(c))} on {shapes(c.source)}",
    ),
    Rule(
        "a kernel of 1x1, 3x3 or 5x5",
        lambda c: _weights(c).shape[1] == _weights(c).shape[2] in PROVEN_KERNELS,
        lambda c: f"{_weights(c).shape[1]}x{_weights(c).shape[2]}",
        common.KERNEL_FIELDS,
    ),
    common.NOT_TALL,
    Rule(
        "an output of the size that kernel, stride and padding give",
        lambda c: c.target.shape == _geometry(c) and min(_geometry(c)) > 0,
        lambda c: f"{shapes(c.target)} where {'x'.join(str(size) for size in _geometry(c))} follows",
    ),
    activation_rule(lambda c: settings(c).activation),
    Rule(
        f"at most {MAX_SIZE} rows and columns, counted before pooling",
        lambda c: max(_sizes(c)) <= MAX_SIZE,
        lambda c: str(max(_sizes(c))),
        common.SIZE_FIELDS,
    ),
    Rule(
        f"at most {MAX_CHANNELS} input planes and output channels",
        lambda c: max(_planes(c), c.target.shape[3]) <= MAX_CHANNELS,
        lambda c: str(max(_planes(c), c.target.shape[3])),
        common.CHANNEL_FIELDS,
    ),
    *arithmetic_rules(lambda c: _kernels(c), _factor),
)


def lower(segment: Segment, c: Candidate) -> None:
    """[transpose] [reshuffle] convolution [detranspose]."""
    place = segment.source(c.operator, c.source)
    way = segment.choose(ways(c))
    conv = way.tasks[-1]
    assert isinstance(conv, Convolution)
    for move in way.tasks[:-1]:
        assert isinstance(move, Reshuffle)
        moved = segment.scratch(c.source, conv.input)
        segment.add(dataclasses.replace(move, source=place, target=moved))
        place = moved
    segment.add(dataclasses.replace(conv, source=place, target=segment.target(c.target)))
    segment.finish(c.operator, c.target)


def ways(c: Candidate) -> list[Alternative]:
    """The jobs of an operator, on the model's own tensors: [reshuffle] convolution. The reference driver's way first;
    for a stride of 2, the other one behind it if there is one."""
    first_pixel = settings(c).stride_height == 2 and _keeps_first_pixel(c)
    found = [_way(c, first_pixel)]
    if settings(c).stride_height == 2 and not c.options.as_reference:
        if not first_pixel and c.options.chip.first_pixel_pooling:
            found.append(_way(c, True))
        elif first_pixel and 4 * c.source.shape[3] <= MAX_CHANNELS:
            found.append(_way(c, False))
    return found


def _way(c: Candidate, first_pixel: bool) -> Alternative:
    conv, padding = _convolution(c, first_pixel)
    if padding is None:
        return Alternative("first pixel of each 2x2" if first_pixel else "as it is", (conv,))
    shape, zero = shape_of(c.source), zero_point(c.source)
    move = Reshuffle(c.operator.index, conv.source, conv.source, shape, conv.input, zero, *padding)
    return Alternative("rows and columns parted first", (move, conv))


def _convolution(c: Candidate, first_pixel: bool) -> tuple[Convolution, tuple[int, int] | None]:
    """The NN job on the model's own tensors, and the padding (x, y) of the reshuffle that it needs first, if any."""
    options = settings(c)
    stride = options.stride_height
    shape, out = shape_of(c.source), shape_of(c.target)
    kernels = _kernels(c)
    rows, columns = kernels.rows, kernels.columns
    same = options.padding is Padding.SAME
    pad_x = pad_before(shape.columns, out.columns, columns, stride) if same else 0
    pad_y = pad_before(shape.rows, out.rows, rows, stride) if same else 0
    if rows == columns == kernels.planes == 1:
        kernels = grown_to_2x2(kernels)
    padding = None
    if stride == 2 and not first_pixel:
        kernels = without_stride(kernels)
        shape = Shape(out.rows + kernels.rows - 1, out.columns + kernels.columns - 1, 4 * shape.channels)
        padding = (pad_x, pad_y)
        pad_x = pad_y = 0
    rows_whole = False
    if c.options.as_reference:
        rows_whole = reference_driver.keeps_rows_whole(shape, kernels.rows, _depthwise(c))
        offset = reference_driver.window_offset(shape, kernels.rows, stride, _depthwise(c)) if same else 0
        pad_x = pad_y = -offset
    conv = Convolution(
        operator=c.operator.index,
        source=c.operator.inputs[0],
        target=c.operator.outputs[0],
        input=shape,
        output=out,
        kernels=kernels,
        stride=stride,
        first_pixel=first_pixel,
        depthwise=_native_depthwise(c) and padding is None,
        # The unit tells the order of the weights by the kernel's size, however it came about.
        runs=not kernels.rows == kernels.columns == 1,
        offset_x=-pad_x,
        offset_y=-pad_y,
        relu=options.activation is not Activation.NONE,
        input_zero_point=zero_point(c.source),
        output_zero_point=zero_point(c.target),
        factor=_factor(c),
        rows_whole=rows_whole,
    )
    return conv, padding


def _native_depthwise(c: Candidate) -> bool:
    """Does the unit itself give each kernel its own plane? With fewer planes than cores the reference driver deals
    channels out wrongly, and how to do it is unknown; those layers are written out dense, as for version 7."""
    chip = c.options.chip
    return _depthwise(c) and chip.depthwise and c.target.shape[3] >= chip.nn_cores


def _keeps_first_pixel(c: Candidate) -> bool:
    """Does a stride of 2 run at full resolution, keeping one output of four, rather than on reshuffled planes?"""
    chip = c.options.chip
    shape = shape_of(c.source)
    if not chip.first_pixel_pooling:
        return False
    if _native_depthwise(c):
        return True
    if _depthwise(c):
        smallest, largest = RESHUFFLED_DEPTHWISE
        return not any(smallest <= size <= largest for size in (shape.rows, shape.columns))
    if _weights(c).shape[1] > 1:
        return False
    if chip.nn_version == 7 or settings(c).padding is Padding.SAME:
        return True
    return shape.rows >= 3 and shape.channels > 1


def unsigned_weights(weights: Tensor) -> NDArray[np.uint8]:
    """Constant weights as bytes 0..255; signed ones are moved by 128, as their zero point is."""
    assert weights.data is not None
    if weights.type_name == "INT8":
        return weights.data.view(np.uint8) ^ np.uint8(SIGN_SHIFT)
    return np.asarray(weights.data, np.uint8)


def bias_of(bias: Tensor | None, outputs: int) -> NDArray[np.int64]:
    """A bias as numbers, int64 [OC]; zeros where there is none."""
    if bias is None or bias.data is None:
        return np.zeros(outputs, np.int64)
    return np.asarray(bias.data.reshape(-1), np.int64)


def _kernels(c: Candidate) -> Kernels:
    make = depthwise_kernels if _depthwise(c) else convolution_kernels
    bias = bias_of(c.input(2), c.target.shape[3])
    return make(unsigned_weights(_weights(c)), bias, zero_point(_weights(c)))
