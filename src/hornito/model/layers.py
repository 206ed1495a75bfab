# SPDX-License-Identifier: MIT
"""How does a made-up network get its layers? Random weights, and scales that fit the statistics of the sums."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.model.builder import ModelBuilder, Value, affine, per_axis
from hornito.model.draw import Draw, Kind, result_range
from hornito.model.graph import (
    Activation,
    Conv2DOptions,
    DepthwiseOptions,
    FullyConnectedOptions,
    Padding,
    Quantization,
)

VALUES = 256  # a byte's
RELU6_SCALE = 6 / 255 * (1 - 1e-6)  # for the NPU to take it, the greatest value may stand for no more than 6.0
ODD_SHIFT = 60  # of an odd zero point from the fitting one


@dataclass(frozen=True)
class Form:
    """A convolution but for its input.

    ``rows`` and ``columns`` are the kernel's. With ``depthwise`` the output channels are the input's times
    ``multiplier``. ``scales``: one for each channel, and by which factor they may lie apart (0: one for all).
    """

    outputs: int = 0
    rows: int = 1
    columns: int = 1
    stride_y: int = 1
    stride_x: int = 1
    padding: Padding = Padding.SAME
    dilation: int = 1
    depthwise: bool = False
    multiplier: int = 1
    groups: int = 1
    scales: float = 0.0
    activation: Activation = Activation.NONE


def kind_of(value: Value) -> Kind:
    """A tensor's type, as a class."""
    return np.uint8 if value.dtype == np.uint8 else np.int8


def image(builder: ModelBuilder, draw: Draw, shape: tuple[int, ...], kind: Kind, name: str = "image") -> Value:
    """The model's next input, of any quantisation."""
    return builder.input(name, shape, kind, quantization=draw.quantization(kind))


def sums(
    value: Value,
    weights: NDArray[Any],
    bias: NDArray[np.int32],
    quantization: Quantization,
    *,
    axis: int = 0,
    share: float = 1.0,
) -> Quantization:
    """A quantisation that fits the sums of ``bias`` and the products of random inputs and these ``weights``, whose
    channels lie along ``axis``; ``share`` of a channel's weights takes part in each sum."""
    kind = kind_of(value)
    assert value.quantization is not None
    middle = (VALUES - 1) / 2 + int(np.iinfo(kind).min) - value.quantization.zero_point
    zero = quantization.zero_points[0]
    others = tuple(place for place in range(weights.ndim) if place != axis)
    count = weights.size // weights.shape[axis]
    total = weights.sum(axis=others, dtype=np.int64)
    squares = np.square(weights, dtype=np.int32).sum(axis=others, dtype=np.int64)
    total, squares = total - count * zero, squares - 2 * zero * total + count * zero * zero
    unit = value.quantization.scale * np.array(quantization.scales)
    means = (bias + share * middle * total) * unit
    variances = share * (VALUES**2 - 1) / 12 * squares * unit**2
    return result_range(float(means.mean()), float(np.sqrt(variances.mean() + means.var())), kind)


def convolution(
    builder: ModelBuilder,
    draw: Draw,
    value: Value,
    form: Form,
    *,
    odd: bool = False,
    given: Quantization | None = None,
) -> Value:
    """Append CONV_2D or DEPTHWISE_CONV_2D. The result's quantisation fits it, or is ``odd``, or the one ``given``."""
    kind, channels = kind_of(value), value.shape[3]
    outputs = channels * form.multiplier if form.depthwise else form.outputs
    depth = 1 if form.depthwise else channels // form.groups
    shape = (1, form.rows, form.columns, outputs) if form.depthwise else (outputs, form.rows, form.columns, depth)
    quantization = draw.weights_quantization(kind)
    if form.scales:
        scales = [quantization.scale * draw.scale(1.0, form.scales) for _ in range(outputs)]
        quantization = per_axis(scales, 3 if form.depthwise else 0)
    weights, bias = draw.weights(shape, kind), draw.bias(outputs)
    result = sums(value, weights, bias, quantization, axis=3 if form.depthwise else 0)
    if odd:
        info = np.iinfo(kind)
        zero = result.zero_point + int(draw.random.integers(-ODD_SHIFT, ODD_SHIFT, endpoint=True))
        result = affine(result.scale * draw.scale(0.5, 2.0), min(max(zero, int(info.min)), int(info.max)))
    if form.activation is Activation.RELU6:
        given = affine(RELU6_SCALE, int(np.iinfo(kind).min))
    if given:
        fitting = [scale * given.scale / result.scale for scale in quantization.scales]
        quantization, result = dataclasses.replace(quantization, scales=tuple(fitting)), given
    strides = {"stride_height": form.stride_y, "stride_width": form.stride_x}
    dilations = {"dilation_height": form.dilation, "dilation_width": form.dilation}
    if form.depthwise:
        depthwise = DepthwiseOptions(
            form.padding, **strides, **dilations, depth_multiplier=form.multiplier, activation=form.activation
        )
        return builder.depthwise_conv2d(
            value, weights, bias, weights_quantization=quantization, quantization=result, options=depthwise
        )
    options = Conv2DOptions(form.padding, **strides, **dilations, activation=form.activation)
    return builder.conv2d(value, weights, bias, weights_quantization=quantization, quantization=result, options=options)


def dense(builder: ModelBuilder, draw: Draw, value: Value, units: int) -> Value:
    """Append FULLY_CONNECTED over all of ``value``."""
    kind, depth = kind_of(value), int(np.prod(value.shape))
    quantization, weights, bias = draw.weights_quantization(kind), draw.weights((units, depth), kind), draw.bias(units)
    return builder.fully_connected(
        value,
        weights,
        bias,
        weights_quantization=quantization,
        quantization=sums(value, weights, bias, quantization),
        options=FullyConnectedOptions(),
    )


def addition(
    builder: ModelBuilder, draw: Draw, first: Value, second: Value, activation: Activation = Activation.NONE
) -> Value:
    """Append ADD; the result's scale fits the sum, now more, now less."""
    kind = kind_of(first)
    middle = (VALUES - 1) / 2 + int(np.iinfo(kind).min)
    a, b = first.quantization, second.quantization
    assert a is not None and b is not None
    mean = a.scale * (middle - a.zero_point) + b.scale * (middle - b.zero_point)
    deviation = float(np.hypot(a.scale, b.scale)) * VALUES / 5 * draw.scale(0.7, 1.4)
    return builder.add(first, second, quantization=result_range(mean, deviation, kind), activation=activation)
