# SPDX-License-Identifier: MIT
"""How do bytes get another scale, or a clamp? As an NN job of one weight: what an ADD of one operand would be.

The unit sees the bytes as an image of one plane, in whichever order they lie; a kernel of 2x2 has its weight in the
corner, as the reference driver's kernels for images of one plane have. What is left of a last row has a job of its own.

Source: databook, lowering.md ("ADD", "pointwise_to_2x2"), nn-descriptor.md ("Requantisation"). Inferred.
"""

import numpy as np

from hornito.compiler.bands import LEAST_WIDTH, Rows, in_rows
from hornito.compiler.operators import common
from hornito.compiler.operators.convolution import factor_fits
from hornito.compiler.requantisation import scale_factor
from hornito.compiler.rules import Candidate, Rule, zero_point
from hornito.compiler.segment import Segment, plain, planar, same_steps
from hornito.compiler.tasks import Convolution, Frame, Shape
from hornito.compiler.weights import Kernels
from hornito.model.graph import Tensor

LARGEST_WEIGHT = 255
TILE = 64  # columns of the widest tile
Pairs = common.Tensors  # inputs, the last one the output of all


def scaling(source: Tensor, target: Tensor) -> tuple[int, float]:
    """The weight, and the factor from sums to output steps. Version 8 has no factors of 2 and more, so where a step of
    the input is that many of the output the weight is larger."""
    assert source.quantization is not None and target.quantization is not None
    scales = source.quantization.scale, target.quantization.scale
    with np.errstate(all="ignore"):
        steps = scale_factor(scales[0], 1.0, scales[1])
        weight = int(min(steps, LARGEST_WEIGHT - 1)) + 1 if steps >= 1.5 else 1
        return weight, scale_factor(scales[0], 1.0 / weight, scales[1])


def changes(source: Tensor, target: Tensor) -> bool:
    """Do the same bytes mean something else in the other tensor?"""
    assert source.quantization is not None and target.quantization is not None
    one, other = (tensor.quantization for tensor in (source, target))
    assert one is not None and other is not None
    return (one.scale, zero_point(source)) != (other.scale, zero_point(target))


def factors_fit(pairs: Pairs) -> Rule:
    """The unit can scale from each input to the output. Needs ``per_tensor`` before it."""

    def all_fit(c: Candidate) -> bool:
        *sources, target = pairs(c)
        return all(factor_fits(scaling(source, target)[1], c.options.chip) for source in sources)

    return Rule(
        "input scales / output scale within the hardware's shift",
        all_fit,
        lambda c: ", ".join(f"{t.quantization.scale:g}" for t in pairs(c) if t.quantization),
        common.SHIFT_FIELDS,
    )


def lower(segment: Segment, c: Candidate, *, relu: bool = False) -> None:
    """An operator of one input and one output that does this and no more, on the bytes as they lie."""
    place, steps = segment.lies(c.source)
    tensors = c.source, c.target
    if not same_steps(c.source, steps, plain(c.source)):
        add_jobs(segment, c, (place, segment.target(c.target)), tensors, relu=relu)
        segment.finish(c.operator, c.target)
        return
    if same_steps(c.target, planar(c.target), plain(c.target)):
        segment.flat_target(c.target)
    add_jobs(segment, c, (place, c.target.index), tensors, relu=relu)


def add_jobs(
    segment: Segment, c: Candidate, places: tuple[int, int], tensors: tuple[Tensor, Tensor], *, relu: bool = False
) -> None:
    """From all bytes of one place to another, in the same order."""
    source, target = tensors
    weight, factor = scaling(source, target)
    values = np.zeros((1, 1, 2, 2), np.uint8)
    values[0, 0, 0, 0] = weight
    kernels = Kernels(values, np.zeros(1, np.int64), 1, 0, np.zeros(1, np.int64))
    bands = _bands(source.elements)
    for band in bands:
        rows, columns = band.size
        first = band.frame.offset
        segment.add(
            Convolution(
                operator=c.operator.index,
                source=places[0],
                target=places[1],
                input=Shape(rows, columns, 1),
                output=Shape(rows, columns, 1),
                kernels=kernels,
                stride=1,
                first_pixel=False,
                depthwise=False,
                runs=False,
                offset_x=0,
                offset_y=0,
                relu=relu,
                input_zero_point=zero_point(source),
                output_zero_point=zero_point(target),
                factor=factor,
                tiled=(columns, rows),
                seen=band.frame,
                written=band.frame,
                piece=f"bytes {first} to {first + rows * columns - 1}" if len(bands) > 1 else "",
                clamps=relu and not changes(source, target),
            )
        )


def _bands(size: int) -> tuple[Rows, ...]:
    """The bytes as one image, if any has so many, with rows that tiles cut as evenly as can be; else full rows and a
    rest."""
    widths = [width for width in range(LEAST_WIDTH, common.MAX_SIZE + 1) if size % width == 0]
    fitting = [width for width in widths if size // width <= common.MAX_SIZE]
    if fitting:
        width = min(fitting, key=lambda width: (-(-width // TILE) * TILE - width, width))
        return (Rows((size // width, width), Frame(size // width, width)),)
    return in_rows(size, common.MAX_SIZE)[0]
