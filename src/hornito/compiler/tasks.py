# SPDX-License-Identifier: MIT
"""What is there to do on the NPU, before anything has an address or a bit? Plain values, made by lowering."""

from dataclasses import dataclass

from hornito.compiler.weights import Kernels

MAX_COORDINATE = 32767  # of a TP job's window: signed 16-bit numbers


@dataclass(frozen=True)
class Shape:
    """Rows, columns and channels of a tensor of batch 1."""

    rows: int
    columns: int
    channels: int

    @property
    def bytes(self) -> int:
        """Size of the tensor, one byte an element."""
        return self.rows * self.columns * self.channels

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}x{self.channels}"


@dataclass(frozen=True)
class Frame:
    """Where in a tensor a job's image lies: the rows and columns of the tensor's planes, and the image's first row,
    column and plane there."""

    rows: int
    columns: int
    row: int = 0
    column: int = 0
    plane: int = 0

    @property
    def plane_bytes(self) -> int:
        """From plane to plane."""
        return self.rows * self.columns

    @property
    def offset(self) -> int:
        """Bytes of the tensor before the image's first one."""
        return self.plane * self.plane_bytes + self.row * self.columns + self.column

    def reach(self, image: Shape) -> int:
        """Bytes of the tensor up to the image's last one."""
        last = (image.channels - 1) * self.plane_bytes + (image.rows - 1) * self.columns + image.columns
        return self.offset + last


@dataclass(frozen=True)
class Job:
    """One job: it reads tensor ``source`` and writes tensor ``target`` (numbers of tensors in device memory) on behalf
    of operator ``operator`` of the model. Shapes are those of the two tensors as the job sees them."""

    operator: int
    source: int
    target: int
    input: Shape
    output: Shape

    @property
    def reads(self) -> tuple[int, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[int, ...]:
        return (self.target,)

    @property
    def source_frame(self) -> Frame:
        """Where ``input`` lies in the source."""
        return Frame(self.input.rows, self.input.columns)

    @property
    def target_frame(self) -> Frame:
        """Where ``output`` lies in the target."""
        return Frame(self.output.rows, self.output.columns)


@dataclass(frozen=True, kw_only=True)
class _Framed(Job):
    """A job that may see and write parts of planes: ``seen`` and ``written`` say which, None that all of them."""

    seen: Frame | None = None
    written: Frame | None = None

    @property
    def source_frame(self) -> Frame:
        return self.seen or super().source_frame

    @property
    def target_frame(self) -> Frame:
        return self.written or super().target_frame


@dataclass(frozen=True, eq=False)
class Convolution(_Framed):
    """An NN job. ``stride`` is the model's, also where the kernels were freed of it; the job itself moves by 1 or, with
    ``first_pixel``, keeps one of each 2x2. ``offset_*``: where the kernel's window starts, minus the padding before.
    ``tiled``: the output's rows and columns as the choice of a tile sees them, where that is not ``output``.

    ``outputs``: how many of the operator's output channels are its to compute, where other jobs compute the rest;
    ``piece``: which outputs these are, where the job was cut (bands.py); ``note``: what a user should know of it;
    ``off_by``: the most, in output steps, that the operator's results may differ for sharing jobs between weights of
    different scales; ``clamps``: all that it does is to clamp its input, at the same scale and zero point."""

    kernels: Kernels
    stride: int
    first_pixel: bool
    depthwise: bool  # by the unit itself: each kernel sees its own plane
    runs: bool  # may zero runs be coded?
    offset_x: int
    offset_y: int
    relu: bool
    input_zero_point: int
    output_zero_point: int
    factor: float  # accumulator to output steps
    tiled: tuple[int, int] | None = None
    rows_whole: bool = False  # an order of wide kernels that is wrong (reference_driver.py)
    wraps: bool = False  # sizes are cut to their fields (reference_driver.py)
    outputs: int | None = None
    piece: str = ""
    note: str = ""
    off_by: int = 0
    clamps: bool = False

    @property
    def step(self) -> int:
        """Rows and columns of the image from one output that is kept to the next."""
        return 2 if self.first_pixel else 1


@dataclass(frozen=True)
class Transpose(Job):
    """A TP job: interleaved (NHWC) to planar."""

    zero_point: int


@dataclass(frozen=True)
class Detranspose(Job):
    """A TP job: planar to interleaved (NHWC)."""

    zero_point: int


@dataclass(frozen=True)
class Copy(Job):
    """A TP job: planes to another place, as an image of ``copy_lines``."""

    zero_point: int


def copy_lines(size: int) -> tuple[int, int] | None:
    """Lines and columns of an image of one channel that has so many bytes and fits a TP job, or None."""
    for lines in range(1, MAX_COORDINATE + 1):
        if size % lines == 0 and size // lines <= MAX_COORDINATE:
            return lines, size // lines
    return None


@dataclass(frozen=True)
class Pad(Job):
    """A TP job: a border of one pixel of the zero point on all four sides of each plane."""

    zero_point: int


@dataclass(frozen=True)
class Reshuffle(_Framed):
    """A TP job: each plane becomes ``stride_y`` times ``stride_x``, by row and column modulo those, with ``pad_*`` rows
    and columns of the zero point before the first. Plane z becomes stride_y * stride_x * z + stride_x * (row phase) +
    (column phase). ``all_cores``: take every TP core also where the reference driver takes one."""

    zero_point: int
    pad_x: int
    pad_y: int
    stride_x: int = 2
    stride_y: int = 2
    all_cores: bool = False


@dataclass(frozen=True)
class Loop:
    """``count`` steps; each goes ``source`` bytes on in the tensor that is read and ``target`` in the one written. The
    first ``before`` and the last ``after`` steps lie outside of the tensor read: there its zero point is found."""

    count: int
    source: int
    target: int
    before: int = 0
    after: int = 0

    @property
    def outside(self) -> bool:
        """Does no step lie within the tensor that is read?"""
        return self.before + self.after >= self.count


@dataclass(frozen=True)
class Walk:
    """Nested loops over the bytes of two tensors, in any order: all combinations of their steps. ``source``: the byte
    at the first steps that lie within the tensor; ``target``: the byte at the very first ones."""

    source: int
    target: int
    loops: tuple[Loop, ...]


@dataclass(frozen=True)
class Strided(Job):
    """TP jobs: copies along walks that share no byte of the target. Bytes are moved from one zero point to the other,
    and held within 0..255."""

    zero_point: int
    output_zero_point: int
    walks: tuple[Walk, ...]


@dataclass(frozen=True)
class View:
    """No job: tensors that lie in one another. ``parts``: number and bytes of each part, in the order in which they lie
    behind each other in the whole, whose shape is ``shape``."""

    operator: int
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    parts: tuple[tuple[int, int], ...]
    shape: Shape

    @property
    def whole(self) -> int:
        """The tensor that the parts make up."""
        raise NotImplementedError


@dataclass(frozen=True)
class Join(View):
    """``writes`` is the whole of the parts, ``reads``."""

    @property
    def whole(self) -> int:
        return self.writes[0]


@dataclass(frozen=True)
class Part(View):
    """``reads`` is the whole of the parts, ``writes``."""

    @property
    def whole(self) -> int:
        return self.reads[0]


Move = Transpose | Detranspose | Copy | Pad | Reshuffle | Strided
Task = Job | View
