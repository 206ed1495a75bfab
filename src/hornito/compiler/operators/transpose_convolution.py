# SPDX-License-Identifier: MIT
"""TRANSPOSE_CONV: zeros between the pixels (a TP job), then a convolution with the kernels turned round.

With x the input, w a kernel of R rows and p the padding, row o of the output is the sum of x[i] * w[o + p - s * i]. On
the rows z with z[s * i] = x[i] and the zero point elsewhere that is the sum of z[o + k - (R - 1 - p)] * w[R - 1 - k]:
a convolution of stride 1 with a padding of R - 1 - p before.

Source: databook, lowering.md ("Limits a better driver should lift"), tp-descriptor.md ("What else the block can do").
Inferred.
"""

import numpy as np

from hornito.compiler.operators import common, general
from hornito.compiler.operators.convolution import activation_fits, bias_of, unsigned_weights
from hornito.compiler.operators.general import Geometry, Layer
from hornito.compiler.operators.per_axis import Weighted, weights_zero
from hornito.compiler.rules import Candidate, Rule, shapes, zero_point
from hornito.compiler.segment import Segment, shape_of
from hornito.compiler.strides import fits
from hornito.compiler.tasks import Loop, Shape, Strided, Walk
from hornito.compiler.weights import Kernels
from hornito.model.graph import Activation, Padding, Tensor, TransposeConvOptions


def _options(c: Candidate) -> TransposeConvOptions:
    assert isinstance(c.operator.options, TransposeConvOptions)
    return c.operator.options


def _weights(c: Candidate) -> Tensor:
    return c.operand(1)


def _image(c: Candidate) -> Tensor:
    return c.operand(2)


def _data(c: Candidate) -> list[Tensor]:
    return [_image(c), c.target]


def _spread(c: Candidate) -> Shape:
    """The input with zeros between its pixels, and behind them."""
    shape, options = shape_of(_image(c)), _options(c)
    return Shape(options.stride_height * shape.rows, options.stride_width * shape.columns, shape.channels)


def _expected(c: Candidate) -> tuple[int, int]:
    """Rows and columns of an output that the convolution turned round would make the input of."""
    options, shape = _options(c), shape_of(_image(c))
    grown = (0, 0)
    if options.padding is Padding.VALID:
        _, rows, columns, _ = _weights(c).shape
        grown = max(rows - options.stride_height, 0), max(columns - options.stride_width, 0)
    return shape.rows * options.stride_height + grown[0], shape.columns * options.stride_width + grown[1]


def _sizes_fit(c: Candidate) -> bool:
    """The given size is what follows, or with SAME padding up to a stride less."""
    out, options, expected = c.target.shape, _options(c), _expected(c)
    if out[3] != _weights(c).shape[0]:
        return False
    less = (0, 0) if options.padding is Padding.VALID else (options.stride_height - 1, options.stride_width - 1)
    return all(
        most - fewer <= size <= most for size, most, fewer in zip(out[1:3], expected, less, strict=True)
    ) and all(padding >= 0 for padding in _geometry(c).padding)


def _geometry(c: Candidate) -> Geometry:
    options, shape, out = _options(c), shape_of(_image(c)), shape_of(c.target)
    _, rows, columns, _ = _weights(c).shape
    before = (0, 0)
    if options.padding is Padding.SAME:
        before = (
            max((shape.rows - 1) * options.stride_height + rows - out.rows, 0) // 2,
            max((shape.columns - 1) * options.stride_width + columns - out.columns, 0) // 2,
        )
    padding = rows - 1 - before[0], columns - 1 - before[1]
    return Geometry(_spread(c), out, (rows, columns), padding=padding)


def _walks(c: Candidate) -> tuple[Walk, ...]:
    """Each pixel, then as many zero points as the stride asks for; each row likewise."""
    shape, wide, options = shape_of(_image(c)), _spread(c), _options(c)
    down, across = options.stride_height, options.stride_width
    loops = (
        Loop(shape.channels * shape.rows, shape.columns, down * wide.columns),
        Loop(down, shape.columns, wide.columns, 0, down - 1),
        Loop(shape.columns, 1, across),
        Loop(across, 1, 1, 0, across - 1),
    )
    return (Walk(0, 0, loops),)


def _kernels(c: Candidate) -> Kernels:
    """Turned round, in planar order."""
    values = unsigned_weights(_weights(c))[:, ::-1, ::-1].transpose(0, 3, 1, 2)
    outputs = len(values)
    first = np.zeros(outputs, np.int64)
    bias = bias_of(c.input(3), outputs)
    return Kernels(np.ascontiguousarray(values), first, values.shape[1], weights_zero(_weights(c)), bias)


WEIGHTED = Weighted(_image, _weights, lambda c: 0, _kernels)


def _bias_fits(c: Candidate) -> bool:
    bias = c.input(3)
    return bias is None or (
        bias.type_name == "INT32" and bias.data is not None and bias.elements == _weights(c).shape[0]
    )


RULES: tuple[Rule, ...] = (
    common.NN_IN_USE,
    common.one_type("input, weights and output", lambda c: [_image(c), _weights(c), c.target]),
    common.single_images(_data),
    Rule(
        "weights of four dimensions and the input's channels",
        lambda c: len(s := _weights(c).shape) == 4 and min(s) > 0 and s[3] == _image(c).shape[3],
        lambda c: f"{shapes(_weights(c))} on {shapes(_image(c))}",
    ),
    common.per_tensor("input and output", _data),
    WEIGHTED.scale_rule,
    common.zero_points(_data),
    Rule(
        "constant weights and output size, and a computed input",
        lambda c: _weights(c).data is not None and c.operand(0).data is not None and not _image(c).is_constant,
        lambda c: ", ".join(
            f"{'constant' if tensor.is_constant else 'computed'} {what}"
            for what, tensor in (("weights", _weights(c)), ("size", c.operand(0)), ("input", _image(c)))
        ),
    ),
    Rule(
        "a constant int32 bias for each output channel, or none",
        _bias_fits,
        lambda c: f"{bias.type_name} {shapes(bias)}" if (bias := c.input(3)) else "none",
    ),
    Rule(
        "an output of the size that kernel, stride and padding give, with SAME padding up to a stride less",
        _sizes_fit,
        lambda c: f"{shapes(c.target)} where {_expected(c)[0]}x{_expected(c)[1]}x{_weights(c).shape[0]} follows",
    ),
    Rule(
        "an activation of NONE, RELU, or RELU6 on an output whose greatest value is at most 6.0",
        lambda c: activation_fits(c, _options(c).activation),
        lambda c: _options(c).activation.name,
    ),
    Rule(
        "sizes at which the TP unit can put the zeros between pixels",
        lambda c: fits(_walks(c)),
        lambda c: f"{_spread(c)} of {shapes(_image(c))}",
    ),
    *general.limits(_geometry),
    *WEIGHTED.rules,
)


def lower(segment: Segment, c: Candidate) -> None:
    """[transpose] zeros between pixels [padding] convolutions [detranspose]."""
    image, wide = _image(c), _spread(c)
    source = segment.source(c.operator, image)
    zero = zero_point(image)
    if wide != shape_of(image):
        moved = segment.scratch(image, wide)
        segment.add(Strided(c.operator.index, source, moved, shape_of(image), wide, zero, zero, _walks(c)))
        source = moved
    relu = _options(c).activation is not Activation.NONE
    layer = Layer(c.operator.index, image, _geometry(c), WEIGHTED.parts(c), relu, zero, zero_point(c.target))
    general.add_jobs(segment, layer, source, segment.target(c.target))
    segment.finish(c.operator, c.target)
