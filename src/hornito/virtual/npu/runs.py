# SPDX-License-Identifier: MIT
"""How is a TP core's move done fast? As nested loops over both its input and its output, with long inner runs.

The descriptor orders elements by the input's window and addresses them by the output's loops. Where both can be cut
into the same loops, and no two elements go to one place, their order does not matter, and the best one can be chosen.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.hardware.tp import TPDescriptor
from hornito.virtual.npu.kernels import kernel

_ROW_STRIDE, _X_START, _Y_START, _ORIGIN = 3, 5, 7, 13  # in a window as the kernels take it
_SHORT = 8  # elements for which an inner loop is not worth much


@dataclass(frozen=True)
class _Loop:
    """``count`` steps of so many columns and rows of the image, so many bytes of the input and of the output."""

    count: int
    columns: int
    rows: int
    read: int
    write: int

    def inner(self, count: int) -> "_Loop":
        """The first ``count`` steps."""
        return _Loop(count, self.columns, self.rows, self.read, self.write)

    def outer(self, count: int) -> "_Loop":
        """The steps of ``count`` steps."""
        return _Loop(self.count // count, *(count * step for step in (self.columns, self.rows, self.read, self.write)))


def runs(d: TPDescriptor, elements: int) -> NDArray[np.int64] | None:
    """The loops of a checked move as ``move_runs`` takes them, the innermost first; None where they can't be cut so."""
    framed = not (
        0 <= d.in_window_x_start <= d.in_window_x_end < d.in_image_x_size
        and 0 <= d.in_window_y_start <= d.in_window_y_end < d.in_image_y_size
    )
    loops = _cut(_window(d, joined=not framed), _outputs(d, elements))
    if loops is None or not _apart(loops):
        return None
    if not framed:
        loops = [_Loop(loop.count, 0, 0, loop.read, loop.write) for loop in loops]  # nobody needs to look where it is
    inner = max(loops, key=_worth, default=_Loop(1, 0, 0, 0, 0))
    outer = sorted((loop for loop in loops if loop is not inner), key=lambda loop: abs(loop.write))
    return np.array([(one.count, one.columns, one.rows, one.read, one.write) for one in (inner, *outer)], np.int64)


def divided(
    loops: NDArray[np.int64], window: tuple[int, ...], workers: int
) -> list[tuple[NDArray[np.int64], tuple[int, ...], int]]:
    """The same in so many shares at most: loops and window of each, and how far its first output lies behind that of
    all."""
    longest = max(range(1, len(loops)), key=lambda level: int(loops[level, 0]), default=0)
    count, columns, rows, read, write = loops[longest].tolist()
    workers = max(1, min(workers, count)) if longest else 1
    shares = []
    for number in range(workers):
        begin, end = count * number // workers, count * (number + 1) // workers
        mine = loops.copy()
        mine[longest, 0] = end - begin
        place = list(window)
        place[_X_START] += begin * columns
        place[_Y_START] += begin * rows
        place[_ORIGIN] += begin * (read - columns - rows * window[_ROW_STRIDE])  # where that is no step of x and y
        shares.append((mine, tuple(place), begin * write))
    return shares


def _window(d: TPDescriptor, joined: bool) -> list[_Loop]:
    """The loops over the input, innermost first. ``joined``: those that go on where the one before ends are one."""
    across = (d.in_window_x_end - d.in_window_x_start) // d.in_tile_x_inc + 1
    down = (d.in_window_y_end - d.in_window_y_start) // d.in_tile_y_inc + 1
    loops = [
        _Loop(d.in_tile_x_size, 1, 0, 1, 0),
        _Loop(d.in_tile_y_size, 0, 1, d.in_image_stride, 0),
        _Loop(across, d.in_tile_x_inc, 0, d.in_tile_x_inc, 0),
        _Loop(down, 0, d.in_tile_y_inc, d.in_tile_y_inc * d.in_image_stride, 0),
        _Loop(d.in_image_z_size, 0, 0, d.in_image_slice, 0),
    ]
    found: list[_Loop] = []
    for loop in loops:
        if loop.count == 1:
            continue
        last = found[-1] if found else None
        if last is not None and _continues(last, loop, joined):
            found[-1] = last.inner(last.count * loop.count)
        else:
            found.append(loop)
    return found


def _continues(last: _Loop, loop: _Loop, joined: bool) -> bool:
    """Whether ``loop`` begins each time where ``last`` has ended."""
    following = last.count * last.columns, last.count * last.rows
    return loop.read == last.count * last.read and (joined or following == (loop.columns, loop.rows))


def _outputs(d: TPDescriptor, elements: int) -> list[_Loop]:
    """The loops over the output. The last one has no count of its own: as many as it takes."""
    counted = [
        _Loop(count, 0, 0, 0, step) for count, step in zip(d.loop_counts, d.loop_increments, strict=False) if count > 1
    ]
    return [*counted, _Loop(elements, 0, 0, 0, d.loop_increments[-1])]


def _cut(reads: list[_Loop], writes: list[_Loop]) -> list[_Loop] | None:
    """Loops that go over both; None where the ends of some lie across those of others."""
    found: list[_Loop] = []
    reads, writes = list(reversed(reads)), list(reversed(writes))
    while reads:
        read, write = reads.pop(), writes.pop()
        count = min(read.count, write.count)
        if read.count % count or write.count % count:
            if writes:
                return None
            count = read.count  # the output's last loop goes on for as long as it takes
        found.append(_Loop(count, read.columns, read.rows, read.read, write.write))
        if read.count > count:
            reads.append(read.outer(count))
        if write.count > count or not writes:
            writes.append(write.outer(count) if write.count > count else write.inner(1))
    return found


def _apart(loops: list[_Loop]) -> bool:
    """Whether no two elements go to the same place."""
    reach = 0
    for loop in sorted(loops, key=lambda loop: abs(loop.write)):
        if abs(loop.write) <= reach:
            return False
        reach += (loop.count - 1) * abs(loop.write)
    return True


def _worth(loop: _Loop) -> tuple[bool, int, int]:
    """How good an inner loop it makes: not too short; bytes side by side on both sides, on one; long."""
    return loop.count >= _SHORT, (abs(loop.read) == 1) + (loop.write == 1), loop.count


@kernel("void(uint8[::1], UniTuple(int64, 14), uint8[::1], boolean, int64, int64[:,::1], int64, uint8[::1])")
def move_runs(source, window, values, changed, border, loops, first, target):  # type: ignore[no-untyped-def]
    """Move a window's elements in the order of the loops: steps, columns, rows, bytes of input and output of each.

    window, values, border, first: as ``move_elements`` has them; changed: whether values are more than the bytes
    themselves.
    """
    x_size, y_size, origin = window[0], window[1], window[13]
    outside = np.uint8(border)
    levels = len(loops)
    done = np.zeros(levels, np.int64)
    length, columns, rows, read, write = loops[0, 0], loops[0, 1], loops[0, 2], loops[0, 3], loops[0, 4]
    x, y = window[5], window[7]
    at, to = origin + y * window[3] + x, first
    while True:
        # Steps for which the pixel lies in the image.
        low, high = np.int64(0), length
        if columns > 0:
            low, high = max(low, (columns - 1 - x) // columns), min(high, (x_size - x + columns - 1) // columns)
        elif x < 0 or x >= x_size:
            high = np.int64(0)
        if rows > 0:
            low, high = max(low, (rows - 1 - y) // rows), min(high, (y_size - y + rows - 1) // rows)
        elif y < 0 or y >= y_size:
            high = np.int64(0)
        high = max(low, high)
        if low >= length or high <= low:
            low = high = length
        for i in range(low):
            target[to + i * write] = outside
        for i in range(high, length):
            target[to + i * write] = outside
        count = high - low
        if count > 0:
            a = at + low * read
            b = to + low * write
            if changed:
                for i in range(count):
                    target[b + i * write] = values[source[a + i * read]]
            elif read == 1 and write == 1:
                line, out = source[a : a + count], target[b : b + count]
                for i in range(count):
                    out[i] = line[i]
            elif read == 2 and write == 1:
                line, out = source[a : a + 2 * count - 1], target[b : b + count]
                for i in range(np.uint64(count)):
                    out[i] = line[i + i]
            else:
                for _ in range(count):
                    target[np.uint64(b)] = source[np.uint64(a)]
                    a += read
                    b += write
        level = 1
        while level < levels:
            x += loops[level, 1]
            y += loops[level, 2]
            at += loops[level, 3]
            to += loops[level, 4]
            done[level] += 1
            if done[level] < loops[level, 0]:
                break
            x -= done[level] * loops[level, 1]
            y -= done[level] * loops[level, 2]
            at -= done[level] * loops[level, 3]
            to -= done[level] * loops[level, 4]
            done[level] = 0
            level += 1
        if level == levels:
            break
