# SPDX-License-Identifier: MIT
"""AVERAGE_POOL_2D, and MEAN over height and width: a depthwise convolution whose weights are all alike, mostly 1.

The factor of the job divides by the number of pixels. A unit without a depthwise convolution of its own, or one that
can't take this one, gets a few channels at a time: it multiplies each of a job's planes with each of its kernels.

Source: databook, lowering.md ("Limits a better driver should lift": no pooling). Inferred.
"""

import math

import numpy as np

from hornito.compiler.operators import common, general
from hornito.compiler.operators.common import ACCUMULATOR_LIMIT, LARGEST
from hornito.compiler.operators.convolution import activation_fits, factor_fits
from hornito.compiler.operators.general import Geometry, Layer, Part
from hornito.compiler.requantisation import scale_factor
from hornito.compiler.rules import Candidate, Rule, shapes, zero_point
from hornito.compiler.segment import Segment, shape_of
from hornito.compiler.tasks import Shape
from hornito.compiler.weights import Kernels
from hornito.model.graph import Activation, Padding, Pool2DOptions, Tensor
from hornito.model.quantization import output_size, total_padding

CHANNELS_AT_A_TIME = 64
LARGEST_WEIGHT = 255


def _data(c: Candidate) -> list[Tensor]:
    return [c.source, c.target]


def _pool(c: Candidate) -> Pool2DOptions:
    assert isinstance(c.operator.options, Pool2DOptions)
    return c.operator.options


def _pool_geometry(c: Candidate) -> Geometry:
    p = _pool(c)
    kernel, stride = (p.filter_height, p.filter_width), (p.stride_height, p.stride_width)
    return Geometry(shape_of(c.source), shape_of(c.target), kernel, stride, depthwise=True)


def _pool_result(c: Candidate) -> tuple[int, ...]:
    _, rows, columns, channels = c.source.shape
    p = _pool(c)
    return (
        1,
        output_size(rows, p.filter_height, p.stride_height, p.padding),
        output_size(columns, p.filter_width, p.stride_width, p.padding),
        channels,
    )


def _reach(c: Candidate) -> tuple[int, int]:
    """Rows and columns that the windows see beyond the image."""
    if _pool(c).padding is Padding.VALID:
        return 0, 0
    p, shape, out = _pool(c), c.source.shape, c.target.shape
    return (
        total_padding(shape[1], out[1], p.filter_height, p.stride_height),
        total_padding(shape[2], out[2], p.filter_width, p.stride_width),
    )


POOL_RULES: tuple[Rule, ...] = (
    common.NN_IN_USE,
    common.computed(lambda c: [c.source]),
    common.one_type("input and output", _data),
    common.single_images(_data),
    common.per_tensor("input and output", _data),
    common.zero_points(_data),
    common.same_quantisation(_data),
    Rule(
        "an output of the size that filter, stride and padding give",
        lambda c: c.target.shape == _pool_result(c) and min(_pool_result(c)) > 0,
        lambda c: f"{shapes(c.target)} where {'x'.join(str(size) for size in _pool_result(c))} follows",
    ),
    Rule(
        "no window reaches beyond the image, where fewer pixels would count",
        lambda c: _reach(c) == (0, 0),
        lambda c: f"{_reach(c)[0]} rows and {_reach(c)[1]} columns beyond",
    ),
    Rule(
        "an activation of NONE, RELU, or RELU6 on an output whose greatest value is at most 6.0",
        lambda c: activation_fits(c, _pool(c).activation),
        lambda c: _pool(c).activation.name,
    ),
    *general.limits(_pool_geometry),
)


def lower_pool(segment: Segment, c: Candidate) -> None:
    """[transpose] [reshuffle] convolutions [detranspose]."""
    source, target = segment.source(c.operator, c.source), segment.target(c.target)
    relu = _pool(c).activation is not Activation.NONE
    _add(segment, c, (source, target), _pool_geometry(c), relu)
    segment.finish(c.operator, c.target)


def _add(segment: Segment, c: Candidate, places: tuple[int, int], geometry: Geometry, relu: bool) -> None:
    channels, chip = geometry.input.channels, segment.options.chip
    alone = chip.depthwise and general.choose_way(geometry, chip).phases is None
    at_a_time = channels if alone else CHANNELS_AT_A_TIME
    weight, factor = _scaling(c, geometry)
    parts = []
    for first in range(0, channels, at_a_time):
        count = min(at_a_time, channels - first)
        values = np.full((count, 1, *geometry.kernel), weight, np.uint8)
        planes = np.arange(first, first + count, dtype=np.int64)
        parts.append(Part(first, Kernels(values, planes, channels, 0, np.zeros(count, np.int64)), factor, count))
    zeros = zero_point(c.source), zero_point(c.target)
    layer = Layer(c.operator.index, c.source, geometry, tuple(parts), relu, *zeros)
    general.add_jobs(segment, layer, *places)


def _scaling(c: Candidate, geometry: Geometry) -> tuple[int, float]:
    """The weight, and the factor from sums to output steps. Version 8 has no factors of 2 and more, so where a step of
    the input is that many of the output the weights are larger."""
    source, target = c.source.quantization, c.target.quantization
    assert source is not None and target is not None
    pixels = math.prod(geometry.kernel)
    with np.errstate(all="ignore"):
        steps = scale_factor(source.scale, 1.0 / pixels, target.scale)
        weight = int(min(steps, LARGEST_WEIGHT - 1)) + 1
        return weight, scale_factor(source.scale, 1.0 / (pixels * weight), target.scale)


# MEAN


def _axes(c: Candidate) -> tuple[int, ...]:
    data = c.operand(1).data
    return tuple(sorted({int(axis) % 4 for axis in data.reshape(-1)})) if data is not None and data.size else ()


def _mean_geometry(c: Candidate) -> Geometry:
    shape = shape_of(c.source)
    return Geometry(shape, Shape(1, 1, shape.channels), (shape.rows, shape.columns), depthwise=True)


def _mean_fits(c: Candidate) -> bool:
    weight, factor = _scaling(c, _mean_geometry(c))
    pixels = math.prod(_mean_geometry(c).kernel)
    return factor_fits(factor, c.options.chip) and pixels * weight * LARGEST < ACCUMULATOR_LIMIT


MEAN_RULES: tuple[Rule, ...] = (
    common.NN_IN_USE,
    common.computed(lambda c: [c.source]),
    common.one_type("input and output", _data),
    common.single_images(lambda c: [c.source]),
    Rule(
        "height and width as constant axes",
        lambda c: _axes(c) == (1, 2),
        lambda c: str(_axes(c)),
    ),
    Rule(
        "an output of one value a channel",
        lambda c: c.target.elements == c.target.shape[-1] == c.source.shape[3] and not c.target.is_dynamic,
        lambda c: shapes(c.target),
    ),
    common.per_tensor("input and output", _data),
    common.zero_points(_data),
    *general.limits(_mean_geometry),
    Rule(
        "input scale / pixels / output scale within the hardware's shift, and sums within 32 bits",
        _mean_fits,
        lambda c: f"{_scaling(c, _mean_geometry(c))[1]:g}",
    ),
)


def lower_mean(segment: Segment, c: Candidate) -> None:
    """[transpose] [reshuffle] convolutions; a single pixel is the same bytes in both layouts."""
    places = segment.source(c.operator, c.source), segment.flat_target(c.target)
    _add(segment, c, places, _mean_geometry(c), relu=False)
