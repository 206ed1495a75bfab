# SPDX-License-Identifier: MIT
"""Which network is studied, which values may its parameters have, and which others tell whether what these suggest is
an accident? A convolution, with everything about it a number."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from hornito.errors import BadInput
from hornito.model import Conv2DOptions, DepthwiseOptions, ModelBuilder, Padding, affine
from hornito.model.graph import Activation

_MOST_VALUES = 256
_MOST_ELEMENTS = 1 << 26  # of a tensor
_MOST_CHECKED = 1 << 20  # elements of a tensor, for a value that nobody asked for
_MOST_CHECKED_MACS = 1 << 27
_MOST_INSIDE = 4

# Whole numbers from one to another; scales, which have the same bounds, are not among them.
_BOUNDS = {
    **dict.fromkeys(("size", "inputs", "outputs"), (1, 1 << 16)),
    **dict.fromkeys(("kernel", "stride"), (1, 64)),
    **dict.fromkeys(("same", "relu", "depthwise"), (0, 1)),
    **dict.fromkeys(("input_zero", "weight_zero", "output_zero"), (0, 255)),
}
_SCALES = ("input_scale", "weight_scale", "output_scale")
_LEAST_SCALE, _LARGEST_SCALE = 1e-9, 1e9
_LONGEST_NUMBER, _LONGEST_EXPONENT = 40, 2  # characters: what is longer is beyond all bounds, or takes long to read
_FAR = (70, 135, 300, 1030)  # where fields of six, seven, eight and ten bits are full, and a bit more
# Of a scale's checks: how far beyond the last one asked for, and between two. No powers of two: what holds for those
# alone is not to pass.
_BEYOND_SCALE = (Fraction(13, 10), Fraction(37, 10), Fraction(29), Fraction(211))


@dataclass(frozen=True)
class Layer:
    """A convolution, the network that is studied: sizes in elements, zero points 0..255, scales. ``size`` is both sides
    of the image; ``same``, ``relu`` and ``depthwise`` are 0 or 1."""

    size: int = 16
    inputs: int = 8
    outputs: int = 16
    kernel: int = 3
    stride: int = 1
    same: int = 1
    relu: int = 0
    depthwise: int = 0
    input_zero: int = 5
    weight_zero: int = 7
    output_zero: int = 3
    input_scale: float = 0.0078125
    weight_scale: float = 0.02
    output_scale: float = 0.05

    def model(self) -> bytes:
        """The model, its weights and biases always of the same seed, so that the first ones do not depend on how many
        there are. Raises BadInput for sizes that make none."""
        self.check()
        builder = ModelBuilder()
        shape = (1, self.size, self.size, self.inputs)
        value = builder.input("image", shape, np.uint8, quantization=affine(self.input_scale, self.input_zero))
        filters = self.inputs if self.depthwise else self.outputs
        sides = (self.kernel, self.kernel)
        kernel = (1, *sides, self.inputs) if self.depthwise else (self.outputs, *sides, self.inputs)
        weights = np.random.default_rng(1).integers(0, 256, kernel, np.uint8)
        bias = np.random.default_rng(2).integers(-20000, 20000, filters, np.int32)
        geometry = {"stride_height": self.stride, "stride_width": self.stride}
        padding = Padding.SAME if self.same else Padding.VALID
        activation = Activation.RELU if self.relu else Activation.NONE
        scales = {
            "weights_quantization": affine(self.weight_scale, self.weight_zero),
            "quantization": affine(self.output_scale, self.output_zero),
        }
        if self.depthwise:
            depthwise = DepthwiseOptions(**geometry, padding=padding, activation=activation)
            builder.output(builder.depthwise_conv2d(value, weights, bias, options=depthwise, **scales))
        else:
            options = Conv2DOptions(**geometry, padding=padding, activation=activation)
            builder.output(builder.conv2d(value, weights, bias, options=options, **scales))
        return builder.build()

    def check(self) -> None:
        """Raises BadInput for sizes that make no network."""
        for name in PARAMETERS:
            _check_bounds(name, getattr(self, name))
        if max(self._elements()) > _MOST_ELEMENTS:
            raise BadInput(f"a tensor would have {max(self._elements())} elements; at most {_MOST_ELEMENTS}")
        if not self.same and self.kernel > self.size:
            raise BadInput(f"kernel = {self.kernel} is larger than size = {self.size}; use same = 1")

    def _elements(self) -> tuple[int, int]:
        return self.size * self.size * max(self.inputs, self.outputs), self.kernel**2 * self.inputs * self.outputs

    @property
    def is_quick(self) -> bool:
        """May it be run without being asked for?"""
        outputs = 1 if self.depthwise else self.outputs
        macs = self.size * self.size * self.kernel * self.kernel * self.inputs * outputs
        return max(self._elements()) <= _MOST_CHECKED and macs <= _MOST_CHECKED_MACS


PARAMETERS = tuple(field.name for field in dataclasses.fields(Layer))


def parse_values(text: str) -> list[Fraction]:
    """``1..16``, ``8..64/8`` (in steps), ``1,2,4``, ``0.01,0.02``. Raises BadInput."""
    found: list[Fraction] = []
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dots, last = span.partition("..")
        for number in (first, last, step):
            _check_readable(number)
        try:
            begin, end, by = Fraction(first), Fraction(last if dots else first), Fraction(step or 1)
        except (ValueError, ZeroDivisionError):
            raise BadInput(f"{part!r} is no number and no range; write 1..16, 8..64/8 or 1,2,4") from None
        if by <= 0 or end < begin or (end - begin) / by >= _MOST_VALUES:
            raise BadInput(f"{part!r} is a range of no values, or of more than {_MOST_VALUES}")
        found += [begin + by * count for count in range(int((end - begin) / by) + 1)]
    if len(found) > _MOST_VALUES:
        raise BadInput(f"{len(found)} values; at most {_MOST_VALUES}")
    return list(dict.fromkeys(found))


def _check_readable(text: str) -> None:
    """Raises BadInput for a number that is too long to be read."""
    _, _, exponent = text.lower().partition("e")
    if len(text) <= _LONGEST_NUMBER and len(exponent.strip().lstrip("+-0")) > _LONGEST_EXPONENT:
        raise BadInput(
            f"{text!r} is beyond all bounds: scales are from {_LEAST_SCALE:g} to {_LARGEST_SCALE:g}, and no other "
            f"parameter is above {max(most for _, most in _BOUNDS.values())}"
        )
    if len(text) > _LONGEST_NUMBER:
        shown = f"{text[:_LONGEST_NUMBER]}..."
        raise BadInput(f"{shown!r} is no value of a parameter; write at most {_LONGEST_NUMBER} characters")


def _check_bounds(name: str, value: float) -> None:
    """Raises BadInput."""
    least, most = _BOUNDS.get(name, (_LEAST_SCALE, _LARGEST_SCALE))
    if not least <= value <= most:
        raise BadInput(f"{name} = {value:.15g}: from {least:g} to {most:g}")


def with_value(layer: Layer, name: str, value: Fraction) -> Layer:
    """The layer with another value of a parameter. Raises BadInput for a name or value that there is not."""
    if name not in PARAMETERS:
        raise BadInput(f"unknown parameter {name!r}; known are {', '.join(PARAMETERS)}")
    number: Any = float(value)
    if name not in _SCALES:
        if value.denominator != 1:
            raise BadInput(f"{name} = {float(value):g}: a whole number")
        number = int(value)
    _check_bounds(name, number)
    return dataclasses.replace(layer, **{name: number})


def checks(layer: Layer, name: str, values: Sequence[Fraction]) -> list[Fraction]:
    """Values that were not asked for, to try with what those suggest: between them, below them, and far above. Only
    such as make a network that runs in a moment. Raises BadInput for values that the parameter can't have."""
    for value in values:
        with_value(layer, name, value)
    asked = set(values)
    candidates = _scales(values) if name in _SCALES else _whole(name, [int(value) for value in values])
    found = []
    for value in dict.fromkeys(candidates):
        try:
            other = with_value(layer, name, value)
            other.check()
        except BadInput:
            continue
        if value not in asked and other.is_quick:
            found.append(value)
    return sorted(found)


def _whole(name: str, values: Sequence[int]) -> Iterator[Fraction]:
    bounds = _BOUNDS[name]
    low, high = min(values), max(values)
    gaps = sorted(set(range(low, high)) - set(values))
    inside = [gaps[at * len(gaps) // _MOST_INSIDE] for at in range(_MOST_INSIDE)] if gaps else []
    beyond = (high + 1, 2 * high + 1, 4 * high + 2, 8 * high + 3, 24 * high + 1, *_FAR)
    outside = [low - 1, low // 2, *(value for value in beyond if value > high)]
    if bounds[1] < 256:  # few enough to try the ends of what there is
        outside += bounds
    return (Fraction(value) for value in (*inside, *outside) if bounds[0] <= value <= bounds[1])


def _scales(values: Sequence[Fraction]) -> Iterator[Fraction]:
    low, high = min(values), max(values)
    for factor in _BEYOND_SCALE:
        yield from (low / factor, high * factor)
    ordered = sorted(values)
    for a, b in list(zip(ordered, ordered[1:], strict=False))[:_MOST_INSIDE]:
        yield Fraction(f"{math.sqrt(float(a * b)) * 1.07:.5g}")
