# SPDX-License-Identifier: MIT
"""How is a job that is too big cut into jobs?

Strides are independent of sizes, so a job can see and write a part of its tensors' planes where they lie: a band of
rows, of columns, or both. A band's image has the rows and columns that its outputs see; those beyond the tensor's edge
come from the window's start and the constant border, as without bands. Output channels fall into groups, each of which
sees the planes that its kernels know.

Source: databook, lowering.md ("Limits a better driver should lift": large tensors). Inferred: no driver is known to
have run such jobs.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from hornito.compiler.tasks import Convolution, Frame, Reshuffle, Shape, Task
from hornito.compiler.tiling import ceil_div
from hornito.compiler.weights import on_seen_planes, part
from hornito.hardware.nn import NNDescriptor
from hornito.hardware.tp import TPDescriptor


@dataclass(frozen=True)
class Limits:
    """What a job can hold. ``size``: rows and columns of an NN job, counted before pooling; ``outputs``: its output
    channels; ``window``: rows and columns that a TP job reads, borders counted."""

    size: int
    outputs: int
    window: int


def _limits() -> Limits:
    sizes, moves = NNDescriptor.layout(), TPDescriptor.layout()
    return Limits(
        min(sizes[f"{which}_image_{axis}_size"].largest for which in ("in", "out") for axis in "xy"),
        sizes["out_image_z_size"].largest,
        moves["in_window_x_end"].largest,
    )


FIELDS = _limits()
# Of a tensor of whose planes a part can be seen: bytes from row to row, rows from plane to plane.
FRAME_FIELDS = (
    *(NNDescriptor.layout()[f"{which}_image_{axis}_stride"] for which in ("in", "out") for axis in "xy"),
    TPDescriptor.layout()["in_image_stride"],
)
MAX_FRAME = min(field.largest for field in FRAME_FIELDS)


@dataclass(frozen=True)
class Span:
    """Outputs ``first`` to ``first + count - 1`` along one axis."""

    first: int
    count: int


@dataclass(frozen=True)
class _Axis:
    """One axis of a job: how many inputs and outputs; output i sees the inputs from step * i + start on, as many as the
    kernel has."""

    inputs: int
    outputs: int
    kernel: int
    step: int
    start: int

    def inputs_of(self, span: Span) -> tuple[int, int, int]:
        """The first input that ``span`` sees, how many, and where the window starts from there on."""
        start = self.step * span.first + self.start
        first = max(start, 0)
        end = min(start + self.step * (span.count - 1) + self.kernel, self.inputs)
        assert first < end  # every window sees a real input
        return first, end - first, start - first


def cut(task: Task, limits: Limits = FIELDS) -> list[Task]:
    """The jobs that do what ``task`` does, each within ``limits``; most are within, and stay as they are."""
    if isinstance(task, Reshuffle):
        return _reshuffles(task, limits.window)
    if not isinstance(task, Convolution) or task.wraps:
        return [task]
    whole = task.kernels.count <= limits.outputs
    parts = [task] if whole else groups(task, even_spans(task.kernels.count, limits.outputs))
    return [band for group in parts for band in _bands(group, limits.size)]


def is_band(task: Task) -> bool:
    """Does a job see or write a part of its planes only?"""
    if not isinstance(task, Convolution | Reshuffle):
        return False
    return any(
        (frame.rows, frame.columns) != (image.rows, image.columns)
        for frame, image in ((task.source_frame, task.input), (task.target_frame, task.output))
    )


def even_spans(count: int, most: int) -> list[Span]:
    """``count`` as few spans of about the same length, of at most ``most``."""
    parts = ceil_div(count, max(most, 1))
    edges = [count * number // parts for number in range(parts + 1)]
    return [Span(first, end - first) for first, end in zip(edges, edges[1:], strict=False)]


def window(conv: Convolution, rows: Span, columns: Span) -> Convolution:
    """The job that computes these rows and columns of the output alone."""
    down = _Axis(conv.input.rows, conv.output.rows, conv.kernels.rows, conv.step, conv.offset_y)
    across = _Axis(conv.input.columns, conv.output.columns, conv.kernels.columns, conv.step, conv.offset_x)
    top, height, offset_y = down.inputs_of(rows)
    left, width, offset_x = across.inputs_of(columns)
    return dataclasses.replace(
        conv,
        input=Shape(height, width, conv.input.channels),
        output=Shape(rows.count, columns.count, conv.output.channels),
        offset_x=offset_x,
        offset_y=offset_y,
        tiled=(columns.count, rows.count),
        seen=_moved(conv.source_frame, top, left),
        written=_moved(conv.target_frame, rows.first, columns.first),
        piece=_pieces(conv.piece, _text("row", rows, conv.output.rows), _text("column", columns, conv.output.columns)),
    )


def _text(axis: str, span: Span, whole: int) -> str:
    """For a user; nothing where all are meant."""
    if span.count == whole:
        return ""
    return f"{axis} {span.first}" if span.count == 1 else f"{axis}s {span.first} to {span.first + span.count - 1}"


def _pieces(*texts: str) -> str:
    return ", ".join(text for text in texts if text)


def _moved(frame: Frame, rows: int, columns: int) -> Frame:
    return dataclasses.replace(frame, row=frame.row + rows, column=frame.column + columns)


def groups(conv: Convolution, spans: Sequence[Span]) -> list[Convolution]:
    """A job for each group of output channels."""
    found = []
    own = conv.kernels.count if conv.outputs is None else conv.outputs
    for span in spans:
        end = span.first + span.count
        kernels, first = on_seen_planes(part(conv.kernels, span.first, end))
        seen, written = conv.source_frame, conv.target_frame
        found.append(
            dataclasses.replace(
                conv,
                kernels=kernels,
                input=Shape(conv.input.rows, conv.input.columns, kernels.planes),
                output=Shape(conv.output.rows, conv.output.columns, span.count),
                seen=dataclasses.replace(seen, plane=seen.plane + first),
                written=dataclasses.replace(written, plane=written.plane + span.first),
                outputs=own * end // conv.kernels.count - own * span.first // conv.kernels.count,
                piece=_pieces(conv.piece, _text("channel", span, conv.kernels.count)),
            )
        )
    return found


def _bands(conv: Convolution, most: int) -> list[Convolution]:
    """A job for each band of rows and columns."""
    rows = _spans(conv.input.rows, conv.output.rows, conv.kernels.rows, conv.step, most)
    columns = _spans(conv.input.columns, conv.output.columns, conv.kernels.columns, conv.step, most)
    if rows is None and columns is None:
        return [conv]
    found = []
    for down in rows or [Span(0, conv.output.rows)]:
        for across in columns or [Span(0, conv.output.columns)]:
            found.append(window(conv, down, across))
    return found


def _spans(inputs: int, outputs: int, kernel: int, step: int, most: int) -> list[Span] | None:
    """Bands along one axis, None where the whole fits."""
    if max(inputs, step * outputs) <= most:
        return None
    return even_spans(outputs, min(most // step, (most - kernel) // step + 1))


def _reshuffles(move: Reshuffle, most: int) -> list[Task]:
    """A job for each band of rows and columns of the phases."""
    size = most + 1
    if max(move.stride_y * move.output.rows, move.stride_x * move.output.columns) <= size:
        return [move]
    return [
        _reshuffle_band(move, rows, columns)
        for rows in even_spans(move.output.rows, size // move.stride_y)
        for columns in even_spans(move.output.columns, size // move.stride_x)
    ]


def _reshuffle_band(move: Reshuffle, rows: Span, columns: Span) -> Reshuffle:
    down = _Axis(move.input.rows, move.output.rows, move.stride_y, move.stride_y, -move.pad_y)
    across = _Axis(move.input.columns, move.output.columns, move.stride_x, move.stride_x, -move.pad_x)
    top, height, offset_y = down.inputs_of(rows)
    left, width, offset_x = across.inputs_of(columns)
    return dataclasses.replace(
        move,
        input=Shape(height, width, move.input.channels),
        output=Shape(rows.count, columns.count, move.output.channels),
        pad_x=-offset_x,
        pad_y=-offset_y,
        seen=_moved(move.source_frame, top, left),
        written=_moved(move.target_frame, rows.first, columns.first),
    )


LEAST_WIDTH = 128  # bytes in a row of an image that is none, the most that the reference driver takes


@dataclass(frozen=True)
class Rows:
    """Rows and columns of bytes that are seen as an image, and where they lie."""

    size: tuple[int, int]
    frame: Frame


def in_rows(size: int, most: int) -> tuple[tuple[Rows, ...], int]:
    """``size`` bytes as full rows of an image of at most ``most`` rows and columns, and what is left of a last row; and
    the bytes by which that falls short of a full one."""
    width = LEAST_WIDTH
    while size // width > most and 2 * width <= most:
        width *= 2
    full, rest = divmod(size, width)
    rows = full + (rest > 0)
    bands = [Rows((full, width), Frame(rows, width))] if full else []
    bands += [Rows((1, rest), Frame(rows, width, row=full))] if rest else []
    return tuple(bands), rows * width - size
