# SPDX-License-Identifier: MIT
"""AVERAGE_POOL_2D, and MEAN over height and width: a depthwise convolution whose weights are all alike, mostly 1.

The factor of the job divides by the number of pixels. A unit without a depthwise convolution of its own, or one that
can't take this one, gets a few channels at a time: it multiplies each of a job's planes with each of its kernels.

With SAME padding the windows of outputs at the edges hold fewer pixels, and TFLite divides by those that are there. The
border adds nothing to a sum, so all that differs is the factor: outputs that average over as many pixels make a region,
a rectangle, and each region gets a job of its own.

Source: databook, lowering.md ("Limits a better driver should lift": no pooling). Inferred.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from hornito.compiler.bands import Span
from hornito.compiler.operators import common, general
from hornito.compiler.operators.common import ACCUMULATOR_LIMIT, LARGEST, MAX_CHANNELS
from hornito.compiler.operators.convolution import activation_fits, factor_fits
from hornito.compiler.operators.general import Geometry, Layer, Part
from hornito.compiler.options import Technique
from hornito.compiler.requantisation import scale_factor
from hornito.compiler.rules import Candidate, Rule, shapes, zero_point
from hornito.compiler.segment import Segment, shape_of
from hornito.compiler.tasks import Shape
from hornito.compiler.weights import Kernels
from hornito.model.graph import Activation, Padding, Pool2DOptions, Tensor
from hornito.model.quantization import output_size, pad_before

CHANNELS_AT_A_TIME = 64
LARGEST_WEIGHT = 255
MAX_REGIONS = 25  # of one operator; beyond, the starts of their jobs cost more than the CPU takes


def _data(c: Candidate) -> list[Tensor]:
    return [c.source, c.target]


def _pool(c: Candidate) -> Pool2DOptions:
    assert isinstance(c.operator.options, Pool2DOptions)
    return c.operator.options


def _pool_geometry(c: Candidate) -> Geometry:
    p = _pool(c)
    kernel, stride = (p.filter_height, p.filter_width), (p.stride_height, p.stride_width)
    shape, out = shape_of(c.source), shape_of(c.target)
    padding = (0, 0)
    if p.padding is Padding.SAME:
        padding = (
            pad_before(shape.rows, out.rows, kernel[0], stride[0]),
            pad_before(shape.columns, out.columns, kernel[1], stride[1]),
        )
    return Geometry(shape, out, kernel, stride, padding=padding, depthwise=True)


def _pool_result(c: Candidate) -> tuple[int, ...]:
    _, rows, columns, channels = c.source.shape
    p = _pool(c)
    return (
        1,
        output_size(rows, p.filter_height, p.stride_height, p.padding),
        output_size(columns, p.filter_width, p.stride_width, p.padding),
        channels,
    )


@dataclass(frozen=True)
class Region:
    """Rows and columns of the output whose windows hold ``pixels`` of the image."""

    rows: Span
    columns: Span
    pixels: int


def regions(g: Geometry) -> list[Region]:
    """The regions of an average's output."""
    down = _stretches(g.input.rows, g.output.rows, g.kernel[0], g.stride[0], g.padding[0])
    across = _stretches(g.input.columns, g.output.columns, g.kernel[1], g.stride[1], g.padding[1])
    return [Region(rows, columns, height * width) for rows, height in down for columns, width in across]


def _stretches(inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> list[tuple[Span, int]]:
    """Along one axis: outputs side by side whose windows hold as many inputs, and how many those are."""
    starts = stride * np.arange(outputs) - padding
    counts = np.minimum(starts + kernel, inputs) - np.maximum(starts, 0)
    edges = [0, *(np.flatnonzero(np.diff(counts)) + 1).tolist(), outputs]
    return [(Span(first, end - first), int(counts[first])) for first, end in itertools.pairwise(edges)]


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
        f"at most {MAX_REGIONS} regions of outputs that average over as many pixels",
        lambda c: len(regions(_pool_geometry(c))) <= MAX_REGIONS,
        lambda c: str(len(regions(_pool_geometry(c)))),
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
    phases = general.choose_way(geometry, chip).phases
    at_a_time = min(CHANNELS_AT_A_TIME, max(MAX_CHANNELS // math.prod(phases or (1,)), 1))
    grouped = segment.options.uses(Technique.GROUPS)  # divided later, by what that takes
    if phases is None and (chip.depthwise or (grouped and channels <= MAX_CHANNELS)):
        at_a_time = channels
    found = regions(geometry)
    parts = []
    for first in range(0, channels, at_a_time):
        count = min(at_a_time, channels - first)
        planes = np.arange(first, first + count, dtype=np.int64)
        for region in found:
            weight, factor = _scaling(c, region.pixels)
            values = np.full((count, 1, *geometry.kernel), weight, np.uint8)
            kernels = Kernels(values, planes, channels, 0, np.zeros(count, np.int64))
            own = (region.rows, region.columns) if len(found) > 1 else None
            parts.append(Part(first, kernels, factor, count, region=own))
    zeros = zero_point(c.source), zero_point(c.target)
    layer = Layer(c.operator.index, c.source, geometry, tuple(parts), relu, *zeros)
    general.add_jobs(segment, layer, *places)


def _scaling(c: Candidate, pixels: int) -> tuple[int, float]:
    """The weight, and the factor from sums of ``pixels`` to output steps. Version 8 has no factors of 2 and more, so
    where a step of the input is that many of the output the weights are larger."""
    source, target = c.source.quantization, c.target.quantization
    assert source is not None and target is not None
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
    pixels = math.prod(_mean_geometry(c).kernel)
    weight, factor = _scaling(c, pixels)
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
        lambda c: f"{_scaling(c, math.prod(_mean_geometry(c).kernel))[1]:g}",
    ),
)


def lower_mean(segment: Segment, c: Candidate) -> None:
    """[transpose] [reshuffle] convolutions; a single pixel is the same bytes in both layouts."""
    places = segment.source(c.operator, c.source), segment.flat_target(c.target)
    _add(segment, c, places, _mean_geometry(c), relu=False)
