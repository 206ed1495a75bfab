# SPDX-License-Identifier: MIT
"""Which inner loops convolve where the processor multiplies small integers fast? See ``matrix`` for its tiles.

An image is copied once, with its border, so that every input that a 32-bit lane multiplies lies in it, and so that each
place of the kernel is one shift of it all: ``width`` lanes to a row, rows of the same phase (of a step of 2) together.
Sums are computed for all lanes; what lies between the rows is never stored.
"""

from typing import Any

import numpy as np

from hornito.virtual.npu.kernels import inlined, kernel, round_half_up

# Of this processor; Kernel fills them in before it compiles what uses them.
tile: Any = None
line_tile: Any = None
tile_rows = tile_columns = line_columns = group_size = 0

PACKED_LANES = 1 << 16  # of input at a time, so that they stay in the processor's cache
MOST_COLUMNS = 2048  # of sums at a time, likewise


@inlined
def fill(array, begin, end, value):  # type: ignore[no-untyped-def]
    """array[begin:end] = value, which takes numba long to compile."""
    part = array[begin:end]
    for i in range(len(part)):
        part[i] = value


@inlined
def requantise_line(sums, at, size, more, bias, scale, low, zero_point, stored):  # type: ignore[no-untyped-def]
    """Bytes of sums[at:] + more + bias."""
    line = sums[at : at + size]  # numba does without checks of an index's sign where it is a counter alone
    for i in range(size):
        value = round_half_up(np.float64(np.int32(line[i] + more[i])) + bias, scale) + zero_point
        value = value if value > low else low
        stored[i] = np.uint8(np.int32(value if value < 255.0 else 255.0))


@inlined
def largest(sums, at, more, bias, pitch, rows, columns):  # type: ignore[no-untyped-def]
    """The largest |accumulator| among those that are stored."""
    worst = 0.0
    for y in range(rows):
        for x in range(columns):
            i = y * pitch + x
            worst = max(worst, abs(np.float64(np.int32(sums[at + i] + more[i])) + bias))
    return worst


@inlined
def store_rows(stored, pitch, rows, columns, out, to, row_stride):  # type: ignore[no-untyped-def]
    """Copy what lies in the rows."""
    for y in range(rows):
        a, b = np.uint64(to + y * row_stride), np.uint64(y * pitch)
        for i in range(np.uint64(columns)):
            out[a + i] = stored[b + i]


@inlined
def pack_planes(image, view, order, packed, phase, width, height):  # type: ignore[no-untyped-def]
    """Copy an image for ``convolve_dense``: lanes hold the same pixel of so many planes."""
    plane_stride, row_stride, x_size, y_size, border, off_x, off_y, step, kernel_x, kernel_y, _, _ = view
    groups = len(order) // group_size
    bits = np.uint32(32 // group_size)
    outside = np.uint32(border)
    phases_x, phases_y = min(step, kernel_x), min(step, kernel_y)
    for g in range(groups):
        members = order[g * group_size : (g + 1) * group_size]
        frame = np.uint32(0)
        whole = True
        for j in range(group_size):
            if members[j] >= 0:
                frame |= outside << (np.uint32(j) * bits)
            else:
                whole = False
        for py in range(phases_y):
            for px in range(phases_x):
                start = ((g * phases_y + py) * phases_x + px) * phase
                left = px + off_x
                low = min(width, (step - 1 - left) // step if left < 0 else 0)
                high = max(low, min(width, (x_size - left + step - 1) // step))
                for r in range(height):
                    to = start + r * width
                    y = step * r + py + off_y
                    if y < 0 or y >= y_size:
                        fill(packed, to, to + width, frame)
                        continue
                    fill(packed, to, to + low, frame)
                    fill(packed, to + high, to + width, frame)
                    line = packed[to + low : to + high]
                    pixel = y * row_stride + left + step * low
                    count = np.uint64(high - low)
                    if whole and group_size == 4 and step == 1:
                        a = np.uint64(members[0] * plane_stride + pixel)
                        b = np.uint64(members[1] * plane_stride + pixel)
                        c = np.uint64(members[2] * plane_stride + pixel)
                        d = np.uint64(members[3] * plane_stride + pixel)
                        for i in range(count):
                            line[i] = (
                                np.uint32(image[a + i])
                                | np.uint32(image[b + i]) << np.uint32(8)
                                | np.uint32(image[c + i]) << np.uint32(16)
                                | np.uint32(image[d + i]) << np.uint32(24)
                            )
                    elif whole and group_size == 2 and step == 1:
                        a = np.uint64(members[0] * plane_stride + pixel)
                        b = np.uint64(members[1] * plane_stride + pixel)
                        for i in range(count):
                            line[i] = np.uint32(image[a + i]) | np.uint32(image[b + i]) << np.uint32(16)
                    else:
                        fill(line, 0, len(line), np.uint32(0))
                        for j in range(group_size):
                            if members[j] >= 0:
                                a = np.uint64(members[j] * plane_stride + pixel)
                                shift = np.uint32(j) * bits
                                for i in range(count):
                                    line[i] |= np.uint32(image[a + np.uint64(step) * i]) << shift


@kernel(
    "float64(uint8[::1], UniTuple(int64, 12), UniTuple(int64, 4), int64[::1], int64[:,::1], int32[:,:,::1],"
    "int32[::1], int64, float64[::1], Tuple((float64, int64, int64)), UniTuple(int64, 5), boolean, uint8[::1])",
    tiles=True,
)
def convolve_dense(  # type: ignore[no-untyped-def]
    image, view, part, order, places, weights, ones, each, biases, scale, target, measure, out
):
    """A convolution in which most planes meet: outputs first .. last - 1 of rows (of a single row: pixels) begin .. end
    - 1; ``part`` has these four. Gives the largest |accumulator| if measure is set, else 0.

    view: plane stride, row stride, x size, y size, border, x offset, y offset, step, kernel x and y, output x and y.
    order: the input planes in the order of the lanes, -1 for none. places: group of lanes, row, column. weights: blocks
    of outputs x places x outputs; what was subtracted from each of them is ``each``, with which ``ones`` at the
    same places gives what that takes from a sum. target: plane stride, row stride, x size, smallest value, zero point.
    """
    plane_stride, row_stride, x_size, y_size, border, off_x, off_y, step, kernel_x, kernel_y, out_x, out_y = view
    # What no output needs is not there: the image ends with the last pixel that one does.
    x_size = min(x_size, step * (out_x - 1) + kernel_x + off_x)
    y_size = min(y_size, step * (out_y - 1) + kernel_y + off_y)
    first, last, begin, end = part
    out_plane, out_row, _, lowest, zero = target
    low, zero_point = float(lowest), float(zero)
    groups, block_rows = len(order) // group_size, weights.shape[2]
    phases = min(step, kernel_x) * min(step, kernel_y)
    flat = out_y == 1 and kernel_x == 1 and kernel_y == 1 and step == 1
    over_x, over_y = (kernel_x - 1) // step, (kernel_y - 1) // step
    if flat:
        span = max(tile_columns, min(MOST_COLUMNS, PACKED_LANES // groups) // tile_columns * tile_columns)
        widest = min(span, end - begin)
    else:
        width = out_x + over_x
        span = max(1, min(MOST_COLUMNS // width, PACKED_LANES // (groups * phases * width) - over_y))
        widest = width * min(span, end - begin)
    room = (widest + line_columns - 1) // line_columns * line_columns
    sums = np.empty(tile_rows * room, np.int32)
    more = np.zeros(room, np.int32)
    stored = np.empty(room, np.uint8)
    offsets = np.empty(len(places), np.int64)
    most = widest if flat else widest + over_y * width
    packed = np.empty(groups * phases * (most + 48) + room + kernel_x, np.uint32)
    lanes = packed.view(np.int32)
    block_size = len(places) * block_rows
    worst = 0.0
    at = begin
    while at < end:
        here = min(span, end - at)
        if flat:
            width, rows, columns, height = here, 1, here, 1
            now_x, now_y, to = off_x + at, off_y, at
        else:
            rows, columns, height = here, out_x, here + over_y
            now_x, now_y, to = off_x, off_y + step * at, at * out_row
        phase = (width * height + 15) // 16 * 16
        if phase // 16 % 2 == 0:
            phase += 16  # planes an odd number of cache lines apart share the cache evenly
        now = (plane_stride, row_stride, x_size, y_size, border, now_x, now_y, step, kernel_x, kernel_y, out_x, out_y)
        pack_planes(image, now, order, packed, phase, width, height)
        for k in range(len(places)):
            g, ky, kx = places[k, 0], places[k, 1], places[k, 2]
            row = (g * min(step, kernel_y) + ky % step) * min(step, kernel_x) + kx % step
            offsets[k] = row * phase + ky // step * width + kx // step
        size = width * rows
        if each != 0:
            for i in range(0, size, line_columns):
                line_tile(ones, 0, lanes, i, offsets, len(places), more, i, 0)
            for i in range(size):
                more[i] *= np.int32(each)
        for block in range(first // block_rows, (last + block_rows - 1) // block_rows):
            if block_rows == 1:
                for i in range(0, size, line_columns):
                    line_tile(weights, block * block_size, lanes, i, offsets, len(places), sums, i, room)
            else:
                for i in range(0, size, tile_columns):
                    tile(weights, block * block_size, lanes, i, offsets, len(places), sums, i, room)
            for row in range(min(block_rows, last - block * block_rows)):
                o = block * block_rows + row
                if measure:
                    found = largest(sums, row * room, more, biases[o], width, rows, columns)
                    worst = max(worst, found)
                requantise_line(sums, row * room, size, more, biases[o], scale, low, zero_point, stored)
                store_rows(stored, width, rows, columns, out, o * out_plane + to, out_row)
        at += here
    return worst


@inlined
def pack_taps(image, base, view, framed, packed, width, height):  # type: ignore[no-untyped-def]
    """Copy a plane for ``convolve_sparse``: lanes hold so many neighbours in a row, the first of them at the pixel.

    framed: the same as bytes; where it has the border, it is not touched.
    """
    _, row_stride, x_size, y_size, _, off_x, off_y, step, _, kernel_y, _, _ = view
    low = min(step * width, max(0, -off_x))
    high = max(low, min(step * width, x_size - off_x))
    count = np.uint64(high - low)
    for py in range(min(step, kernel_y)):
        for r in range(height):
            y = step * r + py + off_y
            if 0 <= y < y_size:
                to = np.uint64((py * height + r) * step * width + low)
                pixel = np.uint64(base + y * row_stride + off_x + low)
                for i in range(count):
                    framed[to + i] = image[pixel + i]
    lanes = packed[: min(step, kernel_y) * height * width]
    if step == 1 and group_size == 4:
        a, b, c, d = framed[0:], framed[1:], framed[2:], framed[3:]
        for i in range(len(lanes)):
            lanes[i] = (
                np.uint32(a[i])
                | np.uint32(b[i]) << np.uint32(8)
                | np.uint32(c[i]) << np.uint32(16)
                | np.uint32(d[i]) << np.uint32(24)
            )
    elif step == 1:
        a, b = framed[0:], framed[1:]
        for i in range(len(lanes)):
            lanes[i] = np.uint32(a[i]) | np.uint32(b[i]) << np.uint32(16)
    else:
        twos = framed.view(np.uint16)
        following = twos[1:]
        if group_size == 4:
            for i in range(len(lanes)):
                lanes[i] = np.uint32(twos[i]) | np.uint32(following[i]) << np.uint32(16)
        else:
            for i in range(len(lanes)):
                lanes[i] = np.uint32(twos[i]) & np.uint32(255) | np.uint32(twos[i] >> np.uint16(8)) << np.uint32(16)


@kernel(
    "float64(uint8[::1], UniTuple(int64, 12), UniTuple(int64, 4), int64[::1], int64[::1], int64[::1], int64[:,::1],"
    "int32[::1], float64[::1], Tuple((float64, int64, int64)), UniTuple(int64, 5), boolean, uint8[::1])",
    tiles=True,
)
def convolve_sparse(  # type: ignore[no-untyped-def]
    image, view, part, firsts, planes, starts, places, weights, biases, scale, target, measure, out
):
    """A convolution of few plane pairs: output plane o sums pairs firsts[o] .. firsts[o + 1] - 1, of input planes
    planes[p]. Pair p multiplies weights[k], k = starts[p] .. starts[p + 1] - 1, with the lanes at places[k]: row, and
    the column in so many columns. ``part`` and the rest: as ``convolve_dense`` has them.
    """
    plane_stride, row_stride, x_size, y_size, border, off_x, off_y, step, kernel_x, kernel_y, out_x, out_y = view
    # What no output needs is not there: the image ends with the last pixel that one does.
    x_size = min(x_size, step * (out_x - 1) + kernel_x + off_x)
    y_size = min(y_size, step * (out_y - 1) + kernel_y + off_y)
    first, last, begin, end = part
    out_plane, out_row, _, lowest, zero = target
    low, zero_point = float(lowest), float(zero)
    phases = min(step, kernel_y)
    width = out_x + (kernel_x - 1) // step
    over_y = (kernel_y - 1) // step
    span = max(1, min(4 * MOST_COLUMNS // width, end - begin))
    room = (span * width + line_columns - 1) // line_columns * line_columns
    packed = np.empty(phases * (span + over_y) * width + room + kernel_x, np.uint32)
    lanes = packed.view(np.int32)
    framed = np.empty(phases * (span + over_y) * step * width + 8, np.uint8)
    sums, others, nothing = np.empty(room, np.int32), np.empty(room, np.int32), np.zeros(room, np.int32)
    stored = np.empty(room, np.uint8)
    offsets = np.empty(3 * kernel_y * ((kernel_x + group_size - 1) // group_size), np.int64)
    worst = 0.0
    for at in range(begin, end, span):
        rows = min(span, end - at)
        height = rows + over_y
        size = rows * width
        phase = height * width
        now_y = off_y + step * at
        now = (plane_stride, row_stride, x_size, y_size, border, off_x, now_y, step, kernel_x, kernel_y, out_x, out_y)
        fill(framed, 0, len(framed), np.uint8(border))
        for o in range(first, last):
            for pair in range(firsts[o], firsts[o + 1]):
                pack_taps(image, planes[pair] * plane_stride, now, framed, packed, width, height)
                count = starts[pair + 1] - starts[pair]
                for k in range(count):
                    ky, kx = places[starts[pair] + k, 0], places[starts[pair] + k, 1]
                    offsets[k] = (ky % step) * phase + ky // step * width + kx * group_size // step
                if pair == firsts[o]:
                    for i in range(0, size, line_columns):
                        line_tile(weights, starts[pair], lanes, i, offsets, count, sums, i, 0)
                else:
                    for i in range(0, size, line_columns):
                        line_tile(weights, starts[pair], lanes, i, offsets, count, others, i, 0)
                    for i in range(size):
                        sums[i] += others[i]
            if firsts[o] == firsts[o + 1]:
                fill(sums, 0, size, np.int32(0))
            if measure:
                worst = max(worst, largest(sums, 0, nothing, biases[o], width, rows, out_x))
            requantise_line(sums, 0, size, nothing, biases[o], scale, low, zero_point, stored)
            store_rows(stored, width, rows, out_x, out, o * out_plane + at * out_row, out_row)
    return worst


@kernel(
    "void(int8[:,:,:,::1], uint8[:,::1], int64[:,::1], UniTuple(int64, 2))",
    "void(int16[:,:,:,::1], uint8[:,::1], int64[:,::1], UniTuple(int64, 2))",
    tiles=True,
)
def fill_dense(table, weights, sources, form):  # type: ignore[no-untyped-def]
    """Put each weight where ``convolve_dense`` looks for it: block of outputs, place, output, integer of the lane.

    weights: bytes, a row for each output. sources: where in a row the weight of each place and integer of the lane
    stands, -1 where there is none. form: the byte that means zero, and what is subtracted from each weight.
    """
    zero_point, each = form
    blocks, places, rows, size = table.shape
    outputs = len(weights)
    nothing = np.int32(-each)
    less = np.int32(zero_point + each)
    for block in range(blocks):
        for row in range(rows):
            output = block * rows + row
            if output < outputs:
                line = weights[output]
                for place in range(places):
                    for lane in range(size):
                        source = sources[place, lane]
                        value = np.int32(line[source]) - less if source >= 0 else nothing
                        table[block, place, row, lane] = value
            else:
                for place in range(places):
                    for lane in range(size):
                        table[block, place, row, lane] = nothing
