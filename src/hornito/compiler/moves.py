# SPDX-License-Identifier: MIT
"""Which TP descriptors move a tensor? One a TP core, addresses relative to the two tensors' beginnings.

Source: databook, tp-descriptor.md ("Jobs"), with its general rule where the reference driver's own is wrong.
"""

import dataclasses
from dataclasses import dataclass

from hornito.compiler.strides import strided_descriptors
from hornito.compiler.tasks import Copy, Detranspose, Move, Pad, Reshuffle, Shape, Strided, Transpose, copy_lines
from hornito.compiler.tiling import ceil_div
from hornito.hardware.chips import Chip
from hornito.hardware.tp import TPDescriptor


def move_descriptors(move: Move, chip: Chip) -> tuple[TPDescriptor, ...]:
    """The descriptors of a TP job, whose base addresses are offsets from the source's and the target's address.

    A strided move may be several jobs; ``no_flush`` is 0 on the last core of each.
    """
    match move:
        case Transpose():
            return (_transpose(move.input, move.zero_point),)
        case Detranspose():
            return (_detranspose(move.input, move.zero_point),)
        case Copy():
            # Contiguous bytes, seen as an image of one channel whose two sizes fit their fields.
            lines = copy_lines(move.input.bytes)
            assert lines is not None  # else lowering has taken another way
            return (_transpose(Shape(*lines, 1), move.zero_point),)
        case Pad():
            return _pad(move, chip.tp_cores)
        case Reshuffle():
            return _reshuffle(move, chip.tp_cores)
        case Strided():
            return strided_descriptors(move, chip.tp_cores)


def _transpose(shape: Shape, zero_point: int) -> TPDescriptor:
    """Seen as an image of x = channel, y = column, z = row; each tile is one channel of one row."""
    return TPDescriptor(
        in_image_x_size=shape.channels,
        in_image_y_size=shape.columns,
        in_image_z_size=shape.rows,
        in_image_stride=shape.channels,
        in_image_slice=shape.columns * shape.channels,
        in_window_x_end=shape.channels - 1,
        in_window_y_end=shape.columns - 1,
        in_tile_x_size=1,
        in_tile_x_inc=1,
        in_tile_y_size=shape.columns,
        in_tile_y_inc=shape.columns,
        in_image_base_address=0,
        out_image_base_address=0,
        out_loop_0_inc=1,
        out_loop_0_count=shape.columns,
        out_loop_1_inc=shape.rows * shape.columns,
        out_loop_1_count=shape.channels,
        out_loop_2_inc=shape.columns,
        out_loop_2_count=shape.rows,
        in_zp=zero_point,
        out_zp=zero_point,
    )


def _detranspose(shape: Shape, zero_point: int) -> TPDescriptor:
    """A linear scan of the planes, as an image of x = row length, y = everything else."""
    rest = shape.columns * shape.channels
    return TPDescriptor(
        in_image_x_size=shape.rows,
        in_image_y_size=rest,
        in_image_z_size=1,
        in_image_stride=shape.rows,
        in_image_slice=shape.bytes,
        in_window_x_end=shape.rows - 1,
        in_window_y_end=rest - 1,
        in_tile_x_size=1,
        in_tile_x_inc=1,
        in_tile_y_size=1,
        in_tile_y_inc=1,
        in_image_base_address=0,
        out_image_base_address=0,
        out_loop_0_inc=shape.channels,
        out_loop_0_count=shape.columns,
        out_loop_2_inc=rest,
        out_loop_2_count=shape.rows,
        out_loop_3_inc=1,
        out_loop_3_count=shape.channels,
        out_loop_4_inc=shape.bytes,
        in_zp=zero_point,
        out_zp=zero_point,
    )


@dataclass(frozen=True)
class _Axis:
    """One axis of a reshuffle: elements in, elements out of each parity, zero points before the first."""

    name: str
    input: int
    output: int
    pad: int


def _reshuffle(move: Reshuffle, tp_cores: int) -> tuple[TPDescriptor, ...]:
    source, target = move.input, move.output
    cores = tp_cores if source.rows > 8 or source.channels > 1 else 1
    if source.channels == 3 and source.rows in (320, 224):
        cores = 1  # as the reference driver, which notes it as slow
    if move.all_cores:
        cores = tp_cores
    axes = {
        "x": _Axis("x", source.columns, target.columns, move.pad_x),
        "y": _Axis("y", source.rows, target.rows, move.pad_y),
        "z": _Axis("z", source.channels, source.channels, 0),
    }
    # Split along the longest axis, the later one where two are equal.
    split = max(reversed(axes.values()), key=lambda axis: axis.output)
    steps = {
        "x": (1, 1),
        "y": (move.source_frame.columns, move.target_frame.columns),
        "z": (move.source_frame.plane_bytes, move.stride_y * move.stride_x * move.target_frame.plane_bytes),
    }
    step_in, step_out = steps[split.name]
    descriptors = []
    stride = {"x": move.stride_x, "y": move.stride_y, "z": 1}[split.name]
    for part, done_in, done_out in _split(split, cores, stride):
        own = axes | {split.name: part}
        base = _reshuffle_part(move, own["x"], own["y"], own["z"])
        descriptors.append(
            dataclasses.replace(
                base, in_image_base_address=done_in * step_in, out_image_base_address=done_out * step_out
            )
        )
    return _flush_last(descriptors)


def _flush_last(descriptors: list[TPDescriptor]) -> tuple[TPDescriptor, ...]:
    """Only the last core of a job flushes."""
    return tuple(
        dataclasses.replace(descriptor, no_flush=int(number < len(descriptors) - 1))
        for number, descriptor in enumerate(descriptors)
    )


def _pad(move: Pad, tp_cores: int) -> tuple[TPDescriptor, ...]:
    """A border of one pixel on all four sides; the planes are dealt out to all cores that get any."""
    source, target = move.input, move.output
    plane_in, plane_out = source.rows * source.columns, target.rows * target.columns
    descriptors = []
    for part, done_in, done_out in _split(_Axis("z", source.channels, source.channels, 0), tp_cores):
        descriptors.append(
            TPDescriptor(
                in_image_x_size=source.columns,
                in_image_y_size=source.rows,
                in_image_z_size=part.input,
                in_image_stride=source.columns,
                in_image_slice=plane_in,
                in_window_x_start=-1,
                in_window_y_start=-1,
                in_window_x_end=source.columns,
                in_window_y_end=source.rows,
                in_tile_x_size=target.columns,
                in_tile_x_inc=target.columns,
                in_tile_y_size=target.rows,
                in_tile_y_inc=target.rows,
                in_image_base_address=done_in * plane_in,
                out_image_base_address=done_out * plane_out,
                out_loop_0_inc=0,
                out_loop_1_inc=1,
                out_loop_1_count=target.columns,
                out_loop_2_inc=target.columns,
                out_loop_2_count=target.rows,
                out_loop_6_inc=plane_out,
                in_zp=move.zero_point,
                out_zp=move.zero_point,
            )
        )
    return _flush_last(descriptors)


def _split(axis: _Axis, cores: int, stride: int = 1) -> list[tuple[_Axis, int, int]]:
    """Deal an axis out to cores: each part, and how much input and output earlier parts have."""
    parts = []
    rest_in, rest_out = axis.input, axis.output
    for core in range(cores):
        size = ceil_div(rest_out, cores - core)
        if size == 0:
            continue
        pad = max(axis.pad - stride * (axis.output - rest_out), 0)  # mostly the first core has it all
        taken = stride * size - pad
        # The last part takes the rest; never more than there is, or a core would read the next plane's rows.
        taken = rest_in if core == cores - 1 else max(min(taken, rest_in), 0)
        parts.append((_Axis(axis.name, taken, size, pad), axis.input - rest_in, axis.output - rest_out))
        rest_out -= size
        rest_in -= taken
    return parts


def _reshuffle_part(move: Reshuffle, x: _Axis, y: _Axis, z: _Axis) -> TPDescriptor:
    source, target = move.source_frame, move.target_frame
    plane = target.plane_bytes
    across, down = move.stride_x * x.output, move.stride_y * y.output
    return TPDescriptor(
        in_image_x_size=x.input,
        in_image_y_size=y.input,
        in_image_z_size=z.input,
        in_image_stride=source.columns,
        in_image_slice=source.plane_bytes,
        in_window_x_start=-x.pad,
        in_window_y_start=-y.pad,
        in_window_x_end=across - 1 - x.pad,
        in_window_y_end=down - 1 - y.pad,
        in_tile_x_size=across,
        in_tile_x_inc=across,
        in_tile_y_size=down,
        in_tile_y_inc=down,
        in_image_base_address=0,
        out_image_base_address=0,
        out_loop_0_inc=plane,
        out_loop_0_count=move.stride_x,
        out_loop_1_inc=1,
        out_loop_1_count=x.output,
        out_loop_1_reset=1,
        out_loop_2_inc=move.stride_x * plane,
        out_loop_2_count=move.stride_y,
        out_loop_3_inc=target.columns,
        out_loop_3_count=y.output,
        out_loop_3_reset=1,
        out_loop_6_inc=move.stride_y * move.stride_x * plane,
        in_zp=move.zero_point,
        out_zp=move.zero_point,
    )
