# SPDX-License-Identifier: MIT
"""Where do the parts of a job lie that is cut: in what it held before, and within which limits?"""

from dataclasses import replace

import numpy as np
import pytest

from hornito.compiler.bands import Limits, Span, cut, is_band, window
from hornito.compiler.tasks import Convolution, Frame, Reshuffle, Shape
from hornito.compiler.weights import Kernels

ANY = Limits(1000, 1000, 1000)


def convolution(rows: int = 9, columns: int = 8, planes: int = 4, *, outputs: int = 6, size: int = 1) -> Convolution:
    """All kernels see all planes; same size behind as before."""
    values = np.ones((outputs, planes, size, size), np.uint8)
    kernels = Kernels(values, np.zeros(outputs, np.int64), planes, 0, np.zeros(outputs, np.int64))
    shapes = Shape(rows, columns, planes), Shape(rows, columns, outputs)
    start = -(size // 2)
    return Convolution(0, 1, 2, *shapes, kernels, 1, False, False, True, start, start, False, 0, 0, 1.0)


def parts(job: Convolution | Reshuffle, limits: Limits) -> list[tuple[Frame, Frame, Shape]]:
    """What each job sees and writes, and the shape of its input."""
    found = []
    for one in cut(job, limits):
        assert isinstance(one, Convolution | Reshuffle)
        found.append((one.source_frame, one.target_frame, one.input))
    return found


def test_rows_of_a_part_lie_in_the_whole() -> None:
    """The middle rows and columns, of which then the middle ones."""
    once = window(convolution(size=3), Span(2, 6), Span(1, 6))
    assert once.written == Frame(9, 8, 2, 1) and once.seen == Frame(9, 8, 1, 0)
    assert (once.offset_y, once.offset_x, once.input) == (0, 0, Shape(8, 8, 4))
    twice = window(once, Span(3, 2), Span(4, 1))
    assert twice.written == Frame(9, 8, 5, 5) and twice.seen == Frame(9, 8, 4, 4)
    assert (twice.input, twice.output) == (Shape(4, 3, 4), Shape(2, 1, 6))
    assert twice.piece == "rows 2 to 7, columns 1 to 6, rows 3 to 4, column 4"
    assert is_band(twice)


def test_channels_of_a_part_lie_in_the_whole() -> None:
    """A job that writes the planes from the 5th on, and sees those from the 3rd on: each group goes on from there."""
    job = replace(convolution(), seen=Frame(9, 8, 0, 0, 3), written=Frame(9, 8, 1, 2, 5))
    found = parts(job, replace(ANY, outputs=2))
    assert [written for _, written, _ in found] == [Frame(9, 8, 1, 2, 5 + first) for first in (0, 2, 4)]
    assert [seen for seen, _, _ in found] == [Frame(9, 8, 0, 0, 3)] * 3


def test_planes_that_a_group_sees_are_counted_from_its_job_s() -> None:
    job = convolution()
    own = Kernels(job.kernels.values[:4, :1], np.arange(4), 4, 0, np.zeros(4, np.int64))
    job = replace(job, kernels=own, output=Shape(9, 8, 4), seen=Frame(9, 8, plane=3))
    found = parts(job, replace(ANY, outputs=2))
    assert [(seen.plane, image.channels) for seen, _, image in found] == [(3, 2), (5, 2)]


@pytest.mark.parametrize("most,count", [(18, 1), (17, 2)])
def test_first_pixels_count_in_full_though_the_input_ends_before(most: int, count: int) -> None:
    """Nine outputs of 17 rows: a pixel of every two, so the unit computes 18 rows."""
    job = replace(convolution(17, 8, size=1), stride=2, first_pixel=True, output=Shape(9, 4, 6))
    assert job.step == 2
    assert len(cut(job, replace(ANY, size=most))) == count


def test_bands_of_a_reshuffled_part_lie_in_the_whole() -> None:
    move = Reshuffle(0, 1, 2, Shape(8, 8, 2), Shape(4, 4, 8), 0, 0, 0)
    move = replace(move, seen=Frame(20, 20, 6, 7), written=Frame(9, 9, 2, 3))
    found = parts(move, replace(ANY, window=3))
    assert [(seen.row, seen.column) for seen, _, _ in found] == [(6, 7), (6, 11), (10, 7), (10, 11)]
    assert [(written.row, written.column) for _, written, _ in found] == [(2, 3), (2, 5), (4, 3), (4, 5)]
