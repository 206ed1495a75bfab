# SPDX-License-Identifier: MIT
"""CONV_2D and DEPTHWISE_CONV_2D of every other form: which can the NPU run, and as which jobs?

One scale a weight channel, dilation, any strides, kernels of any shape that the descriptor holds, images taller than
wide, several outputs a depthwise channel, convolutions in groups. Source: general.py and grouping.py; inferred.
"""

import numpy as np

from hornito.compiler.operators import common, general
from hornito.compiler.operators.convolution import RULES as PROVEN_RULES
from hornito.compiler.operators.convolution import bias_of, settings, unsigned_weights
from hornito.compiler.operators.general import Geometry, Layer
from hornito.compiler.operators.per_axis import Weighted, weights_zero
from hornito.compiler.rules import Candidate, Rule, shapes, zero_point
from hornito.compiler.segment import Segment, shape_of
from hornito.compiler.weights import Kernels
from hornito.model.graph import Activation, Padding, Tensor
from hornito.model.quantization import output_size, pad_before


def _depthwise(c: Candidate) -> bool:
    return c.operator.kind == "DEPTHWISE_CONV_2D"


def _weights(c: Candidate) -> Tensor:
    return c.operand(1)


def _axis(c: Candidate) -> int:
    """Of the output channels, in the weights."""
    return 3 if _depthwise(c) else 0


def _geometry(c: Candidate) -> Geometry:
    s = settings(c)
    shape, out = shape_of(c.source), shape_of(c.target)
    rows, columns = _weights(c).shape[1:3]
    stride, dilation = (s.stride_height, s.stride_width), (s.dilation_height, s.dilation_width)
    padding = (0, 0)
    if s.padding is Padding.SAME:
        padding = (
            pad_before(shape.rows, out.rows, rows, stride[0], dilation[0]),
            pad_before(shape.columns, out.columns, columns, stride[1], dilation[1]),
        )
    alone = _depthwise(c) and out.channels == shape.channels
    return Geometry(shape, out, (rows, columns), stride, dilation, padding, alone)


def _result(c: Candidate) -> tuple[int, ...]:
    """What the output's shape must be."""
    s = settings(c)
    _, rows, columns, _ = c.source.shape
    _, kernel_rows, kernel_columns, _ = _weights(c).shape
    return (
        1,
        output_size(rows, kernel_rows, s.stride_height, s.padding, s.dilation_height),
        output_size(columns, kernel_columns, s.stride_width, s.padding, s.dilation_width),
        _weights(c).shape[_axis(c)],
    )


def _groups_fit(c: Candidate) -> bool:
    """Do input channels and weights agree?"""
    inputs, weights = c.source.shape[3], _weights(c).shape
    outputs = weights[_axis(c)]
    if _depthwise(c):
        return weights[0] == 1 and outputs % inputs == 0
    return inputs % weights[3] == 0 and outputs % (inputs // weights[3]) == 0


def _kernels(c: Candidate) -> Kernels:
    """The kernels as the model has them, in planar order; each on the planes of its group."""
    inputs, outputs = c.source.shape[3], _weights(c).shape[_axis(c)]
    weights, bias = unsigned_weights(_weights(c)), bias_of(c.input(2), outputs)
    channel = np.arange(outputs, dtype=np.int64)
    if _depthwise(c):
        values = np.ascontiguousarray(weights[0].transpose(2, 0, 1))[:, np.newaxis]
        first = channel // (outputs // inputs)
    else:
        values = np.ascontiguousarray(weights.transpose(0, 3, 1, 2))
        planes = values.shape[1]
        first = channel // (outputs // (inputs // planes)) * planes
    return Kernels(values, first, inputs, weights_zero(_weights(c)), bias)


WEIGHTED = Weighted(lambda c: c.source, _weights, _axis, _kernels)
# Those of the proven way that hold here too, by what they need.
_SHARED = {rule.need: rule for rule in PROVEN_RULES}

RULES: tuple[Rule, ...] = (
    common.NN_IN_USE,
    _SHARED["input, weights and output all uint8 or all int8"],
    common.single_images(lambda c: [c.source, c.target]),
    _SHARED["weights of four dimensions"],
    common.per_tensor("input and output", lambda c: [c.source, c.target]),
    WEIGHTED.scale_rule,
    common.zero_points(lambda c: [c.source, c.target]),
    _SHARED["constant weights and a computed input"],
    _SHARED["a constant int32 bias for each output channel, or none"],
    Rule(
        "input channels that are a multiple of the weights', output channels of their groups",
        _groups_fit,
        lambda c: f"{shapes(_weights(c))} on {shapes(c.source)}",
    ),
    Rule(
        "an output of the size that kernel, stride, dilation and padding give",
        lambda c: c.target.shape == _result(c) and min(_result(c)) > 0,
        lambda c: f"{shapes(c.target)} where {'x'.join(str(size) for size in _result(c))} follows",
    ),
    _SHARED["an activation of NONE, RELU, or RELU6 on an output whose greatest value is at most 6.0"],
    *general.limits(_geometry),
    *WEIGHTED.rules,
)


def lower(segment: Segment, c: Candidate) -> None:
    """[transpose] [reshuffle] a convolution for each group of channels [detranspose]."""
    source = segment.source(c.operator, c.source)
    target = segment.target(c.target)
    layer = Layer(
        c.operator.index,
        c.source,
        _geometry(c),
        WEIGHTED.parts(c),
        settings(c).activation is not Activation.NONE,
        zero_point(c.source),
        zero_point(c.target),
    )
    general.add_jobs(segment, layer, source, target)
    segment.finish(c.operator, c.target)
