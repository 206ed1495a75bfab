# SPDX-License-Identifier: MIT
"""FULLY_CONNECTED: which can the NPU run, and as which jobs?

Source: databook, lowering.md ("FULLY_CONNECTED"). On version 8 the reference driver's form passes on silicon; version 7
gets a 1x1 convolution over a single pixel, which MobileNetV1's last layer proves.
"""

import numpy as np

from hornito.compiler.operators import common
from hornito.compiler.operators.common import MAX_CHANNELS
from hornito.compiler.operators.convolution import activation_rule, arithmetic_rules, bias_of, unsigned_weights
from hornito.compiler.requantisation import scale_factor
from hornito.compiler.rules import Candidate, Rule, shapes, zero_point
from hornito.compiler.segment import Segment
from hornito.compiler.tasks import Convolution, Shape
from hornito.compiler.weights import Kernels, grown_to_2x2
from hornito.model.graph import Activation, FullyConnectedOptions, Tensor

LARGEST_KERNEL = 15


def _options(c: Candidate) -> FullyConnectedOptions:
    assert isinstance(c.operator.options, FullyConnectedOptions)
    return c.operator.options


def _data(c: Candidate) -> list[Tensor]:
    return [c.source, c.operand(1), c.target]


def _quantised(c: Candidate) -> list[Tensor]:
    return [tensor for tensor in (c.source, c.operand(1), c.input(2), c.target) if tensor is not None]


def _factor(c: Candidate) -> float:
    scales = [tensor.quantization.scale for tensor in _data(c) if tensor.quantization]
    with np.errstate(all="ignore"):
        return scale_factor(*scales)


def _block(c: Candidate) -> Shape:
    """The input as an image that one kernel covers whole: a single pixel, or on version 8 what fits a kernel."""
    inputs = c.operand(1).shape[1]
    if c.options.chip.nn_version == 7:
        return Shape(1, 1, inputs)
    columns = max(size for size in range(1, LARGEST_KERNEL + 1) if inputs % size == 0)
    rows = max(size for size in range(1, LARGEST_KERNEL + 1) if inputs // columns % size == 0)
    return Shape(rows, columns, inputs // columns // rows)


def _kernels(c: Candidate) -> Kernels:
    block, weights = _block(c), unsigned_weights(c.operand(1))
    outputs = len(weights)
    values = np.ascontiguousarray(weights.reshape(outputs, block.channels, block.rows, block.columns))
    zero = zero_point(c.operand(1))
    return Kernels(values, np.zeros(outputs, np.int64), block.channels, zero, bias_of(c.input(2), outputs))


RULES: tuple[Rule, ...] = (
    common.NN_IN_USE,
    common.one_type("input, weights and output", _data),
    Rule(
        "an input of one row of as many values as the weights have columns",
        lambda c: (
            len(c.operand(1).shape) == 2
            and min(c.operand(1).shape) > 0
            and not c.source.is_dynamic
            and c.source.shape in ((1, c.operand(1).shape[1]), (1, 1, 1, c.operand(1).shape[1]))
        ),
        lambda c: shapes(c.source, c.operand(1)),
    ),
    Rule(
        "an output of one row of as many values as the weights have rows",
        lambda c: c.target.elements == c.operand(1).shape[0] == c.target.shape[-1],
        lambda c: shapes(c.target),
    ),
    Rule("weights in plain order", lambda c: _options(c).weights_format == 0, lambda c: "a shuffled order"),
    common.per_tensor("input, weights, bias and output", _quantised),
    common.zero_points(_data),
    Rule(
        "constant weights and a computed input",
        lambda c: c.operand(1).data is not None and not c.source.is_constant,
        lambda c: "computed weights" if c.operand(1).data is None else "a constant input",
    ),
    Rule(
        "a constant int32 bias for each output, or none",
        lambda c: (
            (bias := c.input(2)) is None
            or (bias.type_name == "INT32" and bias.data is not None and bias.elements == c.target.elements)
        ),
        lambda c: f"{bias.type_name} {shapes(bias)}" if (bias := c.input(2)) else "none",
    ),
    activation_rule(lambda c: _options(c).activation),
    Rule(
        f"at most {MAX_CHANNELS} planes and outputs",
        lambda c: max(_block(c).channels, c.target.elements) <= MAX_CHANNELS,
        lambda c: str(max(_block(c).channels, c.target.elements)),
        common.CHANNEL_FIELDS,
    ),
    *arithmetic_rules(_kernels, _factor),
)


def lower(segment: Segment, c: Candidate) -> None:
    """One convolution whose kernel covers the whole input."""
    block, kernels = _block(c), _kernels(c)
    outputs = kernels.count
    pointwise = block.rows == block.columns == 1
    if pointwise and block.channels == 1:
        kernels, pointwise = grown_to_2x2(kernels), False
    # A row of values is a row of planes of one pixel: both layouts are one, and nothing need be turned.
    segment.add(
        Convolution(
            operator=c.operator.index,
            source=segment.untouched(c.source),
            target=segment.flat_target(c.target),
            input=block,
            output=Shape(1, 1, outputs),
            kernels=kernels,
            stride=1,
            first_pixel=False,
            depthwise=False,
            runs=not pointwise,
            offset_x=0,
            offset_y=0,
            relu=_options(c).activation is not Activation.NONE,
            input_zero_point=zero_point(c.source),
            output_zero_point=zero_point(c.target),
            factor=_factor(c),
        )
    )
