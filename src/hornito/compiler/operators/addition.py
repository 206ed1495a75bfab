# SPDX-License-Identifier: MIT
"""ADD: which can the NPU run, and as which jobs?

A convolution that multiplies its two inputs, lying behind each other, by two weights.

Source: databook, lowering.md ("ADD"); a wider image where the reference driver's overflows is inferred.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hornito.compiler.operators import common
from hornito.compiler.operators.common import MAX_CHANNELS, MAX_SIZE
from hornito.compiler.operators.convolution import factor_fits
from hornito.compiler.requantisation import scale_factor
from hornito.compiler.rules import Candidate, Rule, shapes, zero_point
from hornito.compiler.segment import Segment, shape_of
from hornito.compiler.tasks import Convolution, Shape
from hornito.compiler.weights import Kernels
from hornito.model.graph import Activation, AddOptions

WIDTHS = (128, 64, 32)  # of the image that an addition is seen as, if they divide a plane
LARGEST_OTHER_WIDTH = 63
NO_ACTIVATION = "no activation"
IMAGE = f"a tensor that can be seen as an image of at most {MAX_SIZE} by {MAX_SIZE}"
SIZES = f"at most {MAX_SIZE} rows and columns, and {MAX_CHANNELS // 2} channels"
Make = Callable[[Candidate, int, int], Sequence[Convolution]]  # jobs from both inputs' tensor to the output's


@dataclass(frozen=True)
class Weights:
    """The two weights (0..255; the larger is 255) and what they stand for: ``scale`` each; ``bias`` brings in the
    difference of the zero points."""

    first: int
    second: int
    scale: float
    bias: int


def _weights(c: Candidate) -> Weights:
    """In float32 but for the quotients, which the reference driver takes in double; on version 8 the second in float32.
    Halves are rounded away from zero."""
    a, b = c.operand(0).quantization, c.operand(1).quantization
    assert a is not None and b is not None
    s0, s1 = np.float32(a.scale), np.float32(b.scale)
    with np.errstate(all="ignore"):
        ratio = np.float32(s1 / s0)
        scale = np.float32(max(ratio, np.float32(1.0)) / np.float32(255.0))
        if not np.isfinite(ratio) or not np.isfinite(np.float32(scale * s0)):
            return Weights(0, 0, 0.0, 0)
        second = ratio / scale if c.options.chip.nn_version == 8 else np.float64(ratio) / np.float64(scale)
        difference = np.float32(np.float32(zero_point(c.operand(0)) - zero_point(c.operand(1))) * s1)
        bias = difference / np.float32(scale * s0)
    return Weights(_round(1.0 / np.float64(scale)), _round(float(second)), float(scale), _round(float(bias)))


def _round(value: float) -> int:
    return int(np.trunc(value + np.copysign(0.5, value)))


def _factor(c: Candidate) -> float:
    a, out = c.operand(0).quantization, c.target.quantization
    assert a is not None and out is not None
    with np.errstate(all="ignore"):
        return scale_factor(a.scale, _weights(c).scale, out.scale)


def _plain_width(shape: Shape) -> int:
    """The width that the reference driver takes for the image that an addition is seen as."""
    plane = shape.rows * shape.columns
    width = next((w for w in WIDTHS if plane % w == 0), 0)
    return width or max(w for w in range(1, LARGEST_OTHER_WIDTH + 1) if plane % w == 0)


def _width(c: Candidate) -> int:
    """Bytes in a row of the image that a version 7 addition is seen as; 0 where no width makes all sizes fit."""
    shape = shape_of(c.source)
    width = _plain_width(shape)
    if shape.bytes // width <= MAX_SIZE or c.options.as_reference:
        return width
    return next((w for w in range(width, MAX_SIZE + 1) if shape.bytes % w == 0 and shape.bytes // w <= MAX_SIZE), 0)


RULES: tuple[Rule, ...] = (
    common.NN_IN_USE,
    common.computed(lambda c: c.operands),
    common.one_type("inputs and output", common.data),
    common.single_images(common.data),
    Rule(
        "inputs and output of the same shape",
        lambda c: len({tensor.shape for tensor in common.data(c)}) == 1,
        lambda c: shapes(*common.data(c)),
    ),
    common.per_tensor("inputs and output", common.data),
    common.zero_points(common.data),
    Rule(
        NO_ACTIVATION,
        lambda c: isinstance(options := c.operator.options, AddOptions) and options.activation is Activation.NONE,
        lambda c: options.activation.name if isinstance(options := c.operator.options, AddOptions) else "no options",
    ),
    Rule(
        IMAGE,
        lambda c: c.options.chip.nn_version == 8 or _width(c) > 0,
        lambda c: shapes(c.source),
        common.SIZE_FIELDS,
    ),
    Rule(
        SIZES,
        lambda c: max(c.source.shape[1:3]) <= MAX_SIZE and 2 * c.source.shape[3] <= MAX_CHANNELS,
        lambda c: shapes(c.source),
        (*common.SIZE_FIELDS, *common.CHANNEL_FIELDS),
    ),
    Rule(
        "scales whose ratio fits 8 bits, and a result's that fits the hardware's shift",
        lambda c: (
            0 <= _weights(c).first <= 255 and 0 <= _weights(c).second <= 255 and factor_fits(_factor(c), c.options.chip)
        ),
        lambda c: f"a factor of {_factor(c):g}",
        common.SHIFT_FIELDS,
    ),
)


def lower(segment: Segment, c: Candidate) -> None:
    """Both inputs behind each other, one convolution."""
    lower_as(segment, c, lambda c, source, target: [whole(c, source, target)])


def lower_as(segment: Segment, c: Candidate, make: Make, gap: int = 0) -> None:
    """Both inputs behind each other, ``gap`` bytes apart, then what ``make`` gives."""
    a, b = c.operand(0), c.operand(1)
    forgets = c.options.as_reference
    parts = [
        (segment.untouched(tensor) if forgets else segment.source(c.operator, tensor), tensor) for tensor in (a, b)
    ]
    shape = shape_of(a)
    both = Shape(1, 1, 2 * shape.bytes + gap) if gap else Shape(shape.rows, shape.columns, 2 * shape.channels)
    source = segment.scratch(a, both)
    segment.join(c.operator, parts, source, both, gap)
    for job in make(c, source, segment.target(c.target)):
        segment.add(job)
    segment.finish(c.operator, c.target)


def whole(c: Candidate, source: int, target: int) -> Convolution:
    """The addition as one job."""
    return (_on_version_8 if c.options.chip.nn_version == 8 else _on_version_7)(c, source, target)


def _job(c: Candidate, kernels: Kernels, images: tuple[int, Shape, int, Shape], tiled: tuple[int, int]) -> Convolution:
    source, before, target, after = images
    return Convolution(
        operator=c.operator.index,
        source=source,
        target=target,
        input=before,
        output=after,
        kernels=kernels,
        stride=1,
        first_pixel=False,
        depthwise=False,
        runs=False,
        offset_x=0,
        offset_y=0,
        relu=False,
        input_zero_point=zero_point(c.operand(0)),
        output_zero_point=zero_point(c.target),
        factor=_factor(c),
        tiled=tiled,
        wraps=c.options.as_reference,
    )


def _on_version_7(c: Candidate, source: int, target: int) -> Convolution:
    """The tensors as two planes of one image."""
    width = _width(c)
    length = shape_of(c.source).bytes // width
    return on_planes(c, (source, target), sorted((width, length)), (width, length))


def on_planes(c: Candidate, places: tuple[int, int], size: Sequence[int], tiled: tuple[int, int]) -> Convolution:
    """One kernel of 2x2 with a weight in the corner of each plane; ``size``: the planes' rows and columns."""
    weights = _weights(c)
    rows, columns = size
    values = np.zeros((1, 2, 2, 2), np.uint8)
    values[0, :, 0, 0] = weights.first, weights.second
    kernels = Kernels(values, np.zeros(1, np.int64), 2, 0, np.array([weights.bias], np.int64))
    images = (places[0], Shape(rows, columns, 2), places[1], Shape(rows, columns, 1))
    return _job(c, kernels, images, tiled)


def _on_version_8(c: Candidate, source: int, target: int) -> Convolution:
    """A 1x1 convolution of both tensors' channels, with a weight matrix of two diagonals."""
    weights, shape = _weights(c), shape_of(c.source)
    channels = np.arange(shape.channels)
    values = np.zeros((shape.channels, 2 * shape.channels, 1, 1), np.uint8)
    values[channels, channels] = weights.first
    values[channels, shape.channels + channels] = weights.second
    bias = np.full(shape.channels, weights.bias, np.int64)
    kernels = Kernels(values, np.zeros(shape.channels, np.int64), 2 * shape.channels, 0, bias)
    both = Shape(shape.rows, shape.columns, 2 * shape.channels)
    width = _plain_width(shape)
    return _job(c, kernels, (source, both, target, shape), (width, shape.bytes // width))
