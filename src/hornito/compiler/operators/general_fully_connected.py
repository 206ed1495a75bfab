# SPDX-License-Identifier: MIT
"""FULLY_CONNECTED with a scale for each output, or of more inputs than a version 7 descriptor's first field holds.

A 1x1 convolution over a single pixel, on either version. Inputs beyond 16383 need kernel_z_size2, bits 19:14 of their
number, which the reference driver leaves 0: the databook has its meaning, but no job that used it.

Source: databook, lowering.md ("FULLY_CONNECTED"), nn-descriptor.md (word 5). Inferred.
"""

import numpy as np

from hornito.compiler.operators import common, general
from hornito.compiler.operators.convolution import bias_of, unsigned_weights
from hornito.compiler.operators.fully_connected import RULES as PROVEN_RULES
from hornito.compiler.operators.general import Geometry, Layer
from hornito.compiler.operators.per_axis import Weighted, weights_zero
from hornito.compiler.rules import Candidate, Rule, zero_point
from hornito.compiler.segment import Segment
from hornito.compiler.tasks import Shape
from hornito.compiler.weights import Kernels
from hornito.model.graph import Activation, FullyConnectedOptions, Tensor


def _weights(c: Candidate) -> Tensor:
    return c.operand(1)


def _geometry(c: Candidate) -> Geometry:
    outputs, inputs = _weights(c).shape
    return Geometry(Shape(1, 1, inputs), Shape(1, 1, outputs), (1, 1))


def _kernels(c: Candidate) -> Kernels:
    outputs, inputs = _weights(c).shape
    values = unsigned_weights(_weights(c)).reshape(outputs, inputs, 1, 1)
    first = np.zeros(outputs, np.int64)
    return Kernels(values, first, inputs, weights_zero(_weights(c)), bias_of(c.input(2), outputs))


WEIGHTED = Weighted(lambda c: c.source, _weights, lambda c: 0, _kernels)
_SHARED = {rule.need: rule for rule in PROVEN_RULES}

RULES: tuple[Rule, ...] = (
    common.NN_IN_USE,
    _SHARED["input, weights and output all uint8 or all int8"],
    _SHARED["an input of one row of as many values as the weights have columns"],
    _SHARED["an output of one row of as many values as the weights have rows"],
    _SHARED["weights in plain order"],
    common.per_tensor("input and output", lambda c: [c.source, c.target]),
    WEIGHTED.scale_rule,
    common.zero_points(lambda c: [c.source, c.target]),
    _SHARED["constant weights and a computed input"],
    _SHARED["a constant int32 bias for each output, or none"],
    _SHARED["an activation of NONE, RELU, or RELU6 on an output whose greatest value is at most 6.0"],
    *general.limits(_geometry),
    *WEIGHTED.rules,
)


def lower(segment: Segment, c: Candidate) -> None:
    """A convolution for each group of outputs; a single pixel is the same bytes in both layouts."""
    assert isinstance(c.operator.options, FullyConnectedOptions)
    relu = c.operator.options.activation is not Activation.NONE
    zeros = zero_point(c.source), zero_point(c.target)
    layer = Layer(c.operator.index, c.source, _geometry(c), WEIGHTED.parts(c), relu, *zeros)
    general.add_jobs(segment, layer, segment.untouched(c.source), segment.flat_target(c.target))
