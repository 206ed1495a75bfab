# SPDX-License-Identifier: MIT
"""Do large convolutions give what plain sums give, however they are cut into bands and shared among threads?"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hornito.crew import Crew
from hornito.virtual.npu import convolution, matrix
from hornito.virtual.npu.convolution import Convolution, Factor, Target, Window, as_one_row, prepare
from hornito.virtual.npu.shares import divided
from hornito.virtual.npu.weights import KernelShape, Weights

# Outputs, planes, kernel y and x, image y and x, step.
Case = tuple[int, int, int, int, int, int, int]
CASES: dict[str, Case] = {
    "more rows than a band": (9, 5, 3, 3, 150, 40, 1),
    "rows longer than a band": (3, 4, 2, 3, 6, 2500, 1),
    "one row of pixels in bands": (17, 6, 1, 1, 70, 90, 1),
    "many planes": (33, 130, 3, 3, 9, 11, 1),
    "a single output": (1, 2, 2, 2, 60, 70, 1),
    "every other pixel": (16, 9, 3, 2, 41, 39, 2),
    "a single pixel": (100, 70, 1, 1, 1, 1, 1),
}


def weights_of(raw: NDArray[np.int64], shape: KernelShape, few: bool | None = None) -> Weights:
    """As decoders give them: few as a list of those that differ from the zero point, many as bytes."""
    values = raw.reshape(len(raw), -1) - shape.zero_point
    outputs, places = np.nonzero(values)
    biases = np.arange(len(raw), dtype=np.int64) * 1000 - 5000
    if few or (few is None and 4 * len(outputs) < values.size):
        found = outputs, places.astype(np.int32), values[outputs, places].astype(np.int16)
        return Weights(biases, None, shape.zero_point, found)
    return Weights(biases, raw.reshape(len(raw), -1).astype(np.uint8), shape.zero_point, None)


@pytest.mark.parametrize("zero_point", [0, 7, 128, 255])
@pytest.mark.parametrize("zeros", [0.0, 0.5, 1.0])
def test_weights_are_the_same_as_a_list_and_as_bytes(zero_point: int, zeros: float) -> None:
    random = np.random.default_rng(zero_point)
    raw = random.integers(0, 256, (5, 3, 2, 3))
    raw[random.random(raw.shape) < zeros] = zero_point
    shape = KernelShape(5, 3, 2, 3, 1, zero_point, 1)
    few, many = weights_of(raw, shape, True), weights_of(raw, shape, False)
    for name in ("outputs", "places", "values"):
        assert np.array_equal(getattr(few, name), getattr(many, name))
    assert np.array_equal(few.all_bytes(5, 18), many.all_bytes(5, 18))
    assert np.array_equal(few.used(18), many.used(18)) and few.extremes == many.extremes
    for pair in zip(few.sums(5), many.sums(5), strict=True):
        assert np.array_equal(*pair)
    assert np.array_equal(many.sums(5)[0], np.abs(raw - zero_point).sum(axis=(1, 2, 3)))


class Layer:
    """A convolution of random weights, and of an image, with one pixel of border at the left and at the top."""

    def __init__(self, case: Case, sparse: bool = False, zero_point: int = 130) -> None:
        outputs, planes, rows, columns, y, x, step = case
        random = np.random.default_rng(1)
        self.shape = KernelShape(outputs, planes, rows, columns, 1, zero_point, 0)
        self.raw = random.integers(0, 256, (outputs, planes, rows, columns))
        if sparse:
            far = (np.arange(planes)[None] - np.arange(outputs)[:, None]) % planes > 1
            self.raw[far] = zero_point
        self.image = random.integers(0, 256, (planes, y, x), dtype=np.uint8)
        off = 0 if rows == columns == 1 else -1
        out_y, out_x = (y + step - 1) // step, (x + step - 1) // step
        window = Window(y * x, x, x, y, 77, off, off, step, columns, rows, out_x, out_y)
        target = Target(out_y * out_x, out_x, out_x, 10, 20, Factor(40000, 26))
        self.size = outputs, out_y, out_x
        self.window, self.target = as_one_row(window, target)
        self.convolution: Convolution = prepare(weights_of(self.raw, self.shape), self.shape, 0)

    def run(self, crew: Crew) -> NDArray[np.uint8]:
        out = np.zeros(int(np.prod(self.size)), np.uint8)
        self.convolution.bind(self.window, self.target, crew.workers).run(self.image.reshape(-1), out, crew)
        return out.reshape(self.size)

    def expected(self) -> NDArray[np.uint8]:
        """The same with numpy's slices."""
        outputs, planes, rows, columns = self.raw.shape
        step, off = self.window.step, self.window.offset_x
        _, y, x = self.image.shape
        framed = np.full((planes, y + 8, x + 8), 77, np.int64)
        framed[:, -off : y - off, -off : x - off] = self.image
        sums = np.zeros(self.size, np.int64) + (np.arange(outputs) * 1000 - 5000)[:, None, None]
        for ky in range(rows):
            for kx in range(columns):
                part = framed[:, ky : ky + step * self.size[1] : step, kx : kx + step * self.size[2] : step]
                factors = self.raw[:, :, ky, kx] - self.shape.zero_point
                sums += np.einsum("op,pyx->oyx", factors, part)
        scaled = (sums * 40000 + (1 << 25)) >> 26
        found: NDArray[np.uint8] = np.clip(scaled + 20, 10, 255).astype(np.uint8)
        return found


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_large_convolutions_agree_with_plain_sums(case: Case, sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "WORTH_A_THREAD", 1)
    layer = Layer(case, sparse)
    expected = layer.expected()
    for workers in (1, 2, 5):
        crew = Crew(workers)
        assert (layer.run(crew) == expected).all()
        crew.close()


@pytest.mark.parametrize("zero_point", [0, 127, 128, 129, 255])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_weights_of_any_zero_point_are_exact(zero_point: int, sparse: bool) -> None:
    layer = Layer((20, 20, 3, 5, 12, 12, 1), sparse, zero_point)
    assert (layer.run(Crew()) == layer.expected()).all()


def test_taps_without_weights_are_left_out() -> None:
    """A stride of 2 as a kernel of 2x2 over four times the planes: planes of odd columns have no second tap."""
    layer = Layer((8, 16, 2, 2, 20, 20, 1))
    layer.raw[:, 8:, :, 1] = layer.shape.zero_point
    layer.convolution = prepare(weights_of(layer.raw, layer.shape), layer.shape, 0)
    assert (layer.run(Crew()) == layer.expected()).all()
    if isinstance(layer.convolution.arithmetic, convolution.Dense):
        assert len(layer.convolution.arithmetic.places) * matrix.group() == 8 * 4 + 8 * 2


def test_weights_that_are_all_zero_leave_the_biases() -> None:
    for sparse in (False, True):
        layer = Layer((9, 9, 3, 3, 7, 7, 1), sparse)
        layer.raw[:] = layer.shape.zero_point
        layer.convolution = prepare(weights_of(layer.raw, layer.shape), layer.shape, 0)
        assert (layer.run(Crew()) == layer.expected()).all()


def test_large_accumulators_are_measured() -> None:
    layer = Layer((4, 3, 3, 3, 8, 8, 1))
    weights = replace(weights_of(layer.raw, layer.shape), biases=np.array([0, (1 << 31) - 1, 0, 0]))
    bound = prepare(weights, layer.shape, 0).bind(layer.window, layer.target)
    assert not bound.safe
    assert bound.run(layer.image.reshape(-1), np.zeros(4 * 64, np.uint8)) >= 1 << 31


@given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 8), st.integers(1, 40), st.integers(1, 8))
def test_shares_cover_everything_once(workers: int, outputs: int, unit: int, rows: int, step: int) -> None:
    seen = np.zeros((outputs, rows), np.int64)
    parts = divided(workers, (outputs, unit), (rows, step))
    assert len(parts) <= workers
    for first, last, begin, end in parts:
        assert first % unit == 0 and begin % step == 0
        seen[first:last, begin:end] += 1
    assert (seen == 1).all()


def test_what_a_share_raises_is_raised_once_all_have_ended() -> None:
    ended: list[int] = []

    def fail() -> float:
        raise ZeroDivisionError

    def end() -> float:
        ended.append(1)
        return 2.0

    crew = Crew(2)
    with pytest.raises(ZeroDivisionError):
        crew.map([fail, end])
    assert ended == [1]
    with pytest.raises(ZeroDivisionError):
        crew.map([end, fail])
    assert crew.map([end, lambda: 3.0]) == [2.0, 3.0]
    crew.close()
