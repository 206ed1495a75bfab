# SPDX-License-Identifier: MIT
"""How does any convolution become jobs? One pipeline of small steps, for every operator that is one in disguise.

Zeros between the weights do a dilation. A stride is taken away by parting rows and columns by their phase (a TP job),
the weights alike, but where the unit keeps one pixel of four itself. The window starts at minus the padding before, on
each axis by itself; what the offset's field can't hold is padded by the same TP job. Output channels may fall into
parts, each a job that writes its own planes.

Source: databook, lowering.md ("Weight transforms", "Limits a better driver should lift"), nn-descriptor.md ("Padding":
the general rule; "Sizes": x = columns, y = rows). Inferred: no driver is known to have run these forms.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hornito.compiler.bands import FRAME_FIELDS, MAX_FRAME, Span, window
from hornito.compiler.operators import common
from hornito.compiler.operators.convolution import RESHUFFLED_DEPTHWISE
from hornito.compiler.rules import Candidate, Rule
from hornito.compiler.search import Alternative
from hornito.compiler.segment import Segment
from hornito.compiler.tasks import Convolution, Frame, Reshuffle, Shape
from hornito.compiler.tiling import ceil_div
from hornito.compiler.weights import Kernels, dilated, grown_to_2x2, on_seen_planes, without_stride
from hornito.hardware.chips import Chip
from hornito.hardware.nn import NNDescriptor
from hornito.hardware.tp import TPDescriptor
from hornito.model import quantization
from hornito.model.graph import Tensor

PLANES_FIELDS = tuple(NNDescriptor.layout()[name] for name in ("kernel_z_size", "kernel_z_size2"))
MAX_PLANES = (1 << sum(field.width for field in PLANES_FIELDS)) - 1
MAX_MOVED = TPDescriptor.layout()["in_image_z_size"].largest  # planes
Pair = tuple[int, int]  # of rows, of columns


@dataclass(frozen=True)
class Geometry:
    """A convolution as the model means it: sizes of the tensors and of the kernel before any transform; ``padding``: of
    zero points before the first row and column. ``depthwise``: output channel c sees input plane c alone."""

    input: Shape
    output: Shape
    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: Pair = (0, 0)
    depthwise: bool = False

    @property
    def span(self) -> Pair:
        """Rows and columns of the kernel, zeros of a dilation counted."""
        down, across = zip(self.kernel, self.dilation, strict=True)
        return quantization.window(*down), quantization.window(*across)


@dataclass(frozen=True)
class Way:
    """How the NN unit sees a convolution: ``input`` and ``kernel`` after all transforms. ``phases``: the strides that a
    TP job takes away first, None for no such job; ``padding`` is that job's, or else the window's."""

    input: Shape
    kernel: Pair
    phases: Pair | None
    padding: Pair
    first_pixel: bool

    @property
    def offset(self) -> Pair:
        """The start of the window."""
        return (0, 0) if self.phases else (-self.padding[0], -self.padding[1])


def choose_way(g: Geometry, chip: Chip) -> Way:
    """The transforms that a convolution needs on ``chip``. Whether the result fits the fields is for the rules."""
    return possible_ways(g, chip)[0]


def possible_ways(g: Geometry, chip: Chip) -> list[Way]:
    """The same; behind it, for a stride of 2, the other way to do that, if it fits the fields."""
    # Along an axis with a single output, a stride means nothing, and any will do that makes the kernel fit.
    stride_y, stride_x = (
        ceil_div(span, chip.max_kernel) if places == 1 else stride
        for span, places, stride in zip(g.span, (g.output.rows, g.output.columns), g.stride, strict=True)
    )
    fits = max(g.padding) <= chip.max_offset and max(g.span) <= chip.max_kernel
    if (stride_y, stride_x) == (1, 1) and fits:
        return [Way(g.input, g.span, None, g.padding, first_pixel=False)]
    rows, columns = ceil_div(g.span[0], stride_y), ceil_div(g.span[1], stride_x)
    parted = Shape(g.output.rows + rows - 1, g.output.columns + columns - 1, stride_y * stride_x * g.input.channels)
    parting = Way(parted, (rows, columns), (stride_y, stride_x), g.padding, first_pixel=False)
    if (stride_y, stride_x) != (2, 2) or not fits or not chip.first_pixel_pooling:
        return [parting]
    pooling = Way(g.input, g.span, None, g.padding, first_pixel=True)
    if not _keeps_first_pixel(g, chip):
        return [parting, pooling]
    known = max(parted.rows, parted.columns) <= MAX_FRAME and parted.channels <= MAX_PLANES
    return [pooling, parting] if known and g.input.channels <= MAX_MOVED else [pooling]


def _keeps_first_pixel(g: Geometry, chip: Chip) -> bool:
    """Does a stride of 2 run at full resolution, keeping one output of four? Where the reference driver lets it."""
    if g.depthwise and chip.depthwise:
        return True
    if g.depthwise:
        smallest, largest = RESHUFFLED_DEPTHWISE
        return not any(smallest <= size <= largest for size in (g.input.rows, g.input.columns))
    return g.kernel == (1, 1) and (chip.nn_version == 7 or (min(g.input.rows, g.input.columns) > 2 < g.input.channels))


@dataclass(frozen=True, eq=False)
class Part:
    """Output channels from ``first`` on that one job computes; ``kernels`` before any transform. ``factor``: from sums
    to output steps. ``outputs``: how many of the channels are its own, where a later part computes others of them
    anew. ``region``: the rows and columns that it computes, None for all. ``note`` and ``off_by``: see ``Convolution``.
    """

    first: int
    kernels: Kernels
    factor: float
    outputs: int
    note: str = ""
    off_by: int = 0
    region: tuple[Span, Span] | None = None


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution to be run. ``image`` is the model's tensor that it reads; parts are computed one after the other,
    later ones over earlier ones."""

    operator: int
    image: Tensor
    geometry: Geometry
    parts: tuple[Part, ...]
    relu: bool
    input_zero_point: int
    output_zero_point: int


def add_jobs(segment: Segment, layer: Layer, source: int, target: int) -> None:
    """[reshuffle] and a convolution for each part, from the planes ``source`` to the planes ``target``."""
    chip = segment.options.chip
    chosen = segment.choose([_tasks(chip, layer, way, (source, target)) for way in possible_ways(layer.geometry, chip)])
    for task in chosen.tasks:
        if isinstance(task, Reshuffle):
            source = segment.scratch(layer.image, task.output)
            segment.add(dataclasses.replace(task, target=source))
        elif isinstance(task, Convolution):
            segment.add(dataclasses.replace(task, source=source))


def _tasks(chip: Chip, layer: Layer, way: Way, places: Pair) -> Alternative:
    """All that a way does. If it moves the image first, where to is still open."""
    jobs = tuple(_job(chip, layer, way, part, places) for part in layer.parts)
    if way.phases is None:
        return Alternative("first pixel of each 2x2" if way.first_pixel else "as it is", jobs)
    zero, (pad_y, pad_x), (stride_y, stride_x) = layer.input_zero_point, way.padding, way.phases
    shape, source = layer.geometry.input, places[0]
    move = Reshuffle(layer.operator, source, source, shape, way.input, zero, pad_x, pad_y, stride_x, stride_y)
    return Alternative("rows and columns parted first", (move, *jobs))


def _job(chip: Chip, layer: Layer, way: Way, part: Part, places: Pair) -> Convolution:
    g = layer.geometry
    kernels = dilated(part.kernels, *g.dilation)
    if way.phases is not None:
        kernels = without_stride(kernels, *way.phases)
    kernels, first_input = on_seen_planes(kernels)
    count = kernels.count
    # The unit itself gives each kernel its own plane; fewer of them than cores it deals out wrongly.
    native = (
        chip.depthwise
        and count >= chip.nn_cores
        and kernels.planes == count
        and kernels.values.shape[1] == 1
        and bool((kernels.first_plane == np.arange(count)).all())
        and count > 1
    )
    if kernels.rows == kernels.columns == kernels.planes == 1:
        kernels = grown_to_2x2(kernels)
    stride = max(way.phases) if way.phases is not None else 2 if way.first_pixel else 1
    conv = Convolution(
        operator=layer.operator,
        source=places[0],
        target=places[1],
        input=Shape(way.input.rows, way.input.columns, kernels.planes),
        output=Shape(g.output.rows, g.output.columns, count),
        kernels=kernels,
        stride=stride,
        first_pixel=way.first_pixel,
        depthwise=native,
        runs=not kernels.rows == kernels.columns == 1,
        offset_x=way.offset[1],
        offset_y=way.offset[0],
        relu=layer.relu,
        input_zero_point=layer.input_zero_point,
        output_zero_point=layer.output_zero_point,
        factor=part.factor,
        tiled=(g.output.columns, g.output.rows),  # the tile's width is that of rows in memory
        seen=Frame(way.input.rows, way.input.columns, plane=first_input),
        written=Frame(g.output.rows, g.output.columns, plane=part.first),
        outputs=part.outputs,
        note=part.note,
        off_by=part.off_by,
    )
    return conv if part.region is None else window(conv, *part.region)


def limits(geometry: Callable[[Candidate], Geometry]) -> tuple[Rule, ...]:
    """The rules that a convolution has to keep for the fields of its jobs. What else is too big for one job is cut into
    several (bands.py)."""

    def way(c: Candidate) -> Way:
        return choose_way(geometry(c), c.options.chip)

    def sizes(c: Candidate) -> int:
        shapes = geometry(c).input, way(c).input, geometry(c).output
        return max(size for shape in shapes for size in (shape.rows, shape.columns))

    def moved(c: Candidate) -> int:
        """Planes of the TP job, if there is one."""
        return geometry(c).input.channels if way(c).phases is not None else 0

    return (
        Rule(
            "a kernel within the unit's, zeros of a dilation counted, a stride taken away",
            lambda c: max(way(c).kernel) <= c.options.chip.max_kernel,
            lambda c: f"{way(c).kernel[0]}x{way(c).kernel[1]} where {c.options.chip.max_kernel} is most",
            common.KERNEL_FIELDS,
        ),
        Rule(
            f"at most {MAX_FRAME} rows and columns, which is as far as strides reach",
            lambda c: sizes(c) <= MAX_FRAME,
            lambda c: str(sizes(c)),
            FRAME_FIELDS,
        ),
        Rule(
            f"at most {MAX_PLANES} input planes, {MAX_MOVED} where strides or paddings are taken away first",
            lambda c: way(c).input.channels <= MAX_PLANES and moved(c) <= MAX_MOVED,
            lambda c: f"{way(c).input.channels}" + (f" made of {moved(c)}" if moved(c) else ""),
            PLANES_FIELDS,
        ),
    )
